from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q

from predictions.models.job import Job, JobQuerySet
from predictions.models.prediction import Prediction


class ExplanationQuerySet(JobQuerySet["Explanation"]):
    def of(self, prediction: Prediction) -> Explanation | None:
        """How far the map of this prediction is, without its bytes; None if nobody asked for it."""
        return self.filter(prediction=prediction).defer("png").first()


class Explanation(Job):
    """Where the model looked for one answer: a map to lay over the patch, made when someone asks for it.

    png: with transparency, as ml.explain.render_png draws it.
    """

    IS_OF_MODEL = (
        "prediction_id IN (SELECT answered.id FROM predictions_prediction AS answered"
        " WHERE answered.model_version_id = %(model_version)s)"
    )

    prediction = models.OneToOneField(Prediction, on_delete=models.CASCADE, related_name="explanation")
    png = models.BinaryField(null=True)

    objects: ClassVar[ExplanationQuerySet] = ExplanationQuerySet.as_manager()  # type: ignore[assignment]  # ours is narrower

    class Meta(Job.Meta):
        constraints = [
            *Job.Meta.constraints,
            models.CheckConstraint(
                condition=Q(status="succeeded", png__isnull=False, finished_at__isnull=False)
                | (~Q(status="succeeded") & Q(png__isnull=True)),
                name="%(app_label)s_%(class)s_succeeded_has_map",
            ),
        ]
        indexes = [
            *Job.Meta.indexes,
            models.Index(fields=["id"], condition=Q(status="queued"), name="explanation_claimable"),
        ]

    def __str__(self) -> str:
        return str(self.prediction_id)
