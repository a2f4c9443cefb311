"""What the API takes and gives about reviews."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _
from rest_framework import serializers
from rest_framework.request import Request

from idc_site.api_fields import Body, TextField
from reviews.models import Answer, GroundTruth, Reason, Review
from reviews.models.ground_truth import DEFINITE, SOURCE_LENGTH
from reviews.models.review import COMMENT_LENGTH


class ReviewChangeSerializer(Body):
    """PATCH of a review: what is not sent stays."""

    answer = serializers.ChoiceField(choices=Answer.choices, required=False)
    comment = TextField(max_length=COMMENT_LENGTH, allow_blank=True, required=False)


class ReviewCreateSerializer(Body):
    """POST of a review: of a draw of the queue, or of a patch of one's own choice."""

    draw = serializers.UUIDField(required=False, default=None)
    patch = serializers.UUIDField(required=False, default=None)
    answer = serializers.ChoiceField(choices=Answer.choices)
    comment = TextField(max_length=COMMENT_LENGTH, allow_blank=True, default="")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if (attrs["draw"] is None) == (attrs["patch"] is None):
            raise serializers.ValidationError({"draw": _("Send either “draw” or “patch”.")})
        return attrs


class TruthSerializer(Body):
    """PUT of what the owner states."""

    answer = serializers.ChoiceField(choices=DEFINITE)
    source = TextField(  # type: ignore[assignment]  # a field, not the field's source
        max_length=SOURCE_LENGTH, allow_blank=True, default=""
    )


class ReviewSerializer(serializers.ModelSerializer[Review]):
    """What a reviewer said of a patch: first, and as it stands."""

    id = serializers.UUIDField(source="uuid")
    patch = serializers.UUIDField(source="patch.uuid")
    prediction = serializers.UUIDField(source="prediction.uuid", allow_null=True)
    is_blind = serializers.SerializerMethodField()
    url = serializers.HyperlinkedIdentityField(
        view_name="reviews:review",
        lookup_field="uuid",
        lookup_url_kwarg="review_id",
        help_text="The page for people.",
    )

    class Meta:
        model = Review
        fields = (
            "id",
            "patch",
            "prediction",
            "answer",
            "first_answer",
            "comment",
            "is_blind",
            "created_at",
            "changed_at",
            "url",
        )
        read_only_fields = fields

    def get_is_blind(self, review: Review) -> bool:
        """Whether it was given in the queue, before the model's answer was shown: figures are made of these alone."""
        return review.draw.reason != Reason.CHOSEN


class ReviewPageSerializer(serializers.Serializer[Any]):
    """One page of reviews. `next` and `previous` are whole addresses, null at the ends."""

    results = ReviewSerializer(many=True)
    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)


class QuestionSerializer(serializers.Serializer[Any]):
    """What a reviewer is asked about: a picture, and nothing of any model."""

    draw = serializers.UUIDField(source="uuid")
    image = serializers.HyperlinkedIdentityField(
        view_name="api:review-image", lookup_field="uuid", lookup_url_kwarg="draw_id"
    )
    drawn_at = serializers.DateTimeField()


class StatedTruthSerializer(serializers.Serializer[Any]):
    """What the owner states that a patch shows."""

    answer = serializers.ChoiceField(choices=DEFINITE)
    created_at = serializers.DateTimeField()
    changed_at = serializers.DateTimeField(allow_null=True)
    source = serializers.CharField(  # type: ignore[assignment]  # a field, not the field's source
        required=False, help_text="How the owner knows. For the owner and staff alone."
    )


def review_json(request: Request, review: Review) -> dict[str, Any]:
    return dict(ReviewSerializer(review, context={"request": request}).data)


def truth_json(truth: GroundTruth, *, with_source: bool) -> dict[str, Any]:
    shown = dict(StatedTruthSerializer(truth).data)
    return shown if with_source else {name: value for name, value in shown.items() if name != "source"}
