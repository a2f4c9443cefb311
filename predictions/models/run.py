from __future__ import annotations

import uuid
from typing import ClassVar

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from predictions.models.model_version import ModelVersion
from predictions.models.patch import Patch

MOST_CHOSEN = 1_000  # patches that one run names one by one


class RunQuerySet(models.QuerySet["Run"]):
    def open(self) -> RunQuerySet:
        return self.filter(state__in=Run.OPEN)

    def trials_of(self, model_version: ModelVersion) -> RunQuerySet:
        """The shadow runs of a version, the newest first."""
        return self.filter(kind=Run.Kind.SHADOW, model_version=model_version).order_by("-pk")


class Run(models.Model):
    """One model version is asked about many patches in the background.

    filling (its predictions are being queued) -> working (workers answer them) -> finished; or, from either,
    cancelling -> cancelled. The chores process moves it on (predictions/services/runs.py).

    shadow: silently, for staff to compare with `compared_with`, the model that was active then. rerun: for the owners
    to see; the answer becomes the current one of its patch if the model is the active one.
    What was chosen: `chosen`, keys of patches; or of all patches up to `until` those sent `since`; a shadow takes those
    that people have judged, and all answered ones from `recent_from` on. position: the last patch that was looked at.

    number = known + asked: patches found, those that were asked about before (answered, failed, or awaited by another
    run), and those that this run asks about. asked = succeeded + failed + those that wait; at the end the rest were
    deleted, or taken over by another run.
    """

    class Kind(models.TextChoices):
        SHADOW = "shadow", _("shadow")
        RERUN = "rerun", _("re-run")

    class State(models.TextChoices):
        FILLING = "filling", _("being prepared")
        WORKING = "working", _("being answered")
        FINISHED = "finished", _("finished")
        CANCELLING = "cancelling", _("being stopped")
        CANCELLED = "cancelled", _("stopped")

    OPEN = (State.FILLING, State.WORKING, State.CANCELLING)

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    kind = models.CharField(max_length=6, choices=Kind.choices)
    model_version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="runs")
    compared_with = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, null=True, related_name="+")
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+")
    state = models.CharField(max_length=10, choices=State.choices, default=State.FILLING)
    chosen = ArrayField(models.BigIntegerField(), null=True)
    since = models.DateTimeField(null=True)
    recent_from = models.BigIntegerField(null=True)
    until = models.BigIntegerField()
    position = models.BigIntegerField(default=0)
    number = models.PositiveIntegerField(default=0)
    known = models.PositiveIntegerField(default=0)
    asked = models.PositiveIntegerField(default=0)
    succeeded = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True)

    objects: ClassVar[RunQuerySet] = RunQuerySet.as_manager()  # type: ignore[assignment]  # ours is narrower

    class Meta:
        constraints = [
            # Pressed twice is once.
            models.UniqueConstraint(
                fields=["model_version", "kind"],
                condition=Q(state__in=("filling", "working", "cancelling"), chosen__isnull=True),
                name="%(app_label)s_%(class)s_one_open",
            ),
            models.CheckConstraint(
                condition=Q(state__in=("finished", "cancelled"), finished_at__isnull=False)
                | Q(state__in=("filling", "working", "cancelling"), finished_at__isnull=True),
                name="%(app_label)s_%(class)s_ended_has_time",
            ),
            models.CheckConstraint(
                condition=Q(kind="shadow", recent_from__isnull=False, chosen__isnull=True, since__isnull=True)
                | Q(kind="rerun", recent_from__isnull=True),
                name="%(app_label)s_%(class)s_kind_and_choice",
            ),
        ]

    def __str__(self) -> str:
        return str(self.uuid)

    @property
    def is_open(self) -> bool:
        return self.state in self.OPEN

    @property
    def done(self) -> int:
        """Of the patches found so far, those that need nothing more."""
        return self.known + self.succeeded + self.failed

    def candidates(self) -> models.QuerySet[Patch]:
        """The patches that are still to be looked at, by key."""
        left = Patch.objects.filter(pk__gt=self.position, pk__lte=self.until)
        return (left if self.chosen is None else left.filter(pk__in=self.chosen)).order_by("pk")
