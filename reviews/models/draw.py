from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from predictions.models import Patch

if TYPE_CHECKING:
    from accounts.models import User


class Reason(models.TextChoices):
    """Why a reviewer was asked about a patch."""

    RANDOM = "random", _("drawn at random")
    FLAGGED = "flagged", _("flagged by the gate")
    DISAGREEING = "disagreeing", _("models or reviewers disagree")
    DOUBTFUL = "doubtful", _("near the threshold")
    CHOSEN = "chosen", _("chosen by the reviewer, who may have seen the answer of a model")


class Outcome(models.TextChoices):
    OPEN = "open", _("not answered yet")
    ANSWERED = "answered", _("answered")
    SKIPPED = "skipped", _("skipped")


class DrawQuerySet(models.QuerySet["Draw"]):
    def open_to(self, reviewer: User) -> DrawQuerySet:
        """What `reviewer` is being asked and still may be, in the order of drawing."""
        still = Patch.objects.reviewable_by(reviewer)
        return self.filter(reviewer=reviewer, outcome=Outcome.OPEN, patch__in=still).order_by("pk")


class Draw(models.Model):
    """One patch that one reviewer is asked about. open -> answered or skipped.

    The row is made before the question is shown, so that a reload shows the same patch. is_random: it belongs to
    the random share, whatever the reason was. That depends on the patch's review_key alone, never on the answer.
    The reviewer becomes anonymous when the account goes; what was counted stays.
    """

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    reviewer = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="draws")
    patch = models.ForeignKey(Patch, on_delete=models.CASCADE, related_name="draws")
    reason = models.CharField(max_length=11, choices=Reason.choices)
    is_random = models.BooleanField(default=False)
    outcome = models.CharField(max_length=8, choices=Outcome.choices, default=Outcome.OPEN)
    drawn_at = models.DateTimeField(db_default=Now())
    closed_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[DrawQuerySet] = DrawQuerySet.as_manager()  # type: ignore[assignment]  # ours is narrower

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["reviewer", "patch"], name="%(app_label)s_%(class)s_once_per_reviewer"),
            models.CheckConstraint(
                condition=Q(outcome="open", closed_at__isnull=True) | (~Q(outcome="open") & Q(closed_at__isnull=False)),
                name="%(app_label)s_%(class)s_closed_has_time",
            ),
            models.CheckConstraint(
                condition=~Q(reason="random") | Q(is_random=True), name="%(app_label)s_%(class)s_random_is_marked"
            ),
            models.CheckConstraint(
                condition=Q(outcome__in=Outcome.values, reason__in=Reason.values),
                name="%(app_label)s_%(class)s_known_words",
            ),
        ]
        indexes = [models.Index(fields=["reviewer", "id"], condition=Q(outcome="open"), name="draw_open")]

    def __str__(self) -> str:
        return str(self.uuid)
