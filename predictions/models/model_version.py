from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.fields.json import KT
from django.db.models.functions import Cast, Now

from idc_site.postgres.prepared import Prepared, read

LISTED = 50

# Asked before every claim. SQL, because Django takes four times as long to write it as PostgreSQL to answer it.
WAITING = """
SELECT version.id, version.version, version.sha256, version.is_active, version.threshold, version.likeness_limit,
    waiting.*
FROM predictions_modelversion AS version CROSS JOIN LATERAL ({first}) AS waiting
ORDER BY waiting.urgency, version.id
"""
FIRST_PREDICTION = """
SELECT priority AS urgency, EXISTS (
    SELECT FROM predictions_prediction
    WHERE status = 'queued' AND model_version_id = version.id AND attempt > 0
        AND next_attempt_at <= statement_timestamp()
) AS has_retried
FROM predictions_prediction
WHERE status = 'queued' AND model_version_id = version.id AND next_attempt_at <= statement_timestamp()
ORDER BY priority, id LIMIT 1
"""
FIRST_EXPLANATION = """
SELECT explanation.id AS urgency
FROM predictions_explanation AS explanation JOIN predictions_prediction AS answered ON answered.id = prediction_id
WHERE explanation.status = 'queued' AND answered.model_version_id = version.id
    AND explanation.next_attempt_at <= statement_timestamp()
ORDER BY explanation.id LIMIT 1
"""
WITH_PREDICTIONS = Prepared("with_waiting_work", WAITING.format(first=FIRST_PREDICTION), {})
WITH_EXPLANATIONS = Prepared("with_waiting_explanations", WAITING.format(first=FIRST_EXPLANATION), {})


class ModelVersionQuerySet(models.QuerySet["ModelVersion"]):
    def active(self) -> ModelVersion | None:
        return next(iter(self.without_card().filter(is_active=True)), None)  # one at most, so in no order

    def without_card(self) -> ModelVersionQuerySet:
        """A card is 40 KB of JSON, and read when it is asked for: a name or a threshold costs nothing of it."""
        return self.defer("card")

    def listed(self) -> ModelVersionQuerySet:
        """The active one first, then the newest: as many as a page shows."""
        return self.order_by("-is_active", "-registered_at", "-pk")[:LISTED]

    def with_waiting_work(self) -> list[ModelVersion]:
        """Versions that have predictions to claim, the one with the most urgent first. Without their cards.

        Each with `urgency`, the priority of its first, and `has_retried`: whether some had an attempt before.
        """
        return read(self.model, {}, WITH_PREDICTIONS)

    def with_waiting_explanations(self) -> list[ModelVersion]:
        """Versions whose answers someone wants explained, and that can be claimed. Without their cards."""
        return read(self.model, {}, WITH_EXPLANATIONS)


class ModelVersion(models.Model):
    """A trained network in `ml/models/<version>/`, registered. At most one is active: it answers new patches.

    sha256: the identity of the network (its Keras file). card: a copy of card.json at registration, which
    holds the digests that the files on disk must have. threshold: a probability at or above it is called positive.
    likeness_limit: an embedding farther out than it is unlike those of training.
    """

    version = models.CharField(max_length=80, unique=True)
    sha256 = models.CharField(max_length=64)
    card = models.JSONField()
    threshold = models.GeneratedField(
        expression=Cast(KT("card__threshold"), models.FloatField()), output_field=models.FloatField(), db_persist=True
    )
    likeness_limit = models.GeneratedField(
        expression=Cast(KT("card__likeness__limit"), models.FloatField()),
        output_field=models.FloatField(),
        db_persist=True,
    )
    is_active = models.BooleanField(default=False)
    registered_at = models.DateTimeField(db_default=Now())

    urgency: int  # where `with_waiting_work` gives it
    has_retried: bool  # likewise

    objects: ClassVar[ModelVersionQuerySet] = ModelVersionQuerySet.as_manager()  # type: ignore[assignment]  # ours is narrower

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["is_active"], condition=Q(is_active=True), name="%(app_label)s_%(class)s_one_active"
            )
        ]

    def __str__(self) -> str:
        return self.version
