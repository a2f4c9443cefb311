"""Webhooks over the API: they parse and answer; what is done, `services` does."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiResponse
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.views import APIView

from accounts.models import Scope
from idc_site.api_schema import example, operation
from predictions.api.access import user_of
from predictions.api.schema import PAGE_PARAMETERS, location
from predictions.pagination import NewestFirst
from webhooks import services
from webhooks.api.schema import CREATE, FOLLOW_UPS, NEW, PAUSE, PAUSED, PING, SENT, WAITING, WEBHOOK, no_store
from webhooks.api.serializers import (
    DeliveryPageSerializer,
    DeliverySerializer,
    WebhookChangeSerializer,
    WebhookCreateSerializer,
    WebhookListSerializer,
    WebhookSerializer,
    WebhookWithSecretSerializer,
)
from webhooks.exceptions import (
    NotFailed,
    TooManyTests,
    TooManyWebhooks,
    UrlInvalid,
    UrlPrivate,
    UrlUnresolved,
    WebhookPaused,
)
from webhooks.models import Delivery, Webhook


class WebhookList(APIView):
    """All of one's own (there are at most ten), newest first; and the way to make one."""

    scopes: ClassVar = {"POST": Scope.MANAGE}

    @operation(
        "list_webhooks",
        "Your webhooks",
        answers={200: WebhookListSerializer},
        examples=[example({"results": [WEBHOOK]}, 200)],
    )
    def get(self, request: Request) -> Response:
        """All of them, newest first: there are at most ten."""
        own = Webhook.objects.visible_to(user_of(request)).order_by("-pk")[: services.WEBHOOKS_PER_USER]
        return Response({"results": [_webhook_json(request, webhook) for webhook in own]})

    @operation(
        "create_webhook",
        "Be told when batches are done",
        request={"application/json": WebhookCreateSerializer},
        answers={201: WebhookWithSecretSerializer},
        examples=[CREATE, example(NEW, 201)],
        errors=[UrlInvalid, UrlUnresolved, UrlPrivate, TooManyWebhooks],
        parameters=[location("The webhook.", 201), no_store(201)],
        links={"201": FOLLOW_UPS},
    )
    def post(self, request: Request) -> Response:
        """201 with the `secret`, which is not given again. How to verify what is sent: docs/api.md."""
        fields = WebhookCreateSerializer(data=request.data)
        fields.is_valid(raise_exception=True)
        made = services.create_webhook(owner=user_of(request), url=fields.validated_data["url"])
        address = reverse("api:webhook", args=[made.uuid], request=request)
        return _with_secret(request, made, status=201, headers={"Location": address})


class WebhookDetail(APIView):
    """One webhook: how it does; pause, resume, delete."""

    scopes: ClassVar = {"PATCH": Scope.MANAGE, "DELETE": Scope.MANAGE}

    @operation(
        "get_webhook",
        "One webhook",
        answers={200: WebhookSerializer},
        examples=[example(WEBHOOK, 200)],
        links={"200": FOLLOW_UPS},
    )
    def get(self, request: Request, webhook_id: UUID) -> Response:
        """Whether it is active, and how its last delivery went."""
        return Response(_webhook_json(request, _own_webhook(request, webhook_id)))

    @operation(
        "change_webhook",
        "Pause or resume a webhook",
        request={"application/json": WebhookChangeSerializer},
        answers={200: WebhookSerializer},
        examples=[PAUSE, example(PAUSED, 200)],
    )
    def patch(self, request: Request, webhook_id: UUID) -> Response:
        """Pause with `is_active` false, resume with true. While it is paused, what is to be told waits."""
        webhook = _own_webhook(request, webhook_id)
        fields = WebhookChangeSerializer(data=request.data)
        fields.is_valid(raise_exception=True)
        services.set_active(webhook=webhook, actor=user_of(request), is_active=fields.validated_data["is_active"])
        return Response(_webhook_json(request, webhook))

    @operation("delete_webhook", "Delete a webhook", answers={204: OpenApiResponse(description="It is gone.")})
    def delete(self, request: Request, webhook_id: UUID) -> Response:
        """The webhook with its deliveries; what waits is not sent any more."""
        services.delete_webhook(webhook=_own_webhook(request, webhook_id), actor=user_of(request))
        return Response(status=204)


class WebhookSecret(APIView):
    """A new secret. The one before it signs too for another day."""

    scopes: ClassVar = {"POST": Scope.MANAGE}

    @operation(
        "change_secret",
        "A new secret",
        answers={200: WebhookWithSecretSerializer},
        examples=[example(NEW, 200)],
        parameters=[no_store(200)],
    )
    def post(self, request: Request, webhook_id: UUID) -> Response:
        """Given once. The secret before it signs too for another day."""
        changed = services.change_secret(webhook=_own_webhook(request, webhook_id), actor=user_of(request))
        return _with_secret(request, changed, status=200)


class WebhookTest(APIView):
    """Send a `ping`, tried once; what becomes of it is in the deliveries."""

    scopes: ClassVar = {"POST": Scope.MANAGE}

    @operation(
        "test_webhook",
        "Send a test",
        answers={202: DeliverySerializer},
        examples=[example(PING, 202)],
        errors=[TooManyTests],
        parameters=[location("The deliveries, where it can be followed.", 202)],
    )
    def post(self, request: Request, webhook_id: UUID) -> Response:
        """A `ping`, tried once, also to a paused webhook; what becomes of it is in the deliveries."""
        delivery = services.send_test(webhook=_own_webhook(request, webhook_id), actor=user_of(request))
        return _queued(request, webhook_id, delivery)


class WebhookDeliveries(APIView):
    """What was sent to one webhook or is to be, newest first, for thirty days."""

    @operation(
        "list_deliveries",
        "What was sent to a webhook",
        answers={200: DeliveryPageSerializer},
        examples=[example({"results": [SENT], "next": None, "previous": None}, 200)],
        parameters=PAGE_PARAMETERS,
    )
    def get(self, request: Request, webhook_id: UUID) -> Response:
        """And what is to be sent, newest first, in pages, for thirty days."""
        webhook = _own_webhook(request, webhook_id)
        paginator = NewestFirst()
        deliveries = webhook.deliveries.select_related("batch")
        page: list[Delivery] = paginator.paginate_queryset(deliveries, request, view=self) or []
        response: Response = paginator.get_paginated_response(DeliverySerializer(page, many=True).data)
        return response


class DeliveryRedeliver(APIView):
    """A delivery that was given up is sent again, under the same id; 409 if it was not given up."""

    scopes: ClassVar = {"POST": Scope.MANAGE}

    @operation(
        "redeliver",
        "Send a delivery again",
        answers={202: DeliverySerializer},
        examples=[example(WAITING, 202)],
        errors=[NotFailed, WebhookPaused],
        parameters=[location("The deliveries, where it can be followed.", 202)],
    )
    def post(self, request: Request, webhook_id: UUID, delivery_id: UUID) -> Response:
        """One that was given up, under the same id; 409 if it was not."""
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
