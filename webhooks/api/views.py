"""Webhooks over the API: they parse and answer; what is done, `services` does."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from django.shortcuts import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.views import APIView

from accounts.models import Scope
from predictions.api.access import user_of
from predictions.pagination import NewestFirst
from webhooks import services
from webhooks.api.serializers import (
    DeliverySerializer,
    WebhookChangeSerializer,
    WebhookCreateSerializer,
    WebhookSerializer,
    WebhookWithSecretSerializer,
)
from webhooks.models import Delivery, Webhook


class WebhookList(APIView):
    """All of one's own (there are at most ten), newest first; and the way to make one."""

    scopes: ClassVar = {"POST": Scope.MANAGE}

    def get(self, request: Request) -> Response:
        own = Webhook.objects.visible_to(user_of(request)).order_by("-pk")[: services.WEBHOOKS_PER_USER]
        return Response({"results": [_webhook_json(request, webhook) for webhook in own]})

    def post(self, request: Request) -> Response:
        """201 with the `secret`, which is not given again."""
        fields = WebhookCreateSerializer(data=request.data)
        fields.is_valid(raise_exception=True)
        made = services.create_webhook(owner=user_of(request), url=fields.validated_data["url"])
        address = reverse("api:webhook", args=[made.uuid], request=request)
        return _with_secret(request, made, status=201, headers={"Location": address})


class WebhookDetail(APIView):
    """One webhook: how it does; pause, resume, delete."""

    scopes: ClassVar = {"PATCH": Scope.MANAGE, "DELETE": Scope.MANAGE}

    def get(self, request: Request, webhook_id: UUID) -> Response:
        return Response(_webhook_json(request, _own_webhook(request, webhook_id)))

    def patch(self, request: Request, webhook_id: UUID) -> Response:
        """Pause with `is_active` false, resume with true."""
        webhook = _own_webhook(request, webhook_id)
        fields = WebhookChangeSerializer(data=request.data)
        fields.is_valid(raise_exception=True)
        services.set_active(webhook=webhook, actor=user_of(request), is_active=fields.validated_data["is_active"])
        return Response(_webhook_json(request, webhook))

    def delete(self, request: Request, webhook_id: UUID) -> Response:
        services.delete_webhook(webhook=_own_webhook(request, webhook_id), actor=user_of(request))
        return Response(status=204)


class WebhookSecret(APIView):
    """A new secret. The one before it signs too for another day."""

    scopes: ClassVar = {"POST": Scope.MANAGE}

    def post(self, request: Request, webhook_id: UUID) -> Response:
        changed = services.change_secret(webhook=_own_webhook(request, webhook_id), actor=user_of(request))
        return _with_secret(request, changed, status=200)


class WebhookTest(APIView):
    """Send a `ping`, tried once; what becomes of it is in the deliveries."""

    scopes: ClassVar = {"POST": Scope.MANAGE}

    def post(self, request: Request, webhook_id: UUID) -> Response:
        delivery = services.send_test(webhook=_own_webhook(request, webhook_id), actor=user_of(request))
        return _queued(request, webhook_id, delivery)


class WebhookDeliveries(APIView):
    """What was sent to one webhook or is to be, newest first, for thirty days."""

    def get(self, request: Request, webhook_id: UUID) -> Response:
        webhook = _own_webhook(request, webhook_id)
        paginator = NewestFirst()
        deliveries = webhook.deliveries.select_related("batch")
        page: list[Delivery] = paginator.paginate_queryset(deliveries, request, view=self) or []
        response: Response = paginator.get_paginated_response(DeliverySerializer(page, many=True).data)
        return response


class DeliveryRedeliver(APIView):
    """A delivery that was given up is sent again, under the same id; 409 if it was not given up."""

    scopes: ClassVar = {"POST": Scope.MANAGE}

    def post(self, request: Request, webhook_id: UUID, delivery_id: UUID) -> Response:
        own = _own_webhook(request, webhook_id).deliveries.select_related("webhook", "batch")
        delivery = get_object_or_404(own, uuid=delivery_id)
        services.redeliver(delivery=delivery, actor=user_of(request))
        return _queued(request, webhook_id, delivery)


def _own_webhook(request: Request, webhook_id: UUID) -> Webhook:
    return get_object_or_404(Webhook.objects.visible_to(user_of(request)), uuid=webhook_id)


def _webhook_json(request: Request, webhook: Webhook) -> dict[str, Any]:
    return dict(WebhookSerializer(webhook, context={"request": request}).data)


def _with_secret(request: Request, webhook: Webhook, *, status: int, headers: dict[str, str] | None = None) -> Response:
    body = WebhookWithSecretSerializer(webhook, context={"request": request}).data
    return Response(body, status=status, headers={"Cache-Control": "no-store"} | (headers or {}))


def _queued(request: Request, webhook_id: UUID, delivery: Delivery) -> Response:
    """202, with the list in which it can be followed."""
    address = reverse("api:webhook-deliveries", args=[webhook_id], request=request)
    return Response(DeliverySerializer(delivery).data, status=202, headers={"Location": address})
