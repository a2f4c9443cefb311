from __future__ import annotations

import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from predictions.models.model_version import ModelVersion
from predictions.models.patch import Patch

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

    from accounts.models import User


class Status(models.TextChoices):
    QUEUED = "queued", _("waiting")
    RUNNING = "running", _("being analysed")
    SUCCEEDED = "succeeded", _("answered")
    FAILED = "failed", _("failed")


class Purpose(models.TextChoices):
    UPLOAD = "upload", _("upload")
    RERUN = "rerun", _("re-run")
    SHADOW = "shadow", _("shadow")


class Priority(models.IntegerChoices):
    """Lower is claimed first."""

    INTERACTIVE = 0, _("interactive")
    BULK = 10, _("bulk")
    BACKGROUND = 20, _("background")


ATTEMPTS = 3

# One statement: rows that another worker holds are skipped, and the database's clock alone counts.
CLAIM = """
WITH picked AS MATERIALIZED (
    SELECT id FROM predictions_prediction
    WHERE status = 'queued' AND model_version_id = %(model_version)s
        AND next_attempt_at <= statement_timestamp() AND (attempt = 0) = %(is_first_attempt)s
    ORDER BY priority, id
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
)
UPDATE predictions_prediction AS job
SET status = 'running',
    attempt = job.attempt + 1,
    started_at = statement_timestamp(),
    lease_until = statement_timestamp() + %(lease)s
FROM picked
WHERE job.id = picked.id
RETURNING job.*
"""


class PredictionQuerySet(models.QuerySet["Prediction"]):
    def visible_to(self, user: User | AnonymousUser) -> PredictionQuerySet:
        """Predictions of patches that `user` may see; shadows are for staff."""
        visible = self.filter(patch__in=Patch.objects.visible_to(user))
        return visible if user.is_authenticated and user.is_staff else visible.exclude(purpose=Purpose.SHADOW)

    def claimable(self) -> PredictionQuerySet:
        return self.filter(status=Status.QUEUED, next_attempt_at__lte=Now())

    def claim(
        self, *, model_version: ModelVersion, limit: int, lease: timedelta, is_first_attempt: bool = True
    ) -> list[Prediction]:
        """queued -> running, with attempt + 1 and a lease: at most `limit` rows, most urgent first."""
        parameters = {
            "model_version": model_version.pk,
            "limit": limit,
            "lease": lease,
            "is_first_attempt": is_first_attempt,
        }
        return sorted(self.raw(CLAIM, parameters), key=lambda job: (job.priority, job.pk))


class Prediction(models.Model):
    """One model's answer about one patch; until it is there, the job to make it.

    queued -> running (claimed) -> succeeded, or failed, or queued again (lease expired, attempts left).
    `attempt` is the fence: it never goes down, and a result is written only by the attempt that is current.
    threshold is copied from the model's card when the row is made, so that the verdict never changes.
    """

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    patch = models.ForeignKey(Patch, on_delete=models.CASCADE, related_name="predictions")
    model_version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="predictions")
    purpose = models.CharField(max_length=6, choices=Purpose.choices, default=Purpose.UPLOAD)
    status = models.CharField(max_length=9, choices=Status.choices, default=Status.QUEUED)
    priority = models.PositiveSmallIntegerField(choices=Priority.choices, default=Priority.INTERACTIVE)
    attempt = models.PositiveSmallIntegerField(default=0)
    attempt_limit = models.PositiveSmallIntegerField(default=ATTEMPTS)
    lease_until = models.DateTimeField(null=True, blank=True)
    next_attempt_at = models.DateTimeField(db_default=Now())
    probability = models.FloatField(null=True, blank=True)
    threshold = models.FloatField()
    flags = ArrayField(models.CharField(max_length=20), default=list, blank=True)
    queued_at = models.DateTimeField(db_default=Now())
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    error_code = models.CharField(max_length=40, blank=True)
    error_message = models.CharField(max_length=500, blank=True)

    objects: ClassVar[PredictionQuerySet] = PredictionQuerySet.as_manager()  # type: ignore[assignment]  # ours is narrower

    class Meta:
        constraints = [
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
            models.CheckConstraint(
                condition=~Q(status="failed") | ~Q(error_code=""), name="%(app_label)s_%(class)s_failed_has_reason"
            ),
            models.CheckConstraint(
                condition=~Q(status="running") | Q(lease_until__isnull=False),
                name="%(app_label)s_%(class)s_running_has_lease",
            ),
            models.CheckConstraint(condition=Q(status__in=Status.values), name="%(app_label)s_%(class)s_status_known"),
        ]
        indexes = [
            models.Index(
                fields=["model_version", "priority", "id"], condition=Q(status="queued"), name="prediction_claimable"
            ),
            models.Index(fields=["lease_until"], condition=Q(status="running"), name="prediction_leased"),
        ]

    def __str__(self) -> str:
        return str(self.uuid)

    def get_absolute_url(self) -> str:
        return reverse("predictions:detail", args=[self.uuid])

    @property
    def is_finished(self) -> bool:
        return self.status in (Status.SUCCEEDED, Status.FAILED)

    @property
    def label(self) -> str | None:
        """positive (IDC) when probability >= threshold, else negative; None without an answer."""
        if self.probability is None:
            return None
        return "positive" if self.probability >= self.threshold else "negative"
