"""What the API takes and gives of webhooks. A secret is given once, when it is made."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from webhooks.addresses import MAX_URL
from webhooks.models import Delivery, DeliveryStatus, Webhook


class WebhookCreateSerializer(serializers.Serializer[Any]):
    url = serializers.CharField(max_length=MAX_URL)


class WebhookChangeSerializer(serializers.Serializer[Any]):
    is_active = serializers.BooleanField()


class ErrorSerializer(serializers.Serializer[Any]):
    code = serializers.CharField()
    message = serializers.CharField()


class WebhookSerializer(serializers.ModelSerializer[Webhook]):
    id = serializers.UUIDField(source="uuid")
    pause_reason = serializers.SerializerMethodField()
    last_error = serializers.SerializerMethodField()
    deliveries = serializers.HyperlinkedIdentityField(
        view_name="api:webhook-deliveries", lookup_field="uuid", lookup_url_kwarg="webhook_id"
    )

    class Meta:
        model = Webhook
        fields = ("id", "url", "is_active", "pause_reason", "last_attempt_at", "last_error", "created_at", "deliveries")

    def get_pause_reason(self, webhook: Webhook) -> str | None:
        """owner, failing or gone; null while it is active."""
        return webhook.pause_reason or None

    def get_last_error(self, webhook: Webhook) -> dict[str, str] | None:
        """Null if the last attempt arrived, or if there was none."""
        if not webhook.last_error:
            return None
        return dict(ErrorSerializer({"code": webhook.last_error, "message": webhook.last_error_message}).data)


class WebhookWithSecretSerializer(WebhookSerializer):
    """The answer to a new webhook or a new secret, and to nothing else."""

    class Meta(WebhookSerializer.Meta):
        fields = (*WebhookSerializer.Meta.fields, "secret")  # type: ignore[assignment]  # one more


class DeliverySerializer(serializers.ModelSerializer[Delivery]):
    id = serializers.UUIDField(source="uuid")
    batch = serializers.UUIDField(source="batch.uuid", default=None)
    attempts = serializers.IntegerField(source="attempt")
    next_attempt_at = serializers.SerializerMethodField()
    error = serializers.SerializerMethodField()

    class Meta:
        model = Delivery
        fields = (
            "id",
            "event",
            "batch",
            "status",
            "attempts",
            "created_at",
            "next_attempt_at",
            "finished_at",
            "response_status",
            "response_text",
            "duration_ms",
            "error",
            "body",
        )

    def get_next_attempt_at(self, delivery: Delivery) -> str | None:
        """Null unless it waits."""
        if delivery.status != DeliveryStatus.QUEUED:
            return None
        return str(serializers.DateTimeField().to_representation(delivery.next_attempt_at))

    def get_error(self, delivery: Delivery) -> dict[str, str] | None:
        """Why the last attempt did not arrive."""
        if not delivery.error_code:
            return None
        return dict(ErrorSerializer({"code": delivery.error_code, "message": delivery.error}).data)
