"""Figures of reviewed patches, with 95 % intervals. Pure functions on numbers; NumPy alone, no Django.

Patches of one owner are alike, so patches count for less than their number. Intervals are therefore resampled over
owners (bootstrap, 1,000 times, percentiles); a share's interval is the wider of that and Wilson's (1927), because a
bootstrap of "12 of 12" would claim certainty. With fewer than ten owners patches are resampled instead, which is too
narrow, and `is_by_owner` says so. No figure is made of fewer than ten patches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FEW = 10
FEW_FOR_ERROR = 50  # the calibration error of fewer says more about chance than about the model
FEW_OWNERS = 10
GROUPS = 500  # more owners are resampled in so many groups: groups of independent owners are independent
RESAMPLES = 1000
BINS = 10
Z = 1.959963984540054  # of 95 %, two-sided
DEFINITE = ("positive", "negative")
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Case:
    """A patch that one model answered and people reviewed. answers: in the order given, with who gave each."""

    owner: int
    probability: float
    threshold: float
    answers: Sequence[str]
    reviewers: Sequence[int | None] = ()


@dataclass(frozen=True)
class Figure:
    """A value with its interval, of n patches; all None where n is too few."""

    name: str
    n: int
    value: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Evidence:
    """One model against what people say.

    reviewed = definite + ties + undecided patches. The reference of a definite one is what most of those said who
    answered positive or negative; ties are even, undecided had neither. confusion: true_positive, false_negative,
    false_positive, true_negative. bins: rows like those of a card's calibration table, share and share_ci None where
    too few.
    """

    reviewed: int
    definite: int
    ties: int
    undecided: int
    owners: int
    is_by_owner: bool
    confusion: dict[str, int]
    figures: list[Figure]
    bins: list[dict[str, Any]]


@dataclass(frozen=True)
class Agreement:
    """The first two reviewers of each patch against each other. indefinite: pairs in which one was not definite."""

    pairs: int
    indefinite: int
    is_by_owner: bool
    share: Figure
    kappa: Figure


def wilson(part: float, n: float) -> tuple[float, float]:
    """The 95 % score interval of a share, part of n (Wilson 1927)."""
    share, spread = part / n, Z * Z / n
    middle = (share + spread / 2) / (1 + spread)
    half = Z / (1 + spread) * float(np.sqrt(share * (1 - share) / n + spread / (4 * n)))
    return max(middle - half, 0.0), min(middle + half, 1.0)


def kappa(table: Floats) -> Floats:
    """Cohen's kappa of tables [..., 2, 2] of counts; 0 / 0, where both always say the same one thing, is NaN."""
    n = table.sum(axis=(-2, -1))
    with np.errstate(invalid="ignore", divide="ignore"):
        observed = (table[..., 0, 0] + table[..., 1, 1]) / n
        chance = (table.sum(axis=-1) * table.sum(axis=-2)).sum(axis=-1) / n**2
        found: Floats = (observed - chance) / (1 - chance)
    return found


def reference(answers: Sequence[str]) -> str:
    """What most say who are definite: positive or negative; "tie", or "undecided" if nobody is definite."""
    positive, negative = (sum(answer == one for answer in answers) for one in DEFINITE)
    if positive == negative:
        return "tie" if positive else "undecided"
    return "positive" if positive > negative else "negative"


def evidence(cases: Sequence[Case]) -> Evidence:
    references = [reference(case.answers) for case in cases]
    kept = [(case, said) for case, said in zip(cases, references, strict=True) if said in DEFINITE]
    owners = np.array([case.owner for case, _ in kept], np.int64)
    probability = np.array([case.probability for case, _ in kept], np.float64)
    called = probability >= np.array([case.threshold for case, _ in kept], np.float64)
    is_positive = np.array([said == "positive" for _, said in kept], np.bool_)
    cells = np.stack([is_positive & called, is_positive & ~called, ~is_positive & called, ~is_positive & ~called], 1)
    sample = Sample(owners)
    tp, fn, fp, tn = (sample.column(cell) for cell in cells.T)
    figures = [
        sample.share("sensitivity", tp, tp + fn),
        sample.share("specificity", tn, tn + fp),
        sample.share("ppv", tp, tp + fp),
        sample.share("npv", tn, tn + fn),
        sample.share("agreement", tp + tn, tp + fn + fp + tn),
        sample.kappa("kappa", np.stack([tp, fn, fp, tn], axis=-1)),
    ]
    place = np.minimum((probability * BINS).astype(int), BINS - 1)
    return Evidence(
        reviewed=len(cases),
        definite=len(kept),
        ties=references.count("tie"),
        undecided=references.count("undecided"),
        owners=len(np.unique(owners)),
        is_by_owner=sample.is_by_owner,
        confusion=dict(
            zip(
                ("true_positive", "false_negative", "false_positive", "true_negative"),
                cells.sum(axis=0).tolist(),
                strict=True,
            )
        ),
        figures=[*figures, _calibration_error(sample, place, probability, is_positive)],
        bins=[_bin(sample, place == number, number, probability, is_positive) for number in range(BINS)],
    )


