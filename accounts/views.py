"""The page of one's own API tokens. Sessions only: no token opens it."""

from __future__ import annotations

from typing import cast
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from accounts.forms import TokenForm
from accounts.models import ApiToken, User
from accounts.tokens import TOKENS_PER_USER, create_token, revoke_token
from predictions.exceptions import ServiceError


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
@never_cache
def tokens(request: HttpRequest) -> HttpResponse:
    """The list, and the form that makes one. A new token is in the answer to its form, and nowhere else ever."""
    user = cast(User, request.user)
    form = TokenForm(request.POST or None)
    context: dict[str, object] = {}
    if request.method == "POST" and form.is_valid():
        try:
            _token, context["secret"] = create_token(user=user, **form.cleaned_data)
        except ServiceError as error:
            form.add_error(None, str(error))
        else:
            form = TokenForm()
    live = ApiToken.objects.filter(user=user, expiry__gt=timezone.now()).order_by("-created", "pk")[:TOKENS_PER_USER]
    return render(request, "account/tokens.html", context | {"form": form, "tokens": live})


@require_POST
@login_required
def revoke(request: HttpRequest, token_id: UUID) -> HttpResponse:
    if not revoke_token(user=cast(User, request.user), token_id=token_id):
        raise Http404
    messages.success(request, _("The token is revoked: whatever still uses it is refused from now on."))
    return redirect("tokens")
