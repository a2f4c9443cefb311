"""Versions that are tried beside the active one."""

from __future__ import annotations

from django.urls import reverse

from accounts.models import User
from predictions import services as predicting
from predictions.models import ModelVersion, Patch, Prediction, Visibility
from tests.factories import answer, submit_drawn


def address(name: str, *arguments: object) -> str:
    return reverse(f"trial:{name}", args=["other-1", *arguments])


def tried(
    owner: User, other: ModelVersion, *scores: tuple[float, float], visibility: Visibility = Visibility.PUBLIC
) -> list[Patch]:
    """Patches with the answers of the active model and, from a finished shadow run, of the other."""
    seeds = range(Patch.objects.count(), Patch.objects.count() + len(scores))
    rows = submit_drawn(owner, *seeds, visibility=visibility)
    patches = [answer(row, before).patch for row, (before, _) in zip(rows, scores, strict=True)]
    predicting.start_shadow(model_version=other)
    predicting.advance_runs()
    for patch, (_, after) in zip(patches, scores, strict=True):
        answer(Prediction.objects.get(patch=patch, model_version=other), after)
    predicting.advance_runs()
    return patches