def agreement(cases: Sequence[Case]) -> Agreement:
    """How far reviewers agree. A third answer is sought only where two differ, so the first two of a patch count.

    The first of a pair is who has the older account, so that with two reviewers it is Cohen's kappa of the two.
    """
    owners, cells, indefinite = [], [], 0
    for case in cases:
        if len(case.answers) < 2:
            continue
        pair = list(zip(case.reviewers, case.answers, strict=True))[:2]
        pair.sort(key=lambda one: one[0] if one[0] is not None else 0)
        first, second = (answer for _, answer in pair)
        if first in DEFINITE and second in DEFINITE:
            owners.append(case.owner)
            cells.append(2 * DEFINITE.index(first) + DEFINITE.index(second))
        else:
            indefinite += 1
    sample = Sample(np.array(owners, np.int64))
    columns = np.stack([sample.column(np.array(cells, np.int64) == cell) for cell in range(4)], axis=-1)
    same = columns[..., 0] + columns[..., 3]
    return Agreement(
        pairs=len(cells),
        indefinite=indefinite,
        is_by_owner=sample.is_by_owner,
        share=sample.share("agreement", same, columns.sum(axis=-1)),
        kappa=sample.kappa("kappa", columns),
    )


class Sample:
    """Sums over patches, as they are (row 0) and resampled by owners (the other rows)."""

    def __init__(self, owners: NDArray[np.int64]) -> None:
        """owners: of each patch, [n]."""
        names, place = np.unique(owners, return_inverse=True)
        self.is_by_owner = len(names) >= FEW_OWNERS
        self.group = (place if self.is_by_owner else np.arange(len(owners))) % GROUPS
        groups = int(self.group.max()) + 1 if len(owners) else 1
        drawn = np.random.default_rng(2020).multinomial(groups, np.full(groups, 1 / groups), size=RESAMPLES)
        self.weights = np.vstack([np.ones(groups), drawn])

    def column(self, values: NDArray[Any]) -> Floats:
        """Sums of `values` [n]: as they are and resampled, [1 + RESAMPLES]."""
        sums = np.bincount(self.group, weights=values.astype(np.float64), minlength=self.weights.shape[1])
        found: Floats = self.weights @ sums
        return found

    def share(self, name: str, part: Floats, whole: Floats) -> Figure:
        """part, whole: columns."""
        n = round(whole[0])
        if n < FEW:
            return Figure(name, n)
        low, high = wilson(part[0], whole[0])
        some = whole[1:] > 0
        below, above = np.percentile(part[1:][some] / whole[1:][some], (2.5, 97.5))
        return Figure(name, n, float(part[0] / whole[0]), min(low, float(below)), max(high, float(above)))

    def kappa(self, name: str, cells: Floats) -> Figure:
        """cells: columns of a table's four cells, [1 + RESAMPLES, 4]. None where both say one thing only."""
        n = round(cells[0].sum())
        found = kappa(cells.reshape(-1, 2, 2))
        if n < FEW or np.isnan(found[0]):
            return Figure(name, n)
        low, high = np.nanpercentile(found[1:], (2.5, 97.5))
        return Figure(name, n, float(found[0]), float(low), float(high))


def _calibration_error(
    sample: Sample, place: NDArray[Any], probability: Floats, is_positive: NDArray[np.bool_]
) -> Figure:
    """ECE: mean distance between score and share over ten equal bins, weighted by their patches."""
    n = len(probability)
    if n < FEW_FOR_ERROR:
        return Figure("ece", n)
    gap = sum(np.abs(sample.column(np.where(place == one, probability - is_positive, 0))) for one in range(BINS))
    found = gap / sample.column(np.ones(n))
    low, high = np.percentile(found[1:], (2.5, 97.5))
    # Resampled errors are too large, as they add chance to chance: the interval must not exclude the value itself.
    return Figure("ece", n, float(found[0]), min(float(low), float(found[0])), float(high))


def _bin(
    sample: Sample, inside: NDArray[np.bool_], number: int, probability: Floats, is_positive: NDArray[np.bool_]
) -> dict[str, Any]:
    n = int(inside.sum())
    share = sample.share("share", sample.column(inside & is_positive), sample.column(inside))
    return {
        "low": number / BINS,
        "high": (number + 1) / BINS,
        "n": n,
        "mean_probability": float(probability[inside].mean()) if n else None,
        "share": share.value,
        "share_ci": None if share.value is None else (share.low, share.high),
    }
