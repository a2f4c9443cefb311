"""Staff see that webhooks exist and how deliveries end; they see no secret, and nothing that receivers said."""

from __future__ import annotations

from django.contrib import admin

from predictions.admin.base import ReadOnlyAdmin
from webhooks.models import Delivery, Webhook


@admin.register(Webhook)
class WebhookAdmin(ReadOnlyAdmin):
    list_display = ("short_id", "owner", "url", "is_active", "pause_reason", "last_attempt_at", "last_error")
    list_filter = ("is_active", "pause_reason")
    list_select_related = ("owner",)
    search_fields = ("uuid__exact", "owner__email")
    ordering = ("-id",)
    exclude = ("salt", "salt_before")


@admin.register(Delivery)
class DeliveryAdmin(ReadOnlyAdmin):
    list_display = ("short_id", "webhook", "event", "status", "attempt", "response_status", "error_code", "created_at")
    list_filter = ("status", "event")
    list_select_related = ("webhook",)
    search_fields = ("uuid__exact", "webhook__uuid__exact")
    ordering = ("-id",)
    exclude = ("response_text",)
