"""Reviews over the API: the same queue, the same services; and what owners state about their own patches."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.views import APIView

from accounts.models import Scope
from accounts.permissions import HasScope
from predictions.api.access import own_prediction, user_of, visible_prediction
from predictions.models import Patch
from predictions.pagination import NewestFirst
from reviews import services
from reviews.api.serializers import (
    ReviewChangeSerializer,
    ReviewCreateSerializer,
    ReviewSerializer,
    TruthSerializer,
    review_json,
    truth_json,
)
from reviews.models import Answer, Draw, GroundTruth, Review
from reviews.views import image_response


class IsReviewer(BasePermission):
    """For reviewers and staff."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return user_of(request).is_reviewer


class ReviewerView(APIView):
    permission_classes = (HasScope, IsReviewer)


class ReviewList(ReviewerView):
    """One's own reviews, newest first; and the way to give one."""

    scopes: ClassVar = {"POST": Scope.MANAGE}

    def get(self, request: Request) -> Response:
        paginator = NewestFirst()
        rows: list[Review] = paginator.paginate_queryset(_reviews(request), request, view=self) or []
        response: Response = paginator.get_paginated_response(
            ReviewSerializer(rows, many=True, context={"request": request}).data
        )
        return response

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

    def get(self, request: Request) -> Response:
        draws = services.next_draws(reviewer=user_of(request))
        if not draws:
            return Response(status=204)
        draw = draws[0]
        image = reverse("api:review-image", args=[draw.uuid], request=request)
        return Response({"draw": str(draw.uuid), "image": image, "drawn_at": draw.drawn_at})


class ReviewImage(ReviewerView):
    """The 50x50 pixels that are asked about, by an address that leads to nothing else."""

    def get(self, request: Request, draw_id: UUID) -> HttpResponseBase:
        response: HttpResponse = image_response(request._request, draw_id, reviewer=user_of(request))
        return response


class ReviewSkip(ReviewerView):
    """Leave a draw unanswered for good."""

    scopes: ClassVar = {"POST": Scope.MANAGE}

    def post(self, request: Request, draw_id: UUID) -> Response:
        services.skip_draw(draw=_draw(request, draw_id), reviewer=user_of(request))
        return Response(status=204)


class ReviewDetail(ReviewerView):
    scopes: ClassVar = {"PATCH": Scope.MANAGE}

    def get(self, request: Request, review_id: UUID) -> Response:
        return Response(review_json(request, get_object_or_404(_reviews(request), uuid=review_id)))

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

    def get(self, request: Request, prediction_id: UUID) -> Response:
        patch, user = visible_prediction(request, prediction_id).patch, user_of(request)
        truth = get_object_or_404(GroundTruth, patch=patch)
        return Response(truth_json(truth, with_source=user.is_staff or patch.owner_id == user.pk))

    def put(self, request: Request, prediction_id: UUID) -> Response:
        patch = own_prediction(request, prediction_id).patch
        fields = TruthSerializer(data=request.data)
        fields.is_valid(raise_exception=True)
        sent = fields.validated_data
        truth = services.state_truth(
            patch=patch, owner=user_of(request), answer=Answer(sent["answer"]), source=sent["source"]
        )
        return Response(truth_json(truth, with_source=True))

    def delete(self, request: Request, prediction_id: UUID) -> Response:
        services.withdraw_truth(patch=own_prediction(request, prediction_id).patch, owner=user_of(request))
        return Response(status=204)


def _reviews(request: Request) -> QuerySet[Review]:
    return Review.objects.visible_to(user_of(request)).select_related("patch", "prediction", "draw")


def _draw(request: Request, draw_id: UUID) -> Draw:
    return get_object_or_404(Draw.objects.filter(reviewer=user_of(request)).select_related("patch"), uuid=draw_id)
