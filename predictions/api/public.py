"""What needs no token: the gallery, and the models with their cards."""

from __future__ import annotations

from django.shortcuts import get_object_or_404
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from idc_site.api_schema import example, links_to, operation
from predictions.api.lists import page_response
from predictions.api.schema import PREDICTION, SITE, page_example, page_parameters
from predictions.api.serializers import ModelListSerializer, ModelWithCardSerializer, PredictionPageSerializer
from predictions.filters import GalleryFilter
from predictions.models import ModelVersion, Patch

MODEL = {
    "version": "mobilenetv2-3",
    "is_active": True,
    "threshold": 0.5,
    "sha256": "0f" * 32,
    "url": f"{SITE}/models/mobilenetv2-3/",
}
SHARED = PREDICTION | {"visibility": "public"}


class Gallery(APIView):
    permission_classes = (AllowAny,)

    @operation(
        "list_gallery",
        "The public gallery, newest first",
        answers={200: PredictionPageSerializer},
        examples=[page_example(SHARED, "/api/v1/gallery/")],
        parameters=page_parameters(GalleryFilter),
    )
    def get(self, request: Request) -> Response:
        """Patches that were shared and answered, and that the gate did not flag or staff admitted."""
        shared = Patch.objects.in_gallery().with_answer()
        return page_response(self, request, GalleryFilter(request.query_params, shared))


class ModelList(APIView):
    permission_classes = (AllowAny,)

    @operation(
        "list_models",
        "The models",
        answers={200: ModelListSerializer},
        examples=[example({"results": [MODEL]}, 200)],
        links={"200": links_to("get_model", version="$response.body#/results/0/version")},
    )
    def get(self, request: Request) -> Response:
        """All of them, the active one first: there are few, and none is deleted while an answer names it."""
        models = {"results": ModelVersion.objects.listed()}
        return Response(ModelListSerializer(models, context={"request": request}).data)


class ModelDetail(APIView):
    permission_classes = (AllowAny,)

    @operation(
        "get_model",
        "A model with its card",
        answers={200: ModelWithCardSerializer},
        examples=[example(MODEL | {"card": {"version": "mobilenetv2-3", "threshold": 0.5, "…": "…"}}, 200)],
    )
    def get(self, request: Request, version: str) -> Response:
        """What it was trained on, how good it is and where it fails, with intervals."""
        found = get_object_or_404(ModelVersion, version=version)
        return Response(ModelWithCardSerializer(found, context={"request": request}).data)
