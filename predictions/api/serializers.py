"""What the API takes and gives."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.utils.translation import gettext as _
from rest_framework import serializers
from rest_framework.request import Request

from predictions.forms import MAX_UM_PER_PIXEL, MIN_UM_PER_PIXEL
from predictions.models import BatchItem, ModelVersion, Patch, Prediction, Status, Visibility


class SubmitSerializer(serializers.Serializer[Any]):
    """The fields beside the images of POST /predictions/."""

    visibility = serializers.ChoiceField(choices=Visibility.choices, default=Visibility.PRIVATE)
    batch = serializers.UUIDField(required=False, default=None)
    um_per_pixel = serializers.DecimalField(
        max_digits=7,
        decimal_places=4,
        min_value=MIN_UM_PER_PIXEL,
        max_value=MAX_UM_PER_PIXEL,
        required=False,
        default=None,
    )


class PredictionSerializer(serializers.ModelSerializer[Prediction]):
    id = serializers.UUIDField(source="uuid")
    patch = serializers.UUIDField(source="patch.uuid")
    label = serializers.CharField(allow_null=True)  # type: ignore[assignment]  # a field, not the field's label
    model = serializers.CharField(source="model_version.version")
    visibility = serializers.CharField(source="patch.visibility")
    notes = serializers.SerializerMethodField()
    created_at = serializers.DateTimeField(source="queued_at")
    error = serializers.SerializerMethodField()
    url = serializers.HyperlinkedIdentityField(
        view_name="predictions:detail", lookup_field="uuid", lookup_url_kwarg="prediction_id"
    )

    class Meta:
        model = Prediction
        fields = (
            "id",
            "patch",
            "status",
            "probability",
            "label",
            "threshold",
            "model",
            "visibility",
            "notes",
            "flags",
            "created_at",
            "finished_at",
            "error",
            "url",
        )

    def get_notes(self, prediction: Prediction) -> list[str]:
        notes: list[str] = prediction.patch.quality.get("notes", [])
        return notes

    def get_error(self, prediction: Prediction) -> dict[str, str] | None:
        if prediction.status != Status.FAILED:
            return None
        return {"code": prediction.error_code, "message": _(prediction.error_message)}


class RejectedSerializer(serializers.ModelSerializer[BatchItem]):
    """A file that was not accepted."""

    code = serializers.CharField(source="error_code")
    message = serializers.CharField(source="error_message")

    class Meta:
        model = BatchItem
        fields = ("name", "code", "message")


class RerunSerializer(serializers.Serializer[Any]):
    model = serializers.SlugRelatedField(slug_field="version", queryset=ModelVersion.objects.all())


def prediction_json(request: Request, prediction: Prediction) -> dict[str, Any]:
    return dict(PredictionSerializer(prediction, context={"request": request}).data)


def current_json(request: Request, patches: Iterable[Patch]) -> list[dict[str, Any]]:
    """The current prediction of each patch."""
    predictions = []
    for patch in patches:
        if prediction := patch.current_prediction:
            prediction.patch = patch
            predictions.append(prediction)
    return list(PredictionSerializer(predictions, many=True, context={"request": request}).data)
