"""What changes when one model answers instead of another, on the same patches. Pure functions on numbers, no Django.

Intervals are made as in `reviews.figures`: owners are resampled, and the interval of a difference of shares is the
wider of that and Newcombe's for paired shares. McNemar's test takes patches for independent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from reviews.figures import DEFINITE, FEW, Figure, Floats, Sample, reference, wilson

SHIFTS = 10  # bins of after - before, from -1 to 1


@dataclass(frozen=True)
class Pair:
    """A patch with the answers of both models, and what people say of it."""

    owner: int
    before: float
    before_threshold: float
    after: float
    after_threshold: float
    answers: Sequence[str] = ()


@dataclass(frozen=True)
class Change:
    """Of n patches: how many each model answers rightly, and how many were gained and lost by the change.

    difference: of the shares of right answers, after - before. p: McNemar's exact test, two-sided; None of too few.
    """

    name: str
    n: int
    before: int
    after: int
    gained: int
    lost: int
    difference: Figure
    p: float | None


@dataclass(frozen=True)
class Judged:
    """Both models against what people say, on patches with a definite answer. changes: of the IDC patches
    (sensitivity), of the others (specificity), of all (agreement). auc: of each model, and after - before."""

    reviewed: int
    definite: int
    owners: int
    is_by_owner: bool
    changes: list[Change]
    auc_before: Figure
    auc_after: Figure
    auc_difference: Figure


@dataclass(frozen=True)
class Shift:
    """Both models against each other, whatever is true.

    same: share of patches called the same. shift: mean of after - before. bins: how many patches shifted by -1 to
    -0.8, and so on up to 1.
    """

    n: int
    owners: int
    is_by_owner: bool
    to_positive: int
    to_negative: int
    same: Figure
    shift: Figure
    bins: list[int]


def mcnemar(gained: int, lost: int) -> float:
    """The exact two-sided test (McNemar 1947; binomial form): of gained + lost flips, is half of each a likely draw?"""
    n, tail, term = gained + lost, 0, 1
    for number in range(min(gained, lost) + 1):
        tail += term
        term = term * (n - number) // (number + 1)
    return min(2.0 * (tail / (1 << n)), 1.0)


def newcombe(both: int, after_only: int, before_only: int, neither: int) -> tuple[float, float]:
    """The 95 % interval of a difference of paired shares, after - before: method 10 of Newcombe (1998, Statistics in
    Medicine 17: 2635-2650), from Wilson's intervals and the correlation of the pairs."""
    n = both + after_only + before_only + neither
    after, before = both + after_only, both + before_only
    excess = both * neither - after_only * before_only
    corrected = max(excess - n / 2, 0) if excess > 0 else excess
    margins = sqrt(after * (n - after) * before * (n - before))
    correlation = corrected / margins if margins else 0.0
    (low1, high1), (low2, high2) = wilson(after, n), wilson(before, n)

    def distance(one: float, other: float) -> float:
        return sqrt(max(one**2 - 2 * correlation * one * other + other**2, 0))

    difference = (after - before) / n
    below = distance(after / n - low1, high2 - before / n)
    above = distance(high1 - after / n, before / n - low2)
    return difference - below, difference + above


def judged(pairs: Sequence[Pair]) -> Judged:
    references = [reference(pair.answers) for pair in pairs]
    kept = [(pair, said) for pair, said in zip(pairs, references, strict=True) if said in DEFINITE]
    sample = Sample(np.array([pair.owner for pair, _ in kept], np.int64))
    is_positive = np.array([said == "positive" for _, said in kept], np.bool_)
    before, after = _called([pair for pair, _ in kept])
    was_right, is_right = before == is_positive, after == is_positive
    scores = [np.array([getattr(pair, name) for pair, _ in kept], np.float64) for name in ("before", "after")]
    areas = [_areas(sample, one, is_positive) for one in scores]
    return Judged(
        reviewed=len(pairs),
        definite=len(kept),
        owners=len({pair.owner for pair, _ in kept}),
        is_by_owner=sample.is_by_owner,
        changes=[
            _change(sample, name, among, was_right, is_right)
            for name, among in (
                ("sensitivity", is_positive),
                ("specificity", ~is_positive),
                ("agreement", np.ones(len(kept), np.bool_)),
            )
        ],
        auc_before=_figure("auc", len(kept), areas[0]),
        auc_after=_figure("auc", len(kept), areas[1]),
        auc_difference=_figure("auc", len(kept), areas[1] - areas[0]),
    )


