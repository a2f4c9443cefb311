"""What an owner does with one prediction: share, take back, try again, ask another model."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from drf_spectacular.utils import OpenApiExample, OpenApiResponse
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.views import APIView

from accounts.models import Scope
from idc_site.api_schema import example, operation
from predictions import services
from predictions.api.access import own_prediction, token_of, user_of
from predictions.api.headers import preference_applied, wait_seconds
from predictions.api.schema import PREDICTION, QUEUED, WAITING, location
from predictions.api.serializers import PredictionSerializer, RerunSerializer, prediction_json
from predictions.exceptions import NotRetryable, PixelsDropped, QuotaExceeded, StaysPrivate
from predictions.models import Prediction, Visibility
from predictions.waiting import known_suffices, wait_for_answers


class Share(APIView):
    scopes: ClassVar = {"POST": Scope.MANAGE}

    @operation(
        "share_prediction",
        "Share a patch",
        answers={200: PredictionSerializer},
        examples=[example(PREDICTION | {"visibility": "public"}, 200)],
        errors=[StaysPrivate, PixelsDropped],
    )
    def post(self, request: Request, prediction_id: UUID) -> Response:
        """The patch is public from now on; shared again it stays so."""
        return _set_visibility(request, prediction_id, Visibility.PUBLIC)


class Unshare(APIView):
    scopes: ClassVar = {"POST": Scope.MANAGE}

    @operation(
        "unshare_prediction",
        "Take a shared patch back",
        answers={200: PredictionSerializer},
        examples=[example(PREDICTION, 200)],
    )
    def post(self, request: Request, prediction_id: UUID) -> Response:
        """Only its owner sees the patch from now on, in the gallery and under every address."""
        return _set_visibility(request, prediction_id, Visibility.PRIVATE)


class Retry(APIView):
    scopes: ClassVar = {"POST": Scope.PREDICT}

    @operation(
        "retry_prediction",
        "Try a failed prediction again",
        answers={
            200: OpenApiResponse(PredictionSerializer, "It has ended again, within `Prefer: wait`."),
            202: OpenApiResponse(PredictionSerializer, "It waits for its answer."),
        },
        examples=[example(PREDICTION, 200), example(QUEUED, 202)],
        errors=[NotRetryable, PixelsDropped],
        parameters=[*WAITING, location("The prediction itself.", 200, 202)],
    )
    def post(self, request: Request, prediction_id: UUID) -> Response:
        """It goes back to the queue; 409 if it has not failed.

        `Prefer: wait=N` waits up to N seconds for the answer.
        """
        prediction = own_prediction(request, prediction_id)
        services.retry(prediction=prediction, actor=user_of(request))
        return _queued(request, prediction)


class Rerun(APIView):
    scopes: ClassVar = {"POST": Scope.PREDICT}

    @operation(
        "rerun_prediction",
        "Ask another model",
        request={"application/json": RerunSerializer},
        answers={
            200: OpenApiResponse(PredictionSerializer, "It is answered, within `Prefer: wait`."),
            202: OpenApiResponse(PredictionSerializer, "Its answer comes, or is there for who did not wait."),
        },
        examples=[
            OpenApiExample("another_model", value={"model": "resnet18-1"}, request_only=True),
            example(PREDICTION | {"model": "resnet18-1"}, 200),
            example(QUEUED | {"model": "resnet18-1"}, 202),
        ],
        errors=[QuotaExceeded, StaysPrivate, PixelsDropped],
        parameters=[*WAITING, location("The other model's prediction.", 200, 202)],
    )
    def post(self, request: Request, prediction_id: UUID) -> Response:
        """Another model's prediction of the same patch, with an id of its own; asked again, the one that exists.

        A new one counts as a patch that is sent; one that exists costs nothing. `Prefer: wait=N` waits up to N seconds
        for the answer.
        """
        prediction = own_prediction(request, prediction_id)
        fields = RerunSerializer(data=request.data)
        fields.is_valid(raise_exception=True)
        asked = services.ask(
            patch=prediction.patch,
            model_version=fields.validated_data["model"],
            actor=user_of(request),
            token=token_of(request),
        )
        return _queued(request, asked)


def _set_visibility(request: Request, prediction_id: UUID, visibility: Visibility) -> Response:
    prediction = own_prediction(request, prediction_id)
    services.set_visibility(patch=prediction.patch, actor=user_of(request), visibility=visibility)
    return Response(prediction_json(request, prediction))


def _queued(request: Request, prediction: Prediction) -> Response:
    """202 for what was just asked for; or 200 if `Prefer: wait` sufficed for its end."""
    seconds = wait_seconds(request)
    with known_suffices():
        if seconds and not prediction.is_finished:
            wait_for_answers({prediction.pk}, seconds=seconds)
        prediction = own_prediction(request, prediction.uuid)
    address = reverse("api:prediction", args=[prediction.uuid], request=request)
    headers = {"Location": address} | preference_applied(seconds)
    status = 200 if seconds and prediction.is_finished else 202
    return Response(prediction_json(request, prediction), status=status, headers=headers)
