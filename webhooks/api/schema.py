"""What the schema says of webhooks beyond what their views and serializers tell: examples, links, headers."""

from __future__ import annotations

import json
from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiParameter

from idc_site.api_schema import header, links_to
from predictions.api.schema import BATCH, SITE

ID, DELIVERY = (f"{digit * 8}-0000-4000-8000-000000000000" for digit in "c0")
WEBHOOK: dict[str, Any] = {
    "id": ID,
    "url": "https://lab.example.org/idc",
    "is_active": True,
    "pause_reason": None,
    "last_attempt_at": "2026-11-24T12:00:02Z",
    "last_error": None,
    "created_at": "2026-11-23T11:30:00Z",
    "deliveries": f"{SITE}/api/v1/webhooks/{ID}/deliveries/",
}
NEW = WEBHOOK | {"last_attempt_at": None, "secret": f"whsec_{'A' * 43}="}
PAUSED = WEBHOOK | {"is_active": False, "pause_reason": "owner"}
SENT: dict[str, Any] = {
    "id": DELIVERY,
    "event": "batch.finished",
    "batch": BATCH,
    "status": "succeeded",
    "attempts": 1,
    "created_at": "2026-11-24T12:00:00Z",
    "next_attempt_at": None,
    "finished_at": "2026-11-24T12:00:02Z",
    "response_status": 204,
    "response_text": "",
    "duration_ms": 87,
    "error": None,
    "body": json.dumps(
        {"id": DELIVERY, "type": "batch.finished", "timestamp": "2026-11-24T12:00:00+00:00", "data": {}}
    ),
}
WAITING = SENT | {
    "status": "queued",
    "attempts": 0,
    "next_attempt_at": "2026-11-24T12:00:00Z",
    "finished_at": None,
    "response_status": None,
    "duration_ms": None,
}
PING = WAITING | {
    "event": "ping",
    "batch": None,
    "body": json.dumps(
        {"id": DELIVERY, "type": "ping", "timestamp": "2026-11-24T12:00:00+00:00", "data": {"webhook": ID}}
    ),
}
CREATE = OpenApiExample("webhook", value={"url": "https://lab.example.org/idc"}, request_only=True)
PAUSE = OpenApiExample("pause", value={"is_active": False}, request_only=True)

FOLLOW_UPS: dict[str, Any] = {}
for _name in ("get_webhook", "change_webhook", "test_webhook", "list_deliveries", "delete_webhook"):
    FOLLOW_UPS |= links_to(_name, webhook_id="$response.body#/id")


def no_store(*statuses: int) -> OpenApiParameter:
    return header("Cache-Control", "`no-store`: the secret is for you alone.", *statuses, is_always_there=True)
