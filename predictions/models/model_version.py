from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Exists, OuterRef, Q, Subquery
from django.db.models.fields.json import KT
from django.db.models.functions import Cast, Now

LISTED = 50


class ModelVersionQuerySet(models.QuerySet["ModelVersion"]):
    def active(self) -> ModelVersion | None:
        return self.without_card().filter(is_active=True).first()

    def without_card(self) -> ModelVersionQuerySet:
        """A card is 40 KB of JSON, and read when it is asked for: a name or a threshold costs nothing of it."""
        return self.defer("card")

    def listed(self) -> ModelVersionQuerySet:
        """The active one first, then the newest: as many as a page shows."""
        return self.order_by("-is_active", "-registered_at", "-pk")[:LISTED]

    def with_waiting_work(self) -> ModelVersionQuerySet:
        """Versions that have predictions to claim, the one with the most urgent first."""
        from predictions.models.prediction import Prediction

        waiting = Prediction.objects.claimable().filter(model_version=OuterRef("pk"))
        return (
            self.without_card()
            .filter(Exists(waiting))
            .order_by(Subquery(waiting.order_by("priority").values("priority")[:1]), "pk")
        )

    def with_waiting_explanations(self) -> ModelVersionQuerySet:
        """Versions whose answers someone wants explained, and that can be claimed."""
        from predictions.models.explanation import Explanation

        waiting = Explanation.objects.claimable().filter(prediction__model_version=OuterRef("pk"))
        return self.without_card().filter(Exists(waiting)).order_by(Subquery(waiting.order_by("pk").values("pk")[:1]))


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

    objects: ClassVar[ModelVersionQuerySet] = ModelVersionQuerySet.as_manager()  # type: ignore[assignment]  # ours is narrower

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["is_active"], condition=Q(is_active=True), name="%(app_label)s_%(class)s_one_active"
            )
        ]

    def __str__(self) -> str:
        return self.version
