"""The API's views: they parse and answer; what is done, `services` does."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.http import Http404, HttpResponse, HttpResponseBase
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.models import Scope
from accounts.permissions import HasScope
from idc_site.api_schema import example, header, operation
from idc_site.errors import error_body
from idc_site.parsers import FormParser
from predictions import services
from predictions.api.access import HasScopeOrIsShared, own_prediction, token_of, user_of, visible_prediction
from predictions.api.headers import idempotency_key, preference_applied, wait_seconds
from predictions.api.lists import page_response
from predictions.api.schema import (
    COMING,
    FAILED,
    FOLLOW_UPS,
    PICTURE_HEADERS,
    PNG,
    PREDICTION,
    QUEUED,
    UNCHANGED,
    create_operation,
    page_example,
    page_parameters,
)
from predictions.api.serializers import (
    PredictionPageSerializer,
    PredictionSerializer,
    SubmitSerializer,
    around_id,
    current_json,
    prediction_json,
    rejected_json,
)
from predictions.archives import receive_zip
from predictions.exceptions import (
    IMAGE_STATUS,
    ExplanationFailed,
    FileFieldRequired,
    NotAnswered,
    PixelsDropped,
    RequestTooLarge,
)
from predictions.explanation_views import heatmap_response
from predictions.filters import HistoryFilter
from predictions.models import Patch, Source, Visibility
from predictions.uploads import ReceivedFile, receive
from predictions.views import image_response
from predictions.waiting import known_suffices, wait_for_answers

# Keeps nothing of a request, so one is there for all: to make one takes longer than to decode a patch.
CHOICES = SubmitSerializer()


class PredictionList(APIView):
    """The current prediction of each of one's own patches, newest first; and the way to make new ones."""

    parser_classes = (FormParser,)
    scopes: ClassVar = {"POST": Scope.PREDICT}

    @operation(
        "list_predictions",
        "Your predictions, newest first",
        answers={200: PredictionPageSerializer},
        examples=[page_example(PREDICTION, "/api/v1/predictions/")],
        parameters=page_parameters(HistoryFilter),
    )
    def get(self, request: Request) -> Response:
        """The current prediction of each of your patches, in pages."""
        mine = Patch.objects.filter(owner=user_of(request)).with_answer()
        return page_response(self, request, HistoryFilter(request.query_params, mine))

    @create_operation()
    def post(self, request: Request) -> Response:
        """202 if any file was accepted, with one entry per accepted file in the order sent; 200 if all are answered.

        `Prefer: wait=N` waits up to N seconds for that. `Idempotency-Key` lets a request be repeated.
        """
        if not any(name in request.FILES for name in CHOICES.files):
            raise FileFieldRequired
        choices = CHOICES.run_validation(request.data)
        key, seconds = idempotency_key(request), wait_seconds(request)
        token = token_of(request)
        submission = services.submit(
            owner=user_of(request),
            files=_received(request),
            visibility=Visibility(choices["visibility"]),
            source=Source.API if token else Source.WEB,
            um_per_pixel=choices["um_per_pixel"],
            batch_id=choices["batch"],
            token=token,
            idempotency_key=key,
            forget=choices["forget"],
        )
        rejected = rejected_json(submission.rejected)
        if not submission.batch or len(rejected) == len(submission.items):
            return _none_accepted(rejected)
        is_answered = False
        with known_suffices():
            is_answered = bool(seconds) and _wait(submission.accepted, seconds)
        batch_id = str(submission.batch.uuid)
        body = {
            "batch": batch_id,
            "predictions": current_json(request, submission.accepted),
            "rejected": rejected,
        }
        headers = {"Location": batch_id.join(around_id("api:batch", request))} | preference_applied(seconds)
        return Response(body, status=200 if is_answered else 202, headers=headers)


class PredictionDetail(APIView):
    scopes: ClassVar = {"DELETE": Scope.MANAGE}

    @operation(
        "get_prediction",
        "One prediction",
        answers={200: PredictionSerializer},
        examples=[example(PREDICTION, 200), example(QUEUED, 200, name="Waiting"), example(FAILED, 200, name="Failed")],
        links={"200": FOLLOW_UPS},
    )
    def get(self, request: Request, prediction_id: UUID) -> Response:
        """Yours, or of a patch that was shared."""
        return Response(prediction_json(request, visible_prediction(request, prediction_id)))

    @operation("delete_prediction", "Delete a patch", answers={204: OpenApiResponse(description="It is gone.")})
    def delete(self, request: Request, prediction_id: UUID) -> Response:
        """The patch with its pixels and all its predictions, at once and for good."""
        services.withdraw(patch=own_prediction(request, prediction_id).patch, actor=user_of(request))
        return Response(status=204)


