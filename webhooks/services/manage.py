"""What owners do with their webhooks."""

from __future__ import annotations

from datetime import timedelta

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from accounts.models import User
from predictions.models import Event
from webhooks.addresses import checked_target
from webhooks.exceptions import NotFailed, TooManyTests, TooManyWebhooks, WebhookPaused
from webhooks.models import Delivery, DeliveryEvent, DeliveryStatus, PauseReason, Webhook
from webhooks.models.delivery import ATTEMPTS
from webhooks.models.webhook import new_salt
from webhooks.services.messages import ping

WEBHOOKS_PER_USER = 10
TESTS_PER_MINUTE = 10


def create_webhook(*, owner: User, url: str) -> Webhook:
    """A new webhook, told of batches from now on. Show its `secret` in the answer, and nowhere else.

    Raises:
        UrlInvalid, UrlUnresolved, UrlPrivate: it may not lead there; looked at again before each delivery.
        TooManyWebhooks: the owner has WEBHOOKS_PER_USER.
    """
    target = checked_target(url)  # before the transaction: a name server may take its time
    with transaction.atomic():
        User.objects.select_for_update(no_key=True).get(pk=owner.pk)
        if Webhook.objects.filter(owner=owner).count() >= WEBHOOKS_PER_USER:
            raise TooManyWebhooks
        webhook = Webhook.objects.create(owner=owner, url=str(target.url))
        webhook.refresh_from_db()
        _record(Event.Kind.WEBHOOK_MADE, owner, webhook)
    return webhook


@transaction.atomic
def set_active(*, webhook: Webhook, actor: User, is_active: bool) -> None:
    """Pause or resume. What is to be told meanwhile waits, and is sent after the resumption. Twice is one event."""
    reason = "" if is_active else PauseReason.OWNER
    other = Webhook.objects.filter(pk=webhook.pk).exclude(is_active=is_active)
    if other.update(is_active=is_active, pause_reason=reason, failures=0):
        _record(Event.Kind.WEBHOOK_RESUMED if is_active else Event.Kind.WEBHOOK_PAUSED, actor, webhook)
    webhook.refresh_from_db()


@transaction.atomic
def change_secret(*, webhook: Webhook, actor: User) -> Webhook:
    """Give it a new secret, to be shown in the answer alone. The one before it signs too for another day."""
    Webhook.objects.filter(pk=webhook.pk).update(salt_before=F("salt"), salt=new_salt(), secret_changed_at=Now())
    _record(Event.Kind.WEBHOOK_SECRET, actor, webhook)
    webhook.refresh_from_db()
    return webhook


@transaction.atomic
def delete_webhook(*, webhook: Webhook, actor: User) -> None:
    """It is gone with its deliveries; what is being sent at this moment may still arrive."""
    deleted, _ = Webhook.objects.filter(pk=webhook.pk).delete()
    if deleted:
        _record(Event.Kind.WEBHOOK_DELETED, actor, webhook)


@transaction.atomic
def send_test(*, webhook: Webhook, actor: User) -> Delivery:
    """Queue a `ping`, also for a paused webhook. While one waits, asking again is answered with that one.

    Raises:
        TooManyTests: the owner sent TESTS_PER_MINUTE within the last one.
    """
    User.objects.select_for_update(no_key=True).get(pk=webhook.owner_id)
    tests = Delivery.objects.filter(event=DeliveryEvent.PING)
    waiting = tests.filter(webhook=webhook, status=DeliveryStatus.QUEUED).order_by("-pk").first()
    if waiting:
        return waiting
    recent = tests.filter(webhook__owner=webhook.owner_id, created_at__gt=Now() - timedelta(minutes=1))
    if recent.count() >= TESTS_PER_MINUTE:
        raise TooManyTests
    delivery = ping(webhook)
    delivery.save()
    delivery.refresh_from_db()
    _record(Event.Kind.WEBHOOK_TESTED, actor, webhook)
    return delivery


@transaction.atomic
def redeliver(*, delivery: Delivery, actor: User) -> None:
    """failed -> queued, with a whole new series of attempts (a test: one). The id stays, so that one can tell.

    Raises:
        WebhookPaused: it would wait until its webhook is resumed.
        NotFailed: it has not been given up.
    """
    if not delivery.webhook.is_active:
        raise WebhookPaused
    failed = Delivery.objects.filter(pk=delivery.pk, status=DeliveryStatus.FAILED)
    again = {
        "status": DeliveryStatus.QUEUED,
        "attempt_limit": F("attempt") + (1 if delivery.event == DeliveryEvent.PING else ATTEMPTS),
        "next_attempt_at": Now(),
        "queued_at": Now(),
        "finished_at": None,
    }
    if not failed.update(**again):
        raise NotFailed
    delivery.refresh_from_db()
    _record(Event.Kind.REDELIVERED, actor, delivery)


def _record(kind: Event.Kind, actor: User, subject: Webhook | Delivery) -> None:
    Event.objects.create(kind=kind, actor=actor, subject=str(subject.uuid))
