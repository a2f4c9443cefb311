"""What every job of a worker has in common: its state, its attempts, and the one statement that claims it."""

from __future__ import annotations

from datetime import timedelta
from functools import cache
from operator import attrgetter
from typing import TYPE_CHECKING, ClassVar, TypeVar

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from idc_site.postgres.prepared import Prepared, read

if TYPE_CHECKING:
    from predictions.models.model_version import ModelVersion


class Status(models.TextChoices):
    QUEUED = "queued", _("waiting")
    RUNNING = "running", _("being analysed")
    SUCCEEDED = "succeeded", _("answered")
    FAILED = "failed", _("failed")


ENDED = (Status.SUCCEEDED, Status.FAILED)
ATTEMPTS = 3

# One statement: rows that another worker holds are skipped, and the database's clock alone counts.
CLAIM = """
WITH picked AS MATERIALIZED (
    SELECT id FROM {table}
    WHERE status = 'queued' AND {is_of_model}
        AND next_attempt_at <= statement_timestamp() AND attempt {attempt}
    ORDER BY {order}
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
)
UPDATE {table} AS job
SET status = 'running',
    attempt = job.attempt + 1,
    started_at = statement_timestamp(),
    lease_until = statement_timestamp() + %(lease)s
FROM picked
WHERE job.id = picked.id
RETURNING {columns}
"""

AnyJob = TypeVar("AnyJob", bound="Job", covariant=True)


class JobQuerySet(models.QuerySet[AnyJob]):
    def claimable(self) -> JobQuerySet[AnyJob]:
        return self.filter(status=Status.QUEUED, next_attempt_at__lte=Now())

    def claim(
        self, *, model_version: ModelVersion, limit: int, lease: timedelta, is_first_attempt: bool = True
    ) -> list[AnyJob]:
        """queued -> running, with attempt + 1 and a lease: at most `limit` rows, most urgent first."""
        order = self.model.CLAIM_ORDER
        statement = _claiming(self.model, is_first_attempt=is_first_attempt)
        parameters = {
            "model_version": model_version.pk,
            "limit": limit,
            "lease": lease,
        }
        return sorted(read(self.model, parameters, statement), key=attrgetter(*order))


@cache
def _claiming(kind: type[Job], *, is_first_attempt: bool) -> Prepared:
    statement = CLAIM.format(
        table=kind._meta.db_table,
        is_of_model=kind.IS_OF_MODEL,
        order=", ".join(kind.CLAIM_ORDER),
        # By name: what is prepared must give the same columns for as long as it lives, whatever a migration adds.
        columns=", ".join(f"job.{field.column}" for field in kind._meta.concrete_fields),
        attempt="= 0" if is_first_attempt else "> 0",  # in the text, as an index is chosen by it
    )
    name = f"claim_{kind._meta.db_table}{'' if is_first_attempt else '_again'}"
    return Prepared(name, statement, {"model_version": "bigint", "limit": "bigint", "lease": "interval"})


class Job(models.Model):
    """A row that a worker claims.

    queued -> running (claimed) -> succeeded, or failed, or queued again (lease expired, attempts left).
    `attempt` is the fence: it never goes down, and a result is written only by the attempt that is current.
    """

    # SQL for CLAIM, of the class and never of a request: which rows are of %(model_version)s, and which come first.
    IS_OF_MODEL: ClassVar[str]
    CLAIM_ORDER: ClassVar[tuple[str, ...]] = ("id",)

    status = models.CharField(max_length=9, choices=Status.choices, default=Status.QUEUED)
    attempt = models.PositiveSmallIntegerField(default=0)
    attempt_limit = models.PositiveSmallIntegerField(default=ATTEMPTS)
    lease_until = models.DateTimeField(null=True, blank=True)
    next_attempt_at = models.DateTimeField(db_default=Now())
    queued_at = models.DateTimeField(db_default=Now())
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    error_code = models.CharField(max_length=40, blank=True)
    error_message = models.CharField(max_length=500, blank=True)

    class Meta:
        abstract = True
        constraints = [
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
            models.Index(fields=["lease_until"], condition=Q(status="running"), name="%(class)s_leased"),
        ]

    @property
    def is_finished(self) -> bool:
        return self.status in ENDED


def another_try() -> dict[str, object]:
    """failed -> queued, with three more attempts. The attempt goes on counting: it is the fence."""
    return {
        "status": Status.QUEUED,
        "attempt_limit": F("attempt") + ATTEMPTS,
        "next_attempt_at": Now(),
        "queued_at": Now(),
        "started_at": None,
        "finished_at": None,
        "error_code": "",
        "error_message": "",
    }
