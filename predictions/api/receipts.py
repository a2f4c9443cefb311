"""The receipt of an answer."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from idc_site.api_schema import example, operation
from ml.receipt import ENGINE_FILES, FORMAT, FORMAT_VERSION, USE
from predictions.api.access import visible_prediction
from predictions.api.schema import ID, PATCH
from predictions.exceptions import NoReceipt
from predictions.filters import LABELS
from predictions.receipts import receipt_of

EXAMPLE = {
    "format": FORMAT,
    "format_version": FORMAT_VERSION,
    "prediction": ID,
    "patch": PATCH,
    "pixels_sha256": "7c" * 32,
    "model": {"version": "mobilenetv2-3", "sha256": "0f" * 32, "card_created_at": "2026-11-23T10:00:00Z"},
    "engine": {"name": "litert", "file": "model.tflite", "sha256": "1e" * 32},
    "probability": 0.9712943434715271,
    "threshold": 0.5,
    "label": "positive",
    "flags": [],
    "notes": ["rescaled"],
    "queued_at": "2026-11-23T11:30:00Z",
    "started_at": "2026-11-23T11:30:00.250000Z",
    "finished_at": "2026-11-23T11:30:01Z",
    "use": USE,
}


class ReceiptModelSerializer(serializers.Serializer[Any]):
    """The network that answered."""

    version = serializers.CharField()
    sha256 = serializers.CharField(help_text="Its identity: the digest of its Keras file.")
    card_created_at = serializers.DateTimeField(help_text="Which edition of its card.")


class ReceiptEngineSerializer(serializers.Serializer[Any]):
    """What ran it."""

    name = serializers.ChoiceField(choices=list(ENGINE_FILES))
    file = serializers.ChoiceField(choices=list(ENGINE_FILES.values()))
    sha256 = serializers.CharField(help_text="The digest of this file.")


@extend_schema_serializer(component_name="Receipt")
class ReceiptSerializer(serializers.Serializer[Any]):
    """Its form is ml/receipt.schema.json. It holds nothing of who asked, and no name of a file."""

    format = serializers.ChoiceField(choices=[FORMAT])
    format_version = serializers.IntegerField()
    prediction = serializers.UUIDField()
    patch = serializers.UUIDField()
    pixels_sha256 = serializers.CharField(help_text="Of the 7,500 bytes of 50 rows of 50 times R, G, B.")
    model = ReceiptModelSerializer()
    engine = ReceiptEngineSerializer()
    probability = serializers.FloatField(min_value=0, max_value=1)
    threshold = serializers.FloatField()
    label = serializers.ChoiceField(choices=LABELS)  # type: ignore[assignment]  # a field, not the field's label
    flags = serializers.ListField(child=serializers.CharField())
    notes = serializers.ListField(child=serializers.CharField())
    queued_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField()
    use = serializers.CharField()


class PredictionReceipt(APIView):
    @operation(
        "get_receipt",
        "The receipt of an answer",
        answers={200: ReceiptSerializer},
        examples=[example(EXAMPLE, 200)],
        errors=[NoReceipt],
    )
    def get(self, request: Request, prediction_id: UUID) -> Response:
        """What `python -m ml verify` computes again from the image, offline; there too when the pixels were dropped."""
        receipt = receipt_of(visible_prediction(request, prediction_id)).as_dict()
        return Response(receipt, headers={"Cache-Control": "private, no-store"})
