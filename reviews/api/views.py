"""Reviews over the API: the same queue, the same services; and what owners state about their own patches."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext_lazy as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse
from rest_framework.exceptions import NotFound
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.views import APIView

from accounts.models import Scope
from accounts.permissions import HasScope
from idc_site.api_schema import example, operation
from predictions.api.access import own_prediction, user_of, visible_prediction
from predictions.api.schema import PAGE_PARAMETERS, PICTURE_HEADERS, PNG, UNCHANGED, location
from predictions.models import Patch
from predictions.pagination import NewestFirst
from reviews import services
from reviews.api.schema import (
    ANSWER_DRAW,
    CHANGE,
    CHANGED,
    OF_DRAW,
    OF_REVIEW,
    QUESTION,
    REVIEW,
    REVIEW_PATCH,
    STATE,
    TRUTH,
)
from reviews.api.serializers import (
    QuestionSerializer,
    ReviewChangeSerializer,
    ReviewCreateSerializer,
    ReviewPageSerializer,
    ReviewSerializer,
    StatedTruthSerializer,
    TruthSerializer,
    review_json,
    truth_json,
)
from reviews.exceptions import AlreadyReviewed, NotOpen, NotReviewable
from reviews.models import Answer, Draw, GroundTruth, Review
from reviews.views import image_response


class IsReviewer(BasePermission):
    """For reviewers and staff."""

    message = _("This is for reviewers alone: with a token nobody acts as staff.")

    def has_permission(self, request: Request, view: APIView) -> bool:
        return user_of(request).is_reviewer


class ReviewerView(APIView):
    permission_classes = (HasScope, IsReviewer)


class ReviewList(ReviewerView):
    """One's own reviews, newest first; and the way to give one."""

    scopes: ClassVar = {"POST": Scope.MANAGE}

    @operation(
        "list_reviews",
        "Your reviews",
        answers={200: ReviewPageSerializer},
        examples=[example({"results": [REVIEW], "next": None, "previous": None}, 200)],
        parameters=PAGE_PARAMETERS,
    )
    def get(self, request: Request) -> Response:
        """What you have said of patches, newest first, in pages."""
        paginator = NewestFirst()
        rows: list[Review] = paginator.paginate_queryset(_reviews(request), request, view=self) or []
        response: Response = paginator.get_paginated_response(
            ReviewSerializer(rows, many=True, context={"request": request}).data
        )
        return response

    @operation(
        "create_review",
        "Say what a patch shows",
        request={"application/json": ReviewCreateSerializer},
        answers={201: ReviewSerializer},
        examples=[ANSWER_DRAW, REVIEW_PATCH, example(REVIEW, 201)],
        errors=[NotReviewable, NotOpen, AlreadyReviewed],
        parameters=[location("The review.", 201)],
        links={"201": OF_REVIEW},
    )
    def post(self, request: Request) -> Response:
        """Answer a draw, once: sent again, the answer is the review that exists. Or review a patch of one's choice."""
        fields = ReviewCreateSerializer(data=request.data)
        fields.is_valid(raise_exception=True)
        sent, user = fields.validated_data, user_of(request)
        said = {"reviewer": user, "answer": Answer(sent["answer"]), "comment": sent["comment"]}
        if sent["draw"]:
            review = services.answer_draw(draw=_draw(request, sent["draw"]), **said)
        else:
            patch = get_object_or_404(Patch.objects.reviewable_by(user), uuid=sent["patch"])
            review = services.review_patch(patch=patch, **said)
        address = reverse("api:review", args=[review.uuid], request=request)
        return Response(review_json(request, review), status=201, headers={"Location": address})


class ReviewNext(ReviewerView):
    """What the reviewer is asked now: the same until it is answered or skipped. 204 when there is nothing to ask."""

    @operation(
        "get_next_review",
        "What you are asked now",
        answers={200: QuestionSerializer, 204: OpenApiResponse(description="There is nothing to ask.")},
        examples=[example(QUESTION, 200)],
        links={"200": OF_DRAW},
    )
    def get(self, request: Request) -> Response:
        """The same until it is answered or skipped. 204 when there is nothing to ask."""
        draws = services.next_draws(reviewer=user_of(request))
        if not draws:
            return Response(status=204)
        return Response(QuestionSerializer(draws[0], context={"request": request}).data)


