"""The pages of one's own data: take it along, say how long it is kept, erase it. Sessions only: no token opens them."""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST, require_safe

from accounts import erasure, exports
from accounts.forms import EraseForm, RetentionForm
from accounts.models import Export, User
from predictions import services
from predictions.exceptions import ServiceError
from predictions.models import Batch, Patch

LOOK_AGAIN_MS = 2000
SHOWN = 10  # archives: as many as there can be in three days, and one more


@require_GET
@login_required
@never_cache
def data(request: HttpRequest) -> HttpResponse:
    return _page(request)


@require_POST
@login_required
@never_cache
def retention(request: HttpRequest) -> HttpResponse:
    """Set how long private patches are kept. Where some would go, say how many first; saved once that is confirmed."""
    user = _user(request)
    form = RetentionForm(request.POST, user=user)
    if not form.is_valid():
        return _page(request, form=form, status=400)
    days = form.cleaned_data["days"]
    kept = services.kept_days(User(private_patches_days=days))
    if kept and form.cleaned_data["confirmed"] != str(days or ""):
        going = services.overdue(user, kept).count()
        if going:
            return _page(request, form=form, going={"number": going, "days": days, "kept": kept})
    services.set_retention(user=user, days=days)
    messages.success(request, _("It is saved how long your private patches are kept."))
    return redirect("data:home")


@require_POST
@login_required
def ask(request: HttpRequest) -> HttpResponse:
    try:
        exports.ask_for_export(user=_user(request))
    except ServiceError as error:
        messages.error(request, str(error))
    return redirect("data:home")


@require_GET
@login_required
@never_cache
def progress(request: HttpRequest, export_id: UUID) -> HttpResponse:
    """The part of the page that changes until the archive is there."""
    return render(request, "account/_export.html", {"export": _own_export(request, export_id), "delay": LOOK_AGAIN_MS})


@require_safe
@login_required
@never_cache
def download(request: HttpRequest, export_id: UUID) -> HttpResponseBase:
    export = _own_export(request, export_id)
    if not export.is_ready or export.finished_at is None:
        raise Http404
    try:
        sent = exports.sent(request, export)
    except ServiceError as error:
        messages.error(request, str(error))
        return redirect("data:home")
    response = StreamingHttpResponse(sent, content_type="application/zip")
    response["Content-Length"] = str(export.size)
    response["Content-Disposition"] = f'attachment; filename="idc-finder-{export.finished_at:%Y-%m-%d}.zip"'
    response["Content-Security-Policy"] = "default-src 'none'; sandbox"
    return response


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
@never_cache
def erase(request: HttpRequest) -> HttpResponse:
    """Asks for password and address each time: a browser that somebody left open erases nothing."""
    user = _user(request)
    form = EraseForm(request.POST or None, user=user)
    if request.method == "POST" and form.is_valid():
        try:
            erasure.erase(user=user)
        except ServiceError as error:
            form.add_error(None, str(error))
        else:
            logout(request)
            return render(request, "account/erased.html")
    mine: dict[str, Any] = {
        "patches": Patch.objects.filter(owner=user).count(),
        "batches": Batch.objects.filter(owner=user).count(),
        "reviews": user.reviews.count(),
    }
    return render(request, "account/erase.html", {"form": form, **mine}, status=400 if form.errors else 200)


def _page(
    request: HttpRequest, *, form: RetentionForm | None = None, going: dict[str, Any] | None = None, status: int = 200
) -> HttpResponse:
    user = _user(request)
    kept = Export.objects.visible_to(user).order_by("-pk")[:SHOWN]
    context = {
        "exports": kept,
        "is_waiting": any(not export.is_finished for export in kept),
        "exports_per_day": exports.EXPORTS_PER_DAY,
        "kept_for": Export.KEPT.days,
        "delay": LOOK_AGAIN_MS,
        "form": form or RetentionForm(user=user),
        "going": going,
        "site_days": settings.PRIVATE_PATCHES_DAYS,
    }
    return render(request, "account/data.html", context, status=status)


def _own_export(request: HttpRequest, export_id: UUID) -> Export:
    return get_object_or_404(Export.objects.visible_to(_user(request)), uuid=export_id)


def _user(request: HttpRequest) -> User:
    return cast(User, request.user)
