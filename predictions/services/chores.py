"""Housekeeping, in a process of its own so that it never delays a prediction."""

from __future__ import annotations

from datetime import timedelta

from django.core.management import call_command
from django.db.models.functions import Now

from accounts import exports
from accounts.models import ApiToken, Counter
from predictions.models import IdempotencyKey, Usage, WorkerHeartbeat
from predictions.services import forget
from webhooks import services as webhooks

FORGOTTEN = timedelta(days=1)


def tidy() -> None:
    """Remove expired sessions, expired tokens, counts of wrong ones, heartbeats of processes long gone, archives
    and deliveries that nobody looks at any more, and pixels that should be gone."""
    forget.drop_overdue()
    call_command("clearsessions")
    ApiToken.objects.filter(expiry__lt=Now()).delete()
    Counter.objects.filter(since__lt=Now() - FORGOTTEN).delete()
    IdempotencyKey.objects.filter(created_at__lt=Now() - FORGOTTEN).delete()
    Usage.objects.filter(hour__lt=Now() - 2 * FORGOTTEN).delete()
    WorkerHeartbeat.objects.filter(seen_at__lt=Now() - FORGOTTEN).delete()
    exports.tidy()
    webhooks.tidy()