class ReviewImage(ReviewerView):
    """The 50x50 pixels that are asked about, by an address that leads to nothing else."""

    @operation(
        "get_review_image",
        "The picture that is asked about",
        answers={(200, "image/png"): OpenApiTypes.BINARY, 304: UNCHANGED},
        examples=[PNG],
        parameters=PICTURE_HEADERS,
    )
    def get(self, request: Request, draw_id: UUID) -> HttpResponseBase:
        """The 50x50 pixels, by an address that leads to nothing else."""
        response: HttpResponse = image_response(request._request, draw_id, reviewer=user_of(request))
        return response


class ReviewSkip(ReviewerView):
    """Leave a draw unanswered for good."""

    scopes: ClassVar = {"POST": Scope.MANAGE}

    @operation("skip_review", "Leave a patch unanswered", answers={204: OpenApiResponse(description="It is skipped.")})
    def post(self, request: Request, draw_id: UUID) -> Response:
        """For good: it is not asked about again. It is counted, and twice is once."""
        services.skip_draw(draw=_draw(request, draw_id), reviewer=user_of(request))
        return Response(status=204)


class ReviewDetail(ReviewerView):
    scopes: ClassVar = {"PATCH": Scope.MANAGE}

    @operation(
        "get_review",
        "One review",
        answers={200: ReviewSerializer},
        examples=[example(REVIEW, 200)],
        links={"200": OF_REVIEW},
    )
    def get(self, request: Request, review_id: UUID) -> Response:
        """One of yours: what others said is told as numbers only."""
        return Response(review_json(request, get_object_or_404(_reviews(request), uuid=review_id)))

    @operation(
        "change_review",
        "Change a review",
        request={"application/json": ReviewChangeSerializer},
        answers={200: ReviewSerializer},
        examples=[CHANGE, example(CHANGED, 200)],
    )
    def patch(self, request: Request, review_id: UUID) -> Response:
        """Change the answer or the comment; what was said first stays beside it."""
        found = get_object_or_404(_reviews(request), uuid=review_id)
        fields = ReviewChangeSerializer(data=request.data)
        fields.is_valid(raise_exception=True)
        sent = {"answer": found.answer, "comment": found.comment, **fields.validated_data}
        services.change_review(
            review=found, reviewer=user_of(request), answer=Answer(sent["answer"]), comment=sent["comment"]
        )
        return Response(review_json(request, get_object_or_404(_reviews(request), uuid=review_id)))


class GroundTruthDetail(APIView):
    """What the owner of a patch states that it shows. The source is for the owner and staff."""

    scopes: ClassVar = {"PUT": Scope.MANAGE, "DELETE": Scope.MANAGE}

    @operation(
        "get_ground_truth",
        "What the owner states",
        answers={200: StatedTruthSerializer},
        examples=[example(TRUTH, 200)],
    )
    def get(self, request: Request, prediction_id: UUID) -> Response:
        """404 while nothing is stated. `source` is for the owner and staff alone."""
        patch, user = visible_prediction(request, prediction_id).patch, user_of(request)
        truth = GroundTruth.objects.filter(patch=patch).first()
        if not truth:
            raise NotFound(_("Nothing is stated of this patch."))
        return Response(truth_json(truth, with_source=user.sees_all or patch.owner_id == user.pk))

    @operation(
        "state_ground_truth",
        "Say what a patch of yours shows",
        request={"application/json": TruthSerializer},
        answers={200: StatedTruthSerializer},
        examples=[STATE, example(TRUTH, 200)],
    )
    def put(self, request: Request, prediction_id: UUID) -> Response:
        """What it shows and how one knows; in the place of what was stated before."""
        patch = own_prediction(request, prediction_id).patch
        fields = TruthSerializer(data=request.data)
        fields.is_valid(raise_exception=True)
        sent = fields.validated_data
        truth = services.state_truth(
            patch=patch, owner=user_of(request), answer=Answer(sent["answer"]), source=sent["source"]
        )
        return Response(truth_json(truth, with_source=True))

    @operation(
        "delete_ground_truth",
        "Take a statement back",
        answers={204: OpenApiResponse(description="Nothing is stated.")},
    )
    def delete(self, request: Request, prediction_id: UUID) -> Response:
        """Nothing is stated any more; twice is once."""
        services.withdraw_truth(patch=own_prediction(request, prediction_id).patch, owner=user_of(request))
        return Response(status=204)


def _reviews(request: Request) -> QuerySet[Review]:
    return Review.objects.visible_to(user_of(request)).select_related("patch", "prediction", "draw")


def _draw(request: Request, draw_id: UUID) -> Draw:
    return get_object_or_404(Draw.objects.filter(reviewer=user_of(request)).select_related("patch"), uuid=draw_id)
