"""What needs no token: the gallery, and the models with their cards."""

from __future__ import annotations

from typing import Any

from django.shortcuts import get_object_or_404
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.views import APIView

from predictions.api.lists import page_response
from predictions.filters import GalleryFilter
from predictions.models import ModelVersion, Patch


class Gallery(APIView):
    """Shared, answered and unflagged or admitted patches, newest first."""

    permission_classes = (AllowAny,)

    def get(self, request: Request) -> Response:
        shared = Patch.objects.in_gallery().with_answer()
        return page_response(self, request, GalleryFilter(request.query_params, shared))


class ModelList(APIView):
    permission_classes = (AllowAny,)

    def get(self, request: Request) -> Response:
        """All of them: there are few, and none is ever deleted while an answer names it."""
        versions = ModelVersion.objects.listed()
        return Response({"results": [_model_json(request, version) for version in versions]})


class ModelDetail(APIView):
    permission_classes = (AllowAny,)

    def get(self, request: Request, version: str) -> Response:
        found = get_object_or_404(ModelVersion, version=version)
        return Response(_model_json(request, found) | {"card": found.card})


def _model_json(request: Request, version: ModelVersion) -> dict[str, Any]:
    return {
        "version": version.version,
        "is_active": version.is_active,
        "threshold": version.threshold,
        "sha256": version.sha256,
        "url": reverse("model", args=[version.version], request=request),
    }