class PredictionImage(APIView):
    permission_classes = (HasScopeOrIsShared,)

    @operation(
        "get_image",
        "The patch as a picture",
        answers={(200, "image/png"): OpenApiTypes.BINARY, 304: UNCHANGED},
        examples=[PNG],
        errors=[PixelsDropped],
        parameters=PICTURE_HEADERS,
    )
    def get(self, request: Request, prediction_id: UUID) -> HttpResponseBase:
        """The 50x50 pixels that were analysed, re-encoded: nothing else of the file that was sent is in it.

        What is shared needs no token.
        """
        response: HttpResponse = image_response(request._request, visible_prediction(request, prediction_id))
        return response


class PredictionHeatmap(APIView):
    permission_classes = (HasScopeOrIsShared,)

    @operation(
        "get_heatmap",
        "Where the model looked",
        answers={(200, "image/png"): OpenApiTypes.BINARY, 202: COMING, 304: UNCHANGED},
        examples=[PNG],
        errors=[NotAnswered, ExplanationFailed, PixelsDropped],
        parameters=[
            *PICTURE_HEADERS,
            header("X-Model-SHA256", "The model whose answer is explained.", 200, is_always_there=True),
            header("Retry-After", "Seconds until to ask again.", 202, kind=int, is_always_there=True),
        ],
    )
    def get(self, request: Request, prediction_id: UUID) -> HttpResponseBase:
        """Transparent, to lay over the patch. 202 until it is there: the first request of its owner asks for it.

        What is shared needs no token.
        """
        prediction = visible_prediction(request, prediction_id)
        # To draw one is work, which needs the scope; without it one sees as much as anybody.
        asker = user_of(request) if HasScope().has_permission(request, self) else AnonymousUser()
        try:
            response: HttpResponse = heatmap_response(request._request, prediction, user=asker)
        except Http404:
            raise NotFound(_("No map of this patch was made. Its owner can ask for one.")) from None
        return response


def _received(request: Request) -> list[ReceivedFile]:
    """The decoded files of the field `image`, or the members of the one archive in `zip`."""
    images, archives = request.FILES.getlist("image"), request.FILES.getlist("zip")
    if archives and (images or len(archives) > 1):
        raise ValidationError({"zip": [_("Send one archive, or images, in a request of its own.")]})
    # A request may be larger than this only for an archive.
    if sum(image.size or 0 for image in images) > settings.REQUEST_MEGABYTES * 1024**2:
        raise RequestTooLarge
    return receive_zip(archives[0]) if archives else receive(images)


def _wait(patches: list[Patch], seconds: int) -> bool:
    """Wait until the current predictions of the patches are there, and read them; whether all are."""
    # One may be there twice: sent twice in a request that is repeated.
    predictions = [patch.current_prediction for patch in patches if patch.current_prediction]
    unfinished = {prediction.pk for prediction in predictions if not prediction.is_finished}
    if not unfinished:
        return True
    answers = wait_for_answers(unfinished, seconds=seconds)
    for prediction in predictions:
        if answer := answers.get(prediction.pk):
            for field, value in answer._asdict().items():
                setattr(prediction, field, value)
    to_forget = [patch for patch in patches if patch.is_to_be_forgotten]
    if to_forget:  # their pixels went with the answer
        dropped = dict(
            Patch.objects.filter(pk__in=[patch.pk for patch in to_forget]).values_list("pk", "pixels_dropped_at")
        )
        for patch in to_forget:
            patch.pixels_dropped_at = dropped.get(patch.pk)
    return all(answer.is_finished for answer in answers.values())


def _none_accepted(rejected: list[dict[str, str]]) -> Response:
    """400; or 413 or 415 if that alone was wrong with every file."""
    statuses = {IMAGE_STATUS.get(file["code"], 400) for file in rejected}
    codes = {file["code"] for file in rejected}
    if len(codes) == 1:
        error = error_body(codes.pop(), rejected[0]["message"])
    else:
        error = error_body("none_accepted", _("None of the files is a patch; see “rejected”."))
    return Response(error | {"rejected": rejected}, status=statuses.pop() if len(statuses) == 1 else 400)
