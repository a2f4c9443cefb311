from __future__ import annotations

from django.db import models
from django.db.models.functions import Now

from predictions.models import ModelVersion


class Week(models.Model):
    """What one model answered about the patches sent in one week (UTC, from Monday). Counted by the chores process.

    number: answers. score, score_deviation: mean and standard deviation of the probability. positive, flagged: how
    many answers were at or above the threshold, and had any flag. flags: how many had each, by code.
    sampled: how many patches were measured, those with the lowest random keys; over these, means of the gate's traits
    `stain` and `darkness` and of the embedding's distance; null without any.
    """

    model_version = models.ForeignKey(ModelVersion, on_delete=models.CASCADE, related_name="weeks")
    week = models.DateField()
    number = models.PositiveIntegerField()
    score = models.FloatField()
    score_deviation = models.FloatField()
    positive = models.PositiveIntegerField()
    flagged = models.PositiveIntegerField()
    flags = models.JSONField(default=dict)
    sampled = models.PositiveIntegerField(default=0)
    stain = models.FloatField(null=True)
    stain_deviation = models.FloatField(null=True)
    darkness = models.FloatField(null=True)
    darkness_deviation = models.FloatField(null=True)
    distance = models.FloatField(null=True)
    distance_deviation = models.FloatField(null=True)
    measured_at = models.DateTimeField(null=True)
    counted_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["model_version", "week"], name="%(app_label)s_%(class)s_once_per_model")
        ]

    def __str__(self) -> str:
        return f"{self.model_version_id} {self.week}"
