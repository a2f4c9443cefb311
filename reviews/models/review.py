from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from predictions.models import Patch, Prediction
from reviews.models.draw import Draw

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

    from accounts.models import User

COMMENT_LENGTH = 1000


class Answer(models.TextChoices):
    """What a reviewer says a patch shows. The first two are definite."""

    POSITIVE = "positive", _("IDC")
    NEGATIVE = "negative", _("no IDC")
    UNSURE = "unsure", _("unsure")
    NOT_A_PATCH = "not_a_patch", _("not a patch of tissue")


class ReviewQuerySet(models.QuerySet["Review"]):
    def visible_to(self, user: User | AnonymousUser) -> ReviewQuerySet:
        """One's own: what others said is told as numbers only."""
        return self.filter(reviewer=user) if user.is_authenticated and user.is_reviewer else self.none()


class Review(models.Model):
    """A reviewer's answer about a patch.

    first_answer: as it was given before the model's answer was shown; what figures are made of. answer: as it stands,
    the reviewer may have changed it since. prediction: the current one when it was answered. comment: for the
    reviewer and staff. The reviewer becomes anonymous when the account goes.
    """

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    patch = models.ForeignKey(Patch, on_delete=models.CASCADE, related_name="reviews")
    reviewer = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="reviews")
    draw = models.OneToOneField(Draw, on_delete=models.RESTRICT, related_name="review")
    prediction = models.ForeignKey(Prediction, on_delete=models.SET_NULL, null=True, related_name="+")
    first_answer = models.CharField(max_length=11, choices=Answer.choices)
    answer = models.CharField(max_length=11, choices=Answer.choices)
    comment = models.CharField(max_length=COMMENT_LENGTH, blank=True)
    created_at = models.DateTimeField(db_default=Now())
    changed_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[ReviewQuerySet] = ReviewQuerySet.as_manager()  # type: ignore[assignment]  # ours is narrower

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["patch", "reviewer"], name="%(app_label)s_%(class)s_once_per_reviewer"),
            models.CheckConstraint(
                condition=Q(answer__in=Answer.values, first_answer__in=Answer.values),
                name="%(app_label)s_%(class)s_answer_known",
            ),
        ]
        indexes = [models.Index(fields=["reviewer", "-id"], name="review_mine")]

    def __str__(self) -> str:
        return str(self.uuid)

    def get_absolute_url(self) -> str:
        return reverse("reviews:review", args=[self.uuid])
