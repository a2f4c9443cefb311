"""Rows that many tests of reviews start from."""

from __future__ import annotations

from collections.abc import Sequence

from accounts.models import User
from predictions.models import Patch, Prediction, Visibility
from reviews import services
from reviews.models import Answer, Draw, Review
from tests.factories import answer, submit_drawn


def answered(owner: User, *probabilities: float, first_seed: int = 0) -> list[Patch]:
    """Public patches of `owner` that the model has answered with these probabilities."""
    seeds = range(first_seed, first_seed + len(probabilities))
    rows = submit_drawn(owner, *seeds, visibility=Visibility.PUBLIC)
    return [answer(row, probability).patch for row, probability in zip(rows, probabilities, strict=True)]


def in_order(patches: Sequence[Patch]) -> None:
    """Give the patches random keys that rise in this order."""
    for place, patch in enumerate(patches):
        Patch.objects.filter(pk=patch.pk).update(review_key=(place + 1) / (len(patches) + 1))


def asked(reviewer: User) -> Draw:
    """What `reviewer` is asked now."""
    return services.next_draws(reviewer=reviewer)[0]


def say(reviewer: User, what: Answer = Answer.POSITIVE) -> Review:
    """Answer what `reviewer` is asked now."""
    return services.answer_draw(draw=asked(reviewer), reviewer=reviewer, answer=what)


def flag(patch: Patch, *flags: str) -> None:
    Prediction.objects.filter(patch=patch).update(flags=list(flags))
