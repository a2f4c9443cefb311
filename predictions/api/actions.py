"""What an owner does with one prediction: share, take back, try again, ask another model."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.views import APIView

from accounts.models import Scope
from predictions import services
from predictions.api.access import own_prediction, user_of
from predictions.api.serializers import RerunSerializer, prediction_json
from predictions.models import Prediction, Visibility


class Share(APIView):
    """The patch is public from now on; shared again it stays so."""

    scopes: ClassVar = {"POST": Scope.MANAGE}
    visibility: ClassVar = Visibility.PUBLIC

    def post(self, request: Request, prediction_id: UUID) -> Response:
        prediction = own_prediction(request, prediction_id)
        services.set_visibility(patch=prediction.patch, actor=user_of(request), visibility=self.visibility)
        return Response(prediction_json(request, prediction))


class Unshare(Share):
    """Only its owner sees the patch from now on."""

    visibility: ClassVar = Visibility.PRIVATE


class Retry(APIView):
    """A failed prediction is tried again; 409 if it has not failed."""

    scopes: ClassVar = {"POST": Scope.PREDICT}

    def post(self, request: Request, prediction_id: UUID) -> Response:
        services.retry(prediction=own_prediction(request, prediction_id), actor=user_of(request))
        return _queued(request, own_prediction(request, prediction_id))


class Rerun(APIView):
    """Ask another model about the same patch; asked again, the answer is the prediction that exists."""

    scopes: ClassVar = {"POST": Scope.PREDICT}

    def post(self, request: Request, prediction_id: UUID) -> Response:
        prediction = own_prediction(request, prediction_id)
        fields = RerunSerializer(data=request.data)
        fields.is_valid(raise_exception=True)
        model_version = fields.validated_data["model"]
        asked = services.ask(patch=prediction.patch, model_version=model_version, actor=user_of(request))
        return _queued(request, own_prediction(request, asked.uuid))


def _queued(request: Request, prediction: Prediction) -> Response:
    address = reverse("api:prediction", args=[prediction.uuid], request=request)
    return Response(prediction_json(request, prediction), status=202, headers={"Location": address})
