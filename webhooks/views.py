"""The pages of one's own webhooks and of what was sent to them. Sessions only."""

from __future__ import annotations

from typing import cast
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.models import User
from predictions.exceptions import ServiceError
from predictions.pagination import page_of
from webhooks import services
from webhooks.forms import WebhookForm
from webhooks.models import Webhook
from webhooks.services.deliver import FAILURES_IN_A_ROW


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
@never_cache
def webhooks(request: HttpRequest) -> HttpResponse:
    """The list, and the form that makes one. A new secret is in the answer to its form, and nowhere else ever."""
    form = WebhookForm(request.POST or None)
    made = None
    if request.method == "POST" and form.is_valid():
        try:
            made = services.create_webhook(owner=_user(request), url=form.cleaned_data["url"])
        except ServiceError as error:
            form.add_error("url", str(error))
        else:
            form = WebhookForm()
    own = Webhook.objects.visible_to(_user(request)).order_by("-pk")[: services.WEBHOOKS_PER_USER]
    return render(request, "webhooks/list.html", {"form": form, "made": made, "webhooks": own})


@require_GET
@login_required
@never_cache
def detail(request: HttpRequest, webhook_id: UUID) -> HttpResponse:
    return _detail(request, _own_webhook(request, webhook_id))


def _detail(request: HttpRequest, webhook: Webhook, *, secret: str = "") -> HttpResponse:
    context = {
        "webhook": webhook,
        "secret": secret,
        "page": page_of(request, webhook.deliveries.select_related("batch")),
        "failures_in_a_row": FAILURES_IN_A_ROW,
    }
    return render(request, "webhooks/detail.html", context)


@require_POST
@login_required
def change_active(request: HttpRequest, webhook_id: UUID) -> HttpResponse:
    webhook = _own_webhook(request, webhook_id)
    is_active = request.POST.get("is_active") == "true"
    services.set_active(webhook=webhook, actor=_user(request), is_active=is_active)
    messages.success(request, _("It is called again.") if is_active else _("It is paused: nothing is sent."))
    return redirect("webhooks:detail", webhook.uuid)


@require_POST
@login_required
def send_test(request: HttpRequest, webhook_id: UUID) -> HttpResponse:
    webhook = _own_webhook(request, webhook_id)
    try:
        services.send_test(webhook=webhook, actor=_user(request))
    except ServiceError as error:
        messages.error(request, str(error))
    else:
        messages.success(
            request, _("A test is on its way. Reload this page in a few seconds to see what became of it.")
        )
    return redirect("webhooks:detail", webhook.uuid)


@require_POST
@login_required
@never_cache
def change_secret(request: HttpRequest, webhook_id: UUID) -> HttpResponse:
    """The new secret is in this answer, and nowhere else ever."""
    changed = services.change_secret(webhook=_own_webhook(request, webhook_id), actor=_user(request))
    return _detail(request, changed, secret=changed.secret)


@require_POST
@login_required
def delete(request: HttpRequest, webhook_id: UUID) -> HttpResponse:
    services.delete_webhook(webhook=_own_webhook(request, webhook_id), actor=_user(request))
    messages.success(request, _("The webhook is deleted, with the record of its deliveries."))
    return redirect("webhooks:list")


@require_POST
@login_required
def redeliver(request: HttpRequest, webhook_id: UUID, delivery_id: UUID) -> HttpResponse:
    webhook = _own_webhook(request, webhook_id)
    delivery = get_object_or_404(webhook.deliveries.select_related("webhook"), uuid=delivery_id)
    try:
        services.redeliver(delivery=delivery, actor=_user(request))
    except ServiceError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, _("It is sent again."))
    return redirect("webhooks:detail", webhook.uuid)


def _user(request: HttpRequest) -> User:
    return cast(User, request.user)


def _own_webhook(request: HttpRequest, webhook_id: UUID) -> Webhook:
    return get_object_or_404(Webhook.objects.visible_to(_user(request)), uuid=webhook_id)
