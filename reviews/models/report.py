from __future__ import annotations

import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from predictions.models import Patch

REPORT_LENGTH = 500


class ReportReason(models.TextChoices):
    NOT_TISSUE = "not_tissue", _("It is no tissue")
    MISLEADING = "misleading", _("The answer is wrong or misleads")
    PERSONAL_DATA = "personal_data", _("It contains personal data, such as a name or a number of a patient")
    OFFENSIVE = "offensive", _("It is offensive")
    OTHER = "other", _("Something else")


class ReportOutcome(models.TextChoices):
    OPEN = "open", _("open")
    HIDDEN = "hidden", _("patch hidden")
    DISMISSED = "dismissed", _("dismissed")


class ReportQuerySet(models.QuerySet["Report"]):
    def open(self) -> ReportQuerySet:
        return self.filter(outcome=ReportOutcome.OPEN)


class Report(models.Model):
    """Somebody says that a shared patch should not be shown as it is.

    has_hidden: it took the patch out of sight by itself, because of personal data, until staff decide. comment: for
    staff. The reporter becomes anonymous when the account goes.
    """

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    patch = models.ForeignKey(Patch, on_delete=models.CASCADE, related_name="reports")
    reporter = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="reports")
    reason = models.CharField(max_length=13, choices=ReportReason.choices)
    comment = models.CharField(max_length=REPORT_LENGTH, blank=True)
    has_hidden = models.BooleanField(default=False)
    outcome = models.CharField(max_length=9, choices=ReportOutcome.choices, default=ReportOutcome.OPEN)
    created_at = models.DateTimeField(db_default=Now())
    settled_at = models.DateTimeField(null=True, blank=True)
    settled_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )

    objects: ClassVar[ReportQuerySet] = ReportQuerySet.as_manager()  # type: ignore[assignment]  # ours is narrower

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["patch", "reporter"], condition=Q(outcome="open"), name="%(app_label)s_%(class)s_one_open_each"
            ),
            models.CheckConstraint(
                condition=Q(outcome="open", settled_at__isnull=True)
                | Q(outcome__in=("hidden", "dismissed"), settled_at__isnull=False),
                name="%(app_label)s_%(class)s_settled_has_outcome",
            ),
            models.CheckConstraint(
                condition=Q(reason__in=ReportReason.values), name="%(app_label)s_%(class)s_reason_known"
            ),
        ]
        indexes = [
            models.Index(fields=["-id"], condition=Q(outcome="open"), name="report_open"),
            models.Index(fields=["reporter", "-created_at"], name="report_mine"),
        ]

    def __str__(self) -> str:
        return str(self.uuid)
