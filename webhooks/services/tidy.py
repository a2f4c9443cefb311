from __future__ import annotations

from datetime import timedelta

from django.db.models.functions import Now

from webhooks.models import Delivery

KEPT = timedelta(days=30)


def tidy() -> int:
    """Forget deliveries older than KEPT; return how many. Their batches are too old by then to be told again."""
    return Delivery.objects.filter(created_at__lt=Now() - KEPT).delete()[0]
