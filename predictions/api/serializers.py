"""What the API takes and gives."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal
from functools import lru_cache
from typing import Any, ClassVar
from uuid import UUID

from django.urls import get_script_prefix, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request

from accounts.models import Scope
from idc_site.api_fields import Body
from predictions.filters import LABELS
from predictions.forms import MAX_UM_PER_PIXEL, MIN_UM_PER_PIXEL, SCALE
from predictions.models import BatchItem, ModelVersion, Patch, Prediction, Status, Visibility

NOBODY = UUID(int=0)
# Rounds nothing that a decimal field reads, and knows every exponent.
EXACT = Context(prec=serializers.DecimalField.MAX_STRING_LENGTH, Emin=MIN_EMIN, Emax=MAX_EMAX)


@extend_schema_field(
    {
        "type": "number",
        "minimum": float(MIN_UM_PER_PIXEL),
        "maximum": float(MAX_UM_PER_PIXEL),
        "example": 4.0,
        "description": "The scale of the images, if you know it.",
    }
)
class ScaleField(serializers.DecimalField):
    """A number to clients. Zeros at the end are no digits: what a program writes as `0.250000` is 0.25."""

    def to_internal_value(self, data: Any) -> Decimal:
        if "_" in str(data) or not str(data).isascii():  # Python reads `1_0`, and digits of other scripts
            self.fail("invalid")
        return super().to_internal_value(data)

    def validate_precision(self, value: Decimal) -> Decimal:
        return super().validate_precision(value.normalize(EXACT))


class SubmitSerializer(Body):
    """The fields beside the images of POST /predictions/."""

    files = ("image", "zip")

    visibility = serializers.ChoiceField(choices=Visibility.choices, default=Visibility.PRIVATE)
    forget = serializers.BooleanField(
        default=False, help_text="Drop the pixels as soon as the answer is there; private patches alone."
    )
    batch = serializers.UUIDField(required=False, default=None)
    um_per_pixel = ScaleField(**SCALE, required=False, default=None)


class ReasonSerializer(serializers.Serializer[Any]):
    """Why a prediction failed."""

    code = serializers.CharField(source="error_code")
    message = serializers.SerializerMethodField()

    def get_message(self, prediction: Prediction) -> str:
        return _(prediction.error_message)


class PredictionSerializer(serializers.Serializer[Any]):
    """One model's answer about one patch; null where it is not known yet."""

    id = serializers.UUIDField(source="uuid")
    patch = serializers.UUIDField(source="patch.uuid")
    status = serializers.ChoiceField(choices=Status.choices)
    probability = serializers.FloatField(
        allow_null=True, min_value=0, max_value=1, help_text="The calibrated chance of IDC."
    )
    label = serializers.ChoiceField(  # type: ignore[assignment]  # a field, not the field's label
        choices=LABELS, allow_null=True, help_text="`positive` when probability >= threshold."
    )
    threshold = serializers.FloatField()
    model = serializers.CharField(source="model_version.version")
    visibility = serializers.ChoiceField(choices=Visibility.choices, source="patch.visibility")
    is_hidden = serializers.BooleanField(
        source="patch.is_hidden", help_text="By staff, or by a report: only its owner and staff see it, public or not."
    )
    forget = serializers.BooleanField(
        source="patch.is_to_be_forgotten", help_text="Whether the pixels are dropped once the answer is there."
    )
    pixels_dropped_at = serializers.DateTimeField(
        source="patch.pixels_dropped_at", allow_null=True, help_text="Since when they are gone."
    )
    image = serializers.SerializerMethodField(help_text="The picture; null when its pixels were dropped.")
    notes = serializers.SerializerMethodField(help_text="What was done to the image.")
    flags = serializers.ListField(
        child=serializers.CharField(), help_text="What speaks against relying on the answer. New ones may come."
    )
    created_at = serializers.DateTimeField(source="queued_at")
    finished_at = serializers.DateTimeField(allow_null=True)
    error = serializers.SerializerMethodField()
    url = serializers.HyperlinkedIdentityField(
        view_name="predictions:detail",
        lookup_field="uuid",
        lookup_url_kwarg="prediction_id",
        help_text="The page for people.",
    )

    @extend_schema_field({"type": "string", "format": "uri", "nullable": True})
    def get_image(self, prediction: Prediction) -> str | None:
        if not prediction.patch.has_pixels:
            return None
        return str(prediction.uuid).join(self.context["around_image"])

    def get_notes(self, prediction: Prediction) -> list[str]:
        notes: list[str] = prediction.patch.quality.get("notes", [])
        return notes

    @extend_schema_field(ReasonSerializer(allow_null=True))
    def get_error(self, prediction: Prediction) -> dict[str, str] | None:
        if prediction.status != Status.FAILED:
            return None
        return dict(ReasonSerializer(prediction).data)

    def to_representation(self, prediction: Prediction) -> dict[str, Any]:
        """What the fields above would give: they make the schema, and took longer than the model's answer."""
        return {
            "id": str(prediction.uuid),
            "patch": str(prediction.patch.uuid),
            "status": prediction.status,
            "probability": prediction.probability,
            "label": prediction.label,
            "threshold": prediction.threshold,
            "model": prediction.model_version.version,
            "visibility": prediction.patch.visibility,
            "is_hidden": prediction.patch.is_hidden,
            "forget": prediction.patch.is_to_be_forgotten,
            "pixels_dropped_at": _utc(prediction.patch.pixels_dropped_at),
            "image": self.get_image(prediction),
            "notes": self.get_notes(prediction),
            "flags": prediction.flags,
            "created_at": _utc(prediction.queued_at),
            "finished_at": _utc(prediction.finished_at),
            "error": self.get_error(prediction),
            "url": str(prediction.uuid).join(self.context["around_page"]),
        }


