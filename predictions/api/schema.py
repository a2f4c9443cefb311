"""What the schema says of predictions beyond what their views and serializers tell: examples, headers, parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import django_filters
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema_field
from rest_framework import serializers

from idc_site.api_schema import ErrorSerializer, View, coded_example, example, header, links_to, operation
from idc_site.errors import error_body
from ml.formats import MESSAGES
from predictions.api.serializers import RejectedSerializer, ScaleField, SubmissionSerializer, SubmitSerializer
from predictions.archives import TooManyArchives
from predictions.exceptions import (
    AlreadyShared,
    FileFieldRequired,
    ForgetIsPrivate,
    IdempotencyConflict,
    NoActiveModel,
    QuotaExceeded,
    UnknownBatch,
)
from predictions.forms import SCALE
from predictions.pagination import NewestFirst

SITE = "https://idc.example.org"
ID, PATCH, BATCH = (f"{digit * 8}-0000-4000-8000-000000000000" for digit in "9b4")
PREDICTION = {
    "id": ID,
    "patch": PATCH,
    "status": "succeeded",
    "probability": 0.9713,
    "label": "positive",
    "threshold": 0.5,
    "model": "mobilenetv2-3",
    "visibility": "private",
    "is_hidden": False,
    "forget": False,
    "pixels_dropped_at": None,
    "image": f"{SITE}/api/v1/predictions/{ID}/image.png",
    "notes": ["rescaled"],
    "flags": [],
    "created_at": "2026-11-23T11:30:00Z",
    "finished_at": "2026-11-23T11:30:01Z",
    "error": None,
    "url": f"{SITE}/predictions/{ID}/",
}
QUEUED = PREDICTION | {"status": "queued", "probability": None, "label": None, "finished_at": None}
FAILED = QUEUED | {
    "status": "failed",
    "finished_at": "2026-11-23T11:32:00Z",
    "error": {"code": "worker_lost", "message": "The worker stopped three times while it analysed this patch."},
}
REJECTED = {"name": "notes.txt", "code": "not_an_image", "message": MESSAGES["not_an_image"]}
# What can be called next, as OpenAPI's links.
OF_ONE = ("get_image", "get_heatmap", "get_receipt", "share_prediction", "unshare_prediction", "delete_prediction")
FOLLOW_UPS: dict[str, Any] = {}
CREATE_LINKS: dict[str, Any] = {}
for _name in OF_ONE:
    FOLLOW_UPS |= links_to(_name, prediction_id="$response.body#/id")
for _name in ("get_prediction", *OF_ONE):
    CREATE_LINKS |= links_to(_name, prediction_id="$response.body#/predictions/0/id")
for _name in ("get_batch", "get_batch_csv"):
    CREATE_LINKS |= links_to(_name, batch_id="$response.body#/batch")

FILTERS = {
    "label": "Answers that say this.",
    "min_probability": "Answers of at least this probability.",
    "max_probability": "Answers of at most this probability.",
    "model": "Answers of this model, by its `version`.",
    "reviewed": "Patches that a reviewer has answered, or those that none has.",
    "agreed": "Reviewed patches by what most of the reviewers who name a class say: the `same` as the model, or "
    "`differs`; `split`: as many say IDC as no IDC; `undecided`: none names either.",
    "sort": "The order. In those by `probability` (`likely`, `unlikely`) or by its distance from the threshold "
    "(`doubtful`) only what is answered has a place.",
    "flagged": "Answers with or without `flags`.",
    "batch": "Patches of this batch of yours.",
    "status": "Predictions in this state.",
    "visibility": "Private patches or public ones.",
    "since": "Sent on this day or later (UTC).",
    "until": "Sent on this day or earlier (UTC).",
}


PAGE_PARAMETERS = [
    OpenApiParameter(
        "limit",
        {"type": "integer", "minimum": 1, "default": NewestFirst.page_size},
        description=f"How many at once; more than {NewestFirst.max_page_size} is {NewestFirst.max_page_size}.",
    ),
    OpenApiParameter("cursor", str, description="From `next` or `previous` of another page."),
]


def page_example(prediction: dict[str, Any], path: str) -> OpenApiExample:
    following = f"{SITE}{path}?cursor=cD0yNA%3D%3D"
    return example({"results": [prediction], "next": following, "previous": None}, 200)


def page_parameters(filters: type[django_filters.FilterSet]) -> list[OpenApiParameter]:
    """`limit`, `cursor` and the filters, as their one declaration has them."""
    return [*PAGE_PARAMETERS, *(_filter_parameter(name, one) for name, one in filters.base_filters.items())]


def _filter_parameter(name: str, declared: Any) -> OpenApiParameter:
    kind: Any = str
    if isinstance(declared, django_filters.NumberFilter):
        kind = {"type": "number", "minimum": declared.extra["min_value"], "maximum": declared.extra["max_value"]}
    elif isinstance(declared, django_filters.DateFilter):
        kind = OpenApiTypes.DATE
    elif isinstance(declared, django_filters.UUIDFilter):
        kind = OpenApiTypes.UUID
    choices = [value for value, _ in declared.extra["choices"]] if "choices" in declared.extra else None
    return OpenApiParameter(name, kind, enum=choices, description=FILTERS[name])


def location(description: str, *statuses: int) -> OpenApiParameter:
    return header("Location", description, *statuses, is_always_there=True)


WAITING = [
    OpenApiParameter(
        "Prefer",
        {"type": "string", "example": "wait=10"},
        OpenApiParameter.HEADER,
        description="`wait=N`, N up to 30: wait so many seconds for the answers.",
    ),
    header("Preference-Applied", "What was understood of `Prefer`: `wait=N`.", 200, 202),
]
PICTURE_HEADERS = [
    header("ETag", "Sent back in `If-None-Match`, the answer is 304.", 200, 304, is_always_there=True),
    header("Cache-Control", "`private, no-cache`: ask each time, as it may have been taken back.", 200, 304),
    OpenApiParameter("If-None-Match", str, OpenApiParameter.HEADER, description="An ETag that you have."),
]
UNCHANGED = OpenApiResponse(description="You have it already.")
COMING = OpenApiResponse(description="It is being made. No body.")
PNG = OpenApiExample("picture", value="(PNG)", response_only=True, media_type="image/png", status_codes=["200"])


@extend_schema_field({"type": "string", "format": "uuid", "example": "", "description": "A batch of yours to add to."})
class BatchField(serializers.UUIDField):
    """Empty as an example: Swagger UI would fill in a made-up one, and send it."""


class CreateSerializer(SubmitSerializer):
    """What POST /predictions/ takes: images or one zip, and how to treat them."""

    batch = BatchField(required=False)
    um_per_pixel = ScaleField(**SCALE, required=False)
    image = serializers.ListField(
        child=serializers.FileField(), required=False, help_text="PNG, JPEG or TIFF; the field once per file."
    )
    zip = serializers.FileField(required=False, help_text="A folder of images as one archive, instead of `image`.")


class NoneAcceptedSerializer(ErrorSerializer):
    """`rejected` when files were sent and none of them is a patch."""

    rejected = RejectedSerializer(many=True, required=False)


def create_operation() -> Callable[[View], View]:
    """POST /predictions/."""
    accepted = {"batch": BATCH, "predictions": [QUEUED], "rejected": [REJECTED]}
    none = error_body(REJECTED["code"], REJECTED["message"]) | {"rejected": [REJECTED]}
    answered_at_once = {"batch": BATCH, "predictions": [PREDICTION], "rejected": []}
    return operation(
        "create_predictions",
        "Send images",
        request={"multipart/form-data": CreateSerializer},
        answers={
            200: OpenApiResponse(SubmissionSerializer, "All were answered within `Prefer: wait`."),
            202: OpenApiResponse(SubmissionSerializer, "At least one file was accepted; its answer comes."),
            400: OpenApiResponse(NoneAcceptedSerializer, "No file, none that is a patch, or a wrong field."),
            413: OpenApiResponse(NoneAcceptedSerializer, "The request, or each of its files, is too large."),
            415: OpenApiResponse(NoneAcceptedSerializer, "Each file is of a format that is not read."),
        },
        errors=[
            UnknownBatch,
            IdempotencyConflict,
            QuotaExceeded,
            NoActiveModel,
            TooManyArchives,
        ],
        examples=[
            example(answered_at_once, 200),
            example(accepted, 202),
            OpenApiExample("rejected", value=none, response_only=True, status_codes=["400"]),
            coded_example(ForgetIsPrivate.code, str(ForgetIsPrivate.message), 400),
            coded_example(AlreadyShared.code, str(AlreadyShared.message), 400),
            coded_example(FileFieldRequired.code, str(FileFieldRequired.message), 400),
            coded_example("too_large", MESSAGES["too_large"] % {"megabytes": 10}, 413),
            coded_example("unsupported_format", MESSAGES["unsupported_format"] % {"format": "GIF"}, 415),
        ],
        parameters=[
            OpenApiParameter(
                "Idempotency-Key",
                {"type": "string", "pattern": "^[!-~]{1,200}$"},
                OpenApiParameter.HEADER,
                description="Sent again with the same content within 24 hours, it is not done again.",
            ),
            *WAITING,
            location("The batch, where its progress is.", 200, 202),
        ],
        links=dict.fromkeys(("200", "202"), CREATE_LINKS),
    )