def shift(pairs: Sequence[Pair]) -> Shift:
    sample = Sample(np.array([pair.owner for pair in pairs], np.int64))
    before, after = _called(pairs)
    moved = np.array([pair.after - pair.before for pair in pairs], np.float64)
    ones = sample.column(np.ones(len(pairs)))
    bins, _ = np.histogram(moved, bins=SHIFTS, range=(-1, 1))
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = sample.column(moved) / ones
    return Shift(
        n=len(pairs),
        owners=len({pair.owner for pair in pairs}),
        is_by_owner=sample.is_by_owner,
        to_positive=int((after & ~before).sum()),
        to_negative=int((before & ~after).sum()),
        same=sample.share("same", sample.column(before == after), ones),
        shift=_figure("shift", len(pairs), mean),
        bins=bins.tolist(),
    )


def _called(pairs: Sequence[Pair]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Whether each model calls each patch positive."""
    return (
        np.array([pair.before >= pair.before_threshold for pair in pairs], np.bool_),
        np.array([pair.after >= pair.after_threshold for pair in pairs], np.bool_),
    )


def _change(
    sample: Sample, name: str, among: NDArray[np.bool_], was_right: NDArray[np.bool_], is_right: NDArray[np.bool_]
) -> Change:
    """was_right, is_right: of all patches; `among`: which of them count."""
    n = int(among.sum())
    both, gained = int((among & was_right & is_right).sum()), int((among & ~was_right & is_right).sum())
    lost = int((among & was_right & ~is_right).sum())
    difference = Figure(name, n)
    if n >= FEW:
        low, high = newcombe(both, gained, lost, n - both - gained - lost)
        with np.errstate(invalid="ignore", divide="ignore"):
            column = sample.column(among * (is_right * 1.0 - was_right)) / sample.column(among)
        found = _figure(name, n, column)
        assert found.low is not None and found.high is not None and found.value is not None  # noqa: PT018  (n >= FEW)
        difference = Figure(name, n, found.value, min(low, found.low), max(high, found.high))
    p = mcnemar(gained, lost) if n >= FEW else None
    return Change(name, n, both + lost, both + gained, gained, lost, difference, p)


def _areas(sample: Sample, scores: Floats, is_positive: NDArray[np.bool_]) -> Floats:
    """The area under the ROC curve as it is and resampled: the share of pairs of an IDC patch and another in which
    the IDC patch scores higher, ties half (Hanley & McNeil 1982). NaN where there is no such pair."""
    groups = sample.weights.shape[1]
    positives, place = scores[is_positive], sample.group[is_positive]
    wins = np.zeros((groups, groups))  # of the positives of a group over the negatives of another
    for other in range(groups):
        negatives = np.sort(scores[~is_positive & (sample.group == other)])
        below = np.searchsorted(negatives, positives, "left") + np.searchsorted(negatives, positives, "right")
        wins[:, other] = np.bincount(place, weights=below / 2, minlength=groups)
    won = ((sample.weights @ wins) * sample.weights).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Floats = won / (sample.column(is_positive) * sample.column(~is_positive))
    return found


def _figure(name: str, n: int, column: Floats) -> Figure:
    """The value of a column with its percentile interval; None of too few, or where it is not defined."""
    if n < FEW or np.isnan(column[0]):
        return Figure(name, n)
    low, high = np.nanpercentile(column[1:], (2.5, 97.5))
    return Figure(name, n, float(column[0]), float(low), float(high))