def _utc(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")


class PredictionPageSerializer(serializers.Serializer[Any]):
    """One page of a list. `next` and `previous` are whole addresses, null at the ends."""

    results = PredictionSerializer(many=True)
    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)


class RejectedSerializer(serializers.Serializer[Any]):
    """A file that was not accepted."""

    name = serializers.CharField()
    code = serializers.CharField(source="error_code")
    message = serializers.CharField(source="error_message")


def rejected_json(items: Iterable[BatchItem]) -> list[dict[str, Any]]:
    serializer = RejectedSerializer()
    return [serializer.to_representation(item) for item in items]


class SubmissionSerializer(serializers.Serializer[Any]):
    """One entry per accepted file, in the order sent; and the files that were not accepted."""

    batch = serializers.UUIDField()
    predictions = PredictionSerializer(many=True)
    rejected = RejectedSerializer(many=True)


class BatchSerializer(serializers.Serializer[Any]):
    """How far a batch is: total = rejected + deleted + succeeded + failed + waiting."""

    id = serializers.UUIDField()
    created_at = serializers.DateTimeField()
    total = serializers.IntegerField(min_value=0)
    rejected = serializers.IntegerField(min_value=0)
    deleted = serializers.IntegerField(min_value=0)
    succeeded = serializers.IntegerField(min_value=0)
    failed = serializers.IntegerField(min_value=0)
    waiting = serializers.IntegerField(min_value=0)
    is_finished = serializers.BooleanField()
    url = serializers.URLField(help_text="The page for people.")
    csv = serializers.URLField(help_text="The answers as a table.")


class VersionField(serializers.SlugRelatedField[ModelVersion]):
    """A model by its version, which is a string."""

    default_error_messages: ClassVar = dict.fromkeys(
        ("does_not_exist", "invalid"),
        gettext_lazy("No model has this version. GET /api/v1/models/ lists those there are."),
    )

    def to_internal_value(self, data: Any) -> ModelVersion:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)

    def run_validation(self, data: Any = serializers.empty) -> Any:
        """An empty text is no version either; REST framework takes it for null."""
        if data == "":
            self.fail("invalid")
        return super().run_validation(data)


