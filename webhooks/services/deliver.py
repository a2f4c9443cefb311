"""Bringing messages to their receivers: claim, send outside any transaction, finish only what is still ours."""

from __future__ import annotations

import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import timedelta
from secrets import SystemRandom

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone

from predictions.models import Event
from webhooks.models import Delivery, DeliveryEvent, DeliveryStatus, PauseReason, Webhook
from webhooks.models.delivery import ATTEMPTS
from webhooks.sender import Outcome, post
from webhooks.signature import sign

LANES = 4  # deliveries under way at once
LEASE = timedelta(seconds=60)  # far longer than looking a name up and sending may take
DELIVER_SECONDS = 20
LOOK_SECONDS = 0.5  # for more to send, while some are under way
BACK_OFF = 8  # each pause is so many times the one before it
LONGEST_PAUSE = 6 * 3600
JITTER = 0.2
FAILURES_IN_A_ROW = 5  # deliveries given up until the webhook is paused


def deliver(*, seconds: float = DELIVER_SECONDS) -> int:
    """Send what is due until nothing is left or the time is up; return how many attempts were made."""
    deadline, made = time.monotonic() + seconds, 0
    under_way: dict[Future[Outcome], Delivery] = {}
    with ThreadPoolExecutor(LANES, thread_name_prefix="deliver") as lanes:
        while True:
            free = LANES - len(under_way)
            if free and time.monotonic() < deadline:
                for delivery in Delivery.objects.claim_due(limit=free, lease=LEASE):
                    under_way[_send(lanes, delivery)] = delivery
            if not under_way:
                return made
            done, _ = wait(under_way, timeout=LOOK_SECONDS, return_when=FIRST_COMPLETED)
            for attempt in done:
                finish(under_way.pop(attempt), attempt.result())
                made += 1


def _send(lanes: ThreadPoolExecutor, delivery: Delivery) -> Future[Outcome]:
    """Start the attempt. All that it needs is read here: the lanes have no database connection."""
    webhook = delivery.webhook
    timestamp = int(time.time())
    identity = str(delivery.uuid)
    headers = {
        "webhook-id": identity,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(
            keys=webhook.signing_keys, message_id=identity, timestamp=timestamp, body=delivery.body
        ),
    }
    return lanes.submit(post, webhook.url, headers=headers, body=delivery.body)


@transaction.atomic
def finish(delivery: Delivery, outcome: Outcome) -> bool:
    """running -> succeeded, or queued after a pause, or failed; whether this attempt was still the current one."""
    mine = Delivery.objects.filter(pk=delivery.pk, status=DeliveryStatus.RUNNING, attempt=delivery.attempt)
    said = {
        "lease_until": None,
        "error_code": outcome.error_code,
        "response_status": outcome.status,
        "response_text": outcome.text,
        "duration_ms": outcome.duration_ms,
    }
    is_over = outcome.error_code == "gone" or delivery.attempt >= delivery.attempt_limit
    if not outcome.error_code:
        changed = mine.update(**said, status=DeliveryStatus.SUCCEEDED, finished_at=Now())
    elif is_over:
        changed = mine.update(**said, status=DeliveryStatus.FAILED, finished_at=Now())
    else:
        pause = max(pause_after(delivery), min(outcome.retry_after, LONGEST_PAUSE))
        changed = mine.update(**said, status=DeliveryStatus.QUEUED, next_attempt_at=Now() + timedelta(seconds=pause))
    if changed:
        _note(delivery, outcome.error_code, is_given_up=is_over and bool(outcome.error_code))
    return bool(changed)


def pause_after(delivery: Delivery) -> float:
    """Seconds until the next attempt: 10, 80, 640, 5,120, then six hours (with the default settings), and up to a
    fifth more, so that what failed together does not come back together."""
    earlier = max(ATTEMPTS - 1 - (delivery.attempt_limit - delivery.attempt), 0)
    pause = min(settings.WEBHOOK_RETRY_SECONDS * BACK_OFF**earlier, LONGEST_PAUSE)
    return float(pause * (1 + JITTER * SystemRandom().random()))


def _note(delivery: Delivery, code: str, *, is_given_up: bool) -> None:
    """Say on the webhook how the attempt ended; pause it when its receiver is gone or fails again and again."""
    webhook = Webhook.objects.select_for_update().get(pk=delivery.webhook_id)
    webhook.last_attempt_at, webhook.last_error = timezone.now(), code
    if not code:
        webhook.failures = 0
    elif is_given_up and delivery.event != DeliveryEvent.PING:
        webhook.failures += 1
    is_failing = webhook.failures >= FAILURES_IN_A_ROW
    if webhook.is_active and (code == "gone" or is_failing):
        webhook.is_active = False
        webhook.pause_reason = PauseReason.GONE if code == "gone" else PauseReason.FAILING
        Event.objects.create(
            kind=Event.Kind.WEBHOOK_PAUSED, subject=str(webhook.uuid), payload={"reason": webhook.pause_reason}
        )
    webhook.save(update_fields=["last_attempt_at", "last_error", "failures", "is_active", "pause_reason"])


@transaction.atomic
def sweep() -> int:
    """Take back what a process that died was sending; return how many. Its receiver may get it a second time."""
    expired = Delivery.objects.filter(status=DeliveryStatus.RUNNING, lease_until__lt=Now())
    failed = expired.filter(attempt__gte=F("attempt_limit")).update(
        status=DeliveryStatus.FAILED, lease_until=None, finished_at=Now(), error_code="interrupted"
    )
    queued = expired.update(
        status=DeliveryStatus.QUEUED, lease_until=None, next_attempt_at=Now(), error_code="interrupted"
    )
    return failed + queued
