"""What the API takes and gives of webhooks. A secret is given once, when it is made."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from idc_site.api_fields import Body, FlagField, TextField
from idc_site.api_schema import CodedErrorSerializer
from webhooks.addresses import MAX_URL
from webhooks.models import Delivery, DeliveryStatus, Webhook
from webhooks.models.webhook import PauseReason


class WebhookCreateSerializer(Body):
    """Where to send."""

    url = TextField(max_length=MAX_URL, help_text="A whole address, https or http, that is public.")


class WebhookChangeSerializer(Body):
    """Pause or resume."""

    is_active = FlagField()


class WebhookSerializer(serializers.ModelSerializer[Webhook]):
    """An address that is told when something of its owner's is done."""

    id = serializers.UUIDField(source="uuid")
    pause_reason = serializers.SerializerMethodField()
    last_error = serializers.SerializerMethodField()
    deliveries = serializers.HyperlinkedIdentityField(
        view_name="api:webhook-deliveries", lookup_field="uuid", lookup_url_kwarg="webhook_id"
    )

    class Meta:
        model = Webhook
        fields = ("id", "url", "is_active", "pause_reason", "last_attempt_at", "last_error", "created_at", "deliveries")
        read_only_fields = fields

    @extend_schema_field(serializers.ChoiceField(choices=PauseReason.choices, allow_null=True))
    def get_pause_reason(self, webhook: Webhook) -> str | None:
        """owner, failing or gone; null while it is active."""
        return webhook.pause_reason or None

    @extend_schema_field(CodedErrorSerializer(allow_null=True))
    def get_last_error(self, webhook: Webhook) -> dict[str, str] | None:
        """Null if the last attempt arrived, or if there was none."""
        if not webhook.last_error:
            return None
        return dict(CodedErrorSerializer({"code": webhook.last_error, "message": webhook.last_error_message}).data)


class WebhookWithSecretSerializer(WebhookSerializer):
    """The answer to a new webhook or a new secret, and to nothing else."""

    secret = serializers.CharField(help_text="What signs. Not given again.")

    class Meta(WebhookSerializer.Meta):
        fields = (*WebhookSerializer.Meta.fields, "secret")  # type: ignore[assignment]  # one more
        read_only_fields = fields  # type: ignore[assignment]  # one more


class WebhookListSerializer(serializers.Serializer[Any]):
    results = WebhookSerializer(many=True)


class DeliverySerializer(serializers.ModelSerializer[Delivery]):
    """One message to one receiver, and what came back at the last attempt."""

    id = serializers.UUIDField(source="uuid", help_text="What is sent as `webhook-id`.")
    batch = serializers.UUIDField(source="batch.uuid", allow_null=True)
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
        read_only_fields = fields

    @extend_schema_field(serializers.DateTimeField(allow_null=True))
    def get_next_attempt_at(self, delivery: Delivery) -> str | None:
        """Null unless it waits."""
        if delivery.status != DeliveryStatus.QUEUED:
            return None
        return str(serializers.DateTimeField().to_representation(delivery.next_attempt_at))

    @extend_schema_field(CodedErrorSerializer(allow_null=True))
    def get_error(self, delivery: Delivery) -> dict[str, str] | None:
        """Why the last attempt did not arrive."""
        if not delivery.error_code:
            return None
        return dict(CodedErrorSerializer({"code": delivery.error_code, "message": delivery.error}).data)


class DeliveryPageSerializer(serializers.Serializer[Any]):
    """One page of deliveries. `next` and `previous` are whole addresses, null at the ends."""

    results = DeliverySerializer(many=True)
    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)