class RerunSerializer(Body):
    """Which model to ask."""

    model = VersionField(
        slug_field="version", queryset=ModelVersion.objects.all(), help_text="A `version` of GET /api/v1/models/."
    )


class ModelVersionSerializer(serializers.Serializer[Any]):
    """A trained network. The active one answers new patches."""

    version = serializers.CharField()
    is_active = serializers.BooleanField()
    threshold = serializers.FloatField()
    sha256 = serializers.CharField(help_text="The identity of the network: the digest of its Keras file.")
    url = serializers.HyperlinkedIdentityField(
        view_name="model", lookup_field="version", help_text="The page for people."
    )


class ModelListSerializer(serializers.Serializer[Any]):
    results = ModelVersionSerializer(many=True)


class ModelWithCardSerializer(ModelVersionSerializer):
    """A model with its card: architecture, data, split, figures with intervals, calibration."""

    card = serializers.DictField(help_text="As `card.json` beside the model, whose form is ml/card.schema.json.")


class TokenSerializer(serializers.Serializer[Any]):
    """The token that was sent."""

    name = serializers.CharField()
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=Scope.choices))
    expires_at = serializers.DateTimeField(source="expiry")
    patches_per_day = serializers.IntegerField(
        allow_null=True, help_text="What it may send of what its user may; null: all of it."
    )


class LimitsSerializer(serializers.Serializer[Any]):
    image_bytes = serializers.IntegerField()
    images_per_request = serializers.IntegerField()
    request_bytes = serializers.IntegerField(help_text="Of images together; a zip may be larger.")
    zip_bytes = serializers.IntegerField()
    zip_members = serializers.IntegerField()
    patches_per_day = serializers.IntegerField()
    reads_per_minute = serializers.IntegerField(help_text="Of a user; a token has half of it.")
    changes_per_minute = serializers.IntegerField(help_text="Of a user; a token has half of it.")
    private_patches_days = serializers.IntegerField(
        allow_null=True, help_text="After so many days this site deletes private patches; null: never."
    )


class MeSerializer(serializers.Serializer[Any]):
    """Who calls, with what, and how much is left."""

    email = serializers.EmailField()
    token = TokenSerializer(allow_null=True, help_text="null when the browser's session was used.")
    limits = LimitsSerializer()
    private_patches_days = serializers.IntegerField(
        allow_null=True,
        help_text="After so many days the caller's private patches are deleted, at their wish or the site's.",
    )
    used_today = serializers.IntegerField(min_value=0)
    left_today = serializers.IntegerField(min_value=0)


def prediction_json(request: Request, prediction: Prediction) -> dict[str, Any]:
    return dict(PredictionSerializer(prediction, context=serializer_context(request)).data)


def current_json(request: Request, patches: Iterable[Patch]) -> list[dict[str, Any]]:
    """The current prediction of each patch."""
    predictions = []
    for patch in patches:
        if prediction := patch.current_prediction:
            prediction.patch = patch
            predictions.append(prediction)
    serializer = PredictionSerializer(context=serializer_context(request))
    return [serializer.to_representation(prediction) for prediction in predictions]


def serializer_context(request: Request) -> dict[str, Any]:
    """With what stands around the id in addresses: once a list, as each address would take longer than other fields."""
    return {
        "request": request,
        "around_image": around_id("api:image", request),
        "around_page": around_id("predictions:detail", request),
    }


def around_id(view: str, request: Request) -> tuple[str, str]:
    """The address of a view of one thing, before and behind its id."""
    before, after = _path_around_id(view, get_script_prefix())
    return request.build_absolute_uri(before), after


@lru_cache(maxsize=16)
def _path_around_id(view: str, prefix: str) -> list[str]:
    """Kept, as Django takes as long to look up three paths as to decode a patch. prefix: is part of them."""
    return reverse(view, args=[NOBODY]).split(str(NOBODY))
