from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Abs
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from predictions.models.job import Job, JobQuerySet
from predictions.models.model_version import ModelVersion
from predictions.models.patch import Patch
from predictions.models.run import Run

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

    from accounts.models import User


class Purpose(models.TextChoices):
    UPLOAD = "upload", _("upload")
    RERUN = "rerun", _("re-run")
    SHADOW = "shadow", _("shadow")


class Priority(models.IntegerChoices):
    """Lower is claimed first."""

    INTERACTIVE = 0, _("interactive")
    BULK = 10, _("bulk")
    BACKGROUND = 20, _("background")


class PredictionQuerySet(JobQuerySet["Prediction"]):
    def visible_to(self, user: User | AnonymousUser) -> PredictionQuerySet:
        """Predictions of patches that `user` may see; shadows are for staff."""
        visible = self.filter(patch__in=Patch.objects.visible_to(user))
        return visible if user.is_authenticated and user.sees_all else visible.exclude(purpose=Purpose.SHADOW)

    def with_patch_and_model(self) -> PredictionQuerySet:
        return self.select_related("patch", "model_version").defer("model_version__card", "embedding")


class Prediction(Job):
    """One model's answer about one patch; until it is there, the job to make it.

    threshold is copied from the model's card when the row is made, so that the verdict never changes.
    embedding: 64 little-endian float16, where the patch lies among those the model was trained on.
    flags: codes of ml.gate.FLAGS, what speaks against relying on the answer.
    awaited_by: the run that waits for it; none any more once the run has counted it.
    """

    IS_OF_MODEL = "model_version_id = %(model_version)s"
    CLAIM_ORDER = ("priority", "id")

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    # What a foreign key is looked up by, the index of a constraint that begins with it finds; so in the other models.
    patch = models.ForeignKey(Patch, on_delete=models.CASCADE, related_name="predictions", db_index=False)
    model_version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="predictions")
    purpose = models.CharField(max_length=6, choices=Purpose.choices, default=Purpose.UPLOAD)
    priority = models.PositiveSmallIntegerField(choices=Priority.choices, default=Priority.INTERACTIVE)
    probability = models.FloatField(null=True, blank=True)
    threshold = models.FloatField()
    embedding = models.BinaryField(null=True)
    flags = ArrayField(models.CharField(max_length=20), default=list, blank=True)
    awaited_by = models.ForeignKey(
        Run, on_delete=models.SET_NULL, null=True, blank=True, related_name="+", db_index=False
    )

    objects: ClassVar[PredictionQuerySet] = PredictionQuerySet.as_manager()  # type: ignore[assignment]  # ours is narrower

    class Meta(Job.Meta):
        constraints = [
            *Job.Meta.constraints,
            models.UniqueConstraint(fields=["patch", "model_version"], name="%(app_label)s_%(class)s_once_per_model"),
            models.CheckConstraint(
                condition=Q(probability__isnull=True) | Q(probability__gte=0, probability__lte=1),
                name="%(app_label)s_%(class)s_probability_in_range",
            ),
            models.CheckConstraint(
                condition=Q(status="succeeded", probability__isnull=False, finished_at__isnull=False)
                | (~Q(status="succeeded") & Q(probability__isnull=True)),
                name="%(app_label)s_%(class)s_succeeded_has_answer",
            ),
        ]
        indexes = [
            *Job.Meta.indexes,
            models.Index(
                fields=["model_version", "priority", "id"], condition=Q(status="queued"), name="prediction_claimable"
            ),
            # Few of many: those that are tried again.
            models.Index(
                fields=["model_version", "priority", "id"],
                condition=Q(status="queued", attempt__gt=0),
                name="prediction_retried",
            ),
            models.Index(fields=["-id"], condition=Q(status="failed"), name="prediction_failed"),
            # What a run has left: few rows at a time, so that its progress costs the same however many there are.
            models.Index(
                fields=["awaited_by", "status"], condition=Q(awaited_by__isnull=False), name="prediction_awaited"
            ),
            # How reviewers find what is worth their time, see reviews/services/draw.py.
            models.Index(fields=["id"], condition=Q(status="succeeded") & ~Q(flags=[]), name="prediction_flagged"),
            models.Index(
                fields=["id"],
                condition=Q(status="succeeded", purpose__in=("rerun", "shadow")),
                name="prediction_second_opinion",
            ),
            models.Index(
                Abs(F("probability") - F("threshold")), "id", condition=Q(status="succeeded"), name="prediction_doubt"
            ),
        ]

    def __str__(self) -> str:
        return str(self.uuid)

    def get_absolute_url(self) -> str:
        return reverse("predictions:detail", args=[self.uuid])

    @property
    def is_shadow(self) -> bool:
        return self.purpose == Purpose.SHADOW

    @property
    def label(self) -> str | None:
        """positive (IDC) when probability >= threshold, else negative; None without an answer."""
        if self.probability is None:
            return None
        return "positive" if self.probability >= self.threshold else "negative"

    def may_be_explained_to(self, user: User | AnonymousUser) -> bool:
        """Whether `user`, who may see it, may also ask for its map: that is work, and work is for owner and staff."""
        return user.is_authenticated and (user.sees_all or self.patch.owner_id == user.pk)
