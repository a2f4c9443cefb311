"""The API's views: they parse and answer; what is done, `services` does."""

from __future__ import annotations

from typing import Any, ClassVar, cast
from uuid import UUID

from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.models import ApiToken, Scope, User
from idc_site.errors import error_body
from predictions import services
from predictions.api.serializers import PredictionSerializer, RejectedSerializer, SubmitSerializer
from predictions.exceptions import IMAGE_STATUS, FileRequired
from predictions.explanation_views import heatmap_response
from predictions.filters import HistoryFilter
from predictions.models import Patch, Prediction, Source, Visibility
from predictions.pagination import NewestFirst
from predictions.uploads import receive
from predictions.views import image_response


class PredictionList(APIView):
    """The current prediction of each of one's own patches, newest first; and the way to make new ones."""

    scopes: ClassVar = {"POST": Scope.PREDICT}

    def get(self, request: Request) -> Response:
        mine = Patch.objects.filter(owner=_user(request)).select_related("current_prediction__model_version")
        filters = HistoryFilter(request.query_params, mine)
        if not filters.is_valid():
            raise ValidationError(filters.errors)
        paginator = NewestFirst()
        patches: list[Patch] = paginator.paginate_queryset(filters.qs, request, view=self) or []
        return paginator.get_paginated_response(_predictions_json(request, patches))

    def post(self, request: Request) -> Response:
        """202 if any file was accepted, with one entry per accepted file in the order sent."""
        fields = SubmitSerializer(data=request.data)
        fields.is_valid(raise_exception=True)
        files = request.FILES.getlist("image")
        if not files:
            raise FileRequired
        submission = services.submit(
            owner=_user(request),
            files=receive(files),
            visibility=Visibility(fields.validated_data["visibility"]),
            source=Source.API if isinstance(request.auth, ApiToken) else Source.WEB,
            um_per_pixel=fields.validated_data["um_per_pixel"],
            batch_id=fields.validated_data["batch"],
        )
        rejected = list(RejectedSerializer(submission.rejected, many=True).data)
        if not submission.batch or not submission.accepted:
            return _none_accepted(rejected)
        body = {
            "batch": str(submission.batch.uuid),
            "predictions": _predictions_json(request, submission.accepted),
            "rejected": rejected,
        }
        return Response(body, status=202)


class PredictionDetail(APIView):
    scopes: ClassVar = {"DELETE": Scope.MANAGE}

    def get(self, request: Request, prediction_id: UUID) -> Response:
        return Response(PredictionSerializer(_visible(request, prediction_id), context={"request": request}).data)

    def delete(self, request: Request, prediction_id: UUID) -> Response:
        own = Prediction.objects.filter(patch__owner=_user(request)).select_related("patch")
        services.withdraw(patch=get_object_or_404(own, uuid=prediction_id).patch, actor=_user(request))
        return Response(status=204)


class PredictionImage(APIView):
    def get(self, request: Request, prediction_id: UUID) -> HttpResponseBase:
        response: HttpResponse = image_response(request._request, _visible(request, prediction_id))
        return response


class PredictionHeatmap(APIView):
    def get(self, request: Request, prediction_id: UUID) -> HttpResponseBase:
        """202 until the map is there; it is asked for here if the caller may."""
        prediction = _visible(request, prediction_id)
        response: HttpResponse = heatmap_response(request._request, prediction, user=_user(request))
        return response


def _user(request: Request) -> User:
    """The authenticated user; `HasScope` lets nobody else through."""
    return cast(User, request.user)


def _visible(request: Request, prediction_id: UUID) -> Prediction:
    visible = Prediction.objects.visible_to(_user(request)).select_related("patch", "model_version")
    return get_object_or_404(visible, uuid=prediction_id)


def _predictions_json(request: Request, patches: list[Patch]) -> list[dict[str, Any]]:
    predictions = []
    for patch in patches:
        if prediction := patch.current_prediction:
            prediction.patch = patch
            predictions.append(prediction)
    return list(PredictionSerializer(predictions, many=True, context={"request": request}).data)


def _none_accepted(rejected: list[dict[str, str]]) -> Response:
    """400; or 413 or 415 if that alone was wrong with every file."""
    statuses = {IMAGE_STATUS.get(file["code"], 400) for file in rejected}
    codes = {file["code"] for file in rejected}
    if len(codes) == 1:
        error = error_body(codes.pop(), rejected[0]["message"])
    else:
        error = error_body("none_accepted", _("None of the files is a patch; see “rejected”."))
    return Response(error | {"rejected": rejected}, status=statuses.pop() if len(statuses) == 1 else 400)
