from __future__ import annotations

import uuid
from datetime import timedelta
from typing import ClassVar

from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from predictions.models import Batch, Job
from predictions.models.job import JobQuerySet
from webhooks.exceptions import failure_message
from webhooks.models.webhook import Webhook

ATTEMPTS = 8

# One statement, and at most one delivery of each owner at a time, so that nobody's slow receiver keeps the others
# waiting. Receivers that answered come first, among them the one that waited longest. Tests go to paused ones, too.
CLAIM = """
WITH due AS MATERIALIZED (
    SELECT DISTINCT ON (hook.owner_id) waiting.id, hook.last_error <> '' AS is_failing, hook.last_attempt_at
    FROM webhooks_webhook AS hook
    JOIN accounts_user AS owner ON owner.id = hook.owner_id AND owner.is_active
    CROSS JOIN LATERAL (
        SELECT id FROM webhooks_delivery
        WHERE webhook_id = hook.id AND status = 'queued' AND next_attempt_at <= statement_timestamp()
            AND (hook.is_active OR event = 'ping')
        ORDER BY next_attempt_at
        LIMIT 1
    ) AS waiting
    WHERE NOT EXISTS (
        SELECT FROM webhooks_delivery AS sent
        JOIN webhooks_webhook AS other ON other.id = sent.webhook_id
        WHERE sent.status = 'running' AND other.owner_id = hook.owner_id
    )
    ORDER BY hook.owner_id, hook.last_error <> '', hook.last_attempt_at NULLS FIRST
), picked AS MATERIALIZED (
    SELECT job.id FROM webhooks_delivery AS job
    JOIN due ON due.id = job.id
    WHERE job.status = 'queued'
    ORDER BY due.is_failing, due.last_attempt_at NULLS FIRST, job.id
    LIMIT %(limit)s
    FOR UPDATE OF job SKIP LOCKED
)
UPDATE webhooks_delivery AS job
SET status = 'running',
    attempt = job.attempt + 1,
    started_at = statement_timestamp(),
    lease_until = statement_timestamp() + %(lease)s
FROM picked
WHERE job.id = picked.id
RETURNING job.*
"""


class DeliveryStatus(models.TextChoices):
    """The states of a job, in a delivery's words."""

    QUEUED = "queued", _("waiting")
    RUNNING = "running", _("being sent")
    SUCCEEDED = "succeeded", _("delivered")
    FAILED = "failed", _("given up")


class DeliveryEvent(models.TextChoices):
    """What a receiver is told of."""

    BATCH_FINISHED = "batch.finished", _("batch finished")
    PING = "ping", _("test")


class DeliveryQuerySet(JobQuerySet["Delivery"]):
    def claim_due(self, *, limit: int, lease: timedelta) -> list[Delivery]:
        """queued -> running, with attempt + 1 and a lease: at most `limit` rows, each of another owner."""
        return list(self.raw(CLAIM, {"limit": limit, "lease": lease}))


class Delivery(Job):
    """One message to one receiver; until it has arrived or was given up, the job to bring it there.

    The uuid goes with it as `webhook-id` and stays the same however often it is sent. body: JSON, exactly as sent.
    files: how many the batch had; if more are added and these finish too, that is told again. The response_... and
    duration_ms are of the last attempt, of which response_text keeps the beginning.
    """

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    webhook = models.ForeignKey(Webhook, on_delete=models.CASCADE, related_name="deliveries", db_index=False)
    event = models.CharField(max_length=20, choices=DeliveryEvent.choices)
    batch = models.ForeignKey(Batch, on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    files = models.PositiveIntegerField(null=True, blank=True)
    body = models.TextField()
    status = models.CharField(max_length=9, choices=DeliveryStatus.choices, default=DeliveryStatus.QUEUED)
    attempt_limit = models.PositiveSmallIntegerField(default=ATTEMPTS)
    response_status = models.PositiveSmallIntegerField(null=True, blank=True)
    response_text = models.CharField(max_length=500, blank=True)
    duration_ms = models.PositiveIntegerField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now())

    objects: ClassVar[DeliveryQuerySet] = DeliveryQuerySet.as_manager()  # type: ignore[assignment]  # ours is narrower

    class Meta(Job.Meta):
        verbose_name_plural = "deliveries"
        constraints = [
            *Job.Meta.constraints,
            models.UniqueConstraint(fields=["webhook", "batch", "files"], name="%(app_label)s_%(class)s_told_once"),
            models.CheckConstraint(
                condition=Q(event="ping", batch__isnull=True, files__isnull=True)
                | Q(event="batch.finished", batch__isnull=False, files__isnull=False),
                name="%(app_label)s_%(class)s_event_has_subject",
            ),
            models.CheckConstraint(
                condition=~Q(status__in=["succeeded", "failed"]) | Q(finished_at__isnull=False),
                name="%(app_label)s_%(class)s_finished_has_time",
            ),
        ]
        indexes = [
            *Job.Meta.indexes,
            models.Index(fields=["webhook", "-id"], name="delivery_history"),
            models.Index(fields=["webhook", "next_attempt_at"], condition=Q(status="queued"), name="delivery_due"),
            BrinIndex(fields=["created_at"], name="delivery_age"),
        ]

    def __str__(self) -> str:
        return str(self.uuid)

    @property
    def error(self) -> str:
        """Why the last attempt did not arrive, as a sentence; "" if it did, or if there was none."""
        return failure_message(self.error_code) if self.error_code else ""
