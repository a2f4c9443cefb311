"""What receivers are sent."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.urls import reverse
from django.utils import timezone

from predictions.models import Batch
from webhooks.models import Delivery, DeliveryEvent, Webhook


def batch_finished(*, webhook_id: int, batch: Batch, counts: dict[str, int]) -> Delivery:
    """The message that all files of a batch are done; not stored yet. counts: total and how many are what."""
    address = f"{settings.SITE_URL}{reverse('api:batch', args=[batch.uuid])}"
    csv = f"{settings.SITE_URL}{reverse('api:batch-csv', args=[batch.uuid])}"
    message = _message(DeliveryEvent.BATCH_FINISHED, {"batch": str(batch.uuid), **counts, "url": address, "csv": csv})
    message.webhook_id, message.batch, message.files = webhook_id, batch, counts["total"]
    return message


def ping(webhook: Webhook) -> Delivery:
    """A test, tried once; not stored yet."""
    message = _message(DeliveryEvent.PING, {"webhook": str(webhook.uuid)})
    message.webhook, message.attempt_limit = webhook, 1
    return message


def _message(event: DeliveryEvent, data: dict[str, Any]) -> Delivery:
    identity = uuid4()
    body = {"id": str(identity), "type": event.value, "timestamp": timezone.now().isoformat(), "data": data}
    return Delivery(uuid=identity, event=event, body=json.dumps(body, separators=(",", ":")))
