from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from predictions.models import Patch
from reviews.models.review import Answer

SOURCE_LENGTH = 200
DEFINITE = [(answer.value, answer.label) for answer in (Answer.POSITIVE, Answer.NEGATIVE)]


class GroundTruth(models.Model):
    """What the owner of a patch says it shows. Kept apart from reviews: nobody checked it, and it is not blind.

    source: how the owner knows, for the owner's and staff's eyes only: it may name things that are private.
    """

    patch = models.OneToOneField(Patch, on_delete=models.CASCADE, primary_key=True, related_name="ground_truth")
    answer = models.CharField(max_length=8, choices=DEFINITE)
    source = models.CharField(max_length=SOURCE_LENGTH, blank=True)
    created_at = models.DateTimeField(db_default=Now())
    changed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "ground truth"
        constraints = [
            models.CheckConstraint(
                condition=Q(answer__in=("positive", "negative")), name="%(app_label)s_%(class)s_answer_definite"
            )
        ]

    def __str__(self) -> str:
        return str(self.patch_id)
