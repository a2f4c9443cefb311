"""How good the answers are: the figures of a card, with intervals from a bootstrap over patients."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

Floats = NDArray[np.floating[Any]]
Labels = NDArray[np.uint8]

ECE_BINS = 10
BOOTSTRAP_ROUNDS = 1000
BOOTSTRAP_SEED = 20200323


@dataclass(frozen=True)
class Figures:
    """Each in 0..1; NaN where the labels at hand do not define it. f1 is that of the IDC class.

    ece: expected calibration error over ten bins of equal width of the probability (Guo et al. 2017).
    """

    auc: float
    balanced_accuracy: float
    f1: float
    accuracy: float
    sensitivity: float
    specificity: float
    ece: float


def figures(labels: Labels, probabilities: Floats, *, threshold: float) -> Figures:
    """Figures of n answers. labels: [n] of 0 and 1. probabilities: [n] in 0..1."""
    positive = labels == 1
    called = probabilities >= threshold
    true_positive = int(np.sum(called & positive))
    true_negative = int(np.sum(~called & ~positive))
    false_positive = int(np.sum(called & ~positive))
    false_negative = int(np.sum(~called & positive))
    sensitivity = _share(true_positive, true_positive + false_negative)
    specificity = _share(true_negative, true_negative + false_positive)
    return Figures(
        auc=area_under_curve(positive, probabilities),
        balanced_accuracy=(sensitivity + specificity) / 2,
        f1=_share(2 * true_positive, 2 * true_positive + false_positive + false_negative),
        accuracy=_share(true_positive + true_negative, len(labels)),
        sensitivity=sensitivity,
        specificity=specificity,
        ece=expected_calibration_error(labels, probabilities),
    )


def area_under_curve(positive: NDArray[np.bool_], scores: Floats) -> float:
    """Area under the ROC curve: how often a positive scores above a negative, where equal scores count half.

    By ranks (Mann & Whitney 1947). scikit-learn's `roc_auc_score` is the same number, but checks what it is given
    for thirty times as long as this takes, which a bootstrap pays in every round.
    """
    positives = int(np.sum(positive))
    negatives = len(positive) - positives
    if not positives or not negatives:
        return float("nan")
    above = float(np.sum(rankdata(scores)[positive])) - positives * (positives + 1) / 2
    return above / (positives * negatives)


def expected_calibration_error(labels: Labels, probabilities: Floats) -> float:
    """Mean distance between probability and frequency over ten equal bins, weighted by their counts."""
    if not len(labels):
        return float("nan")
    bins = np.minimum((probabilities * ECE_BINS).astype(int), ECE_BINS - 1)
    gaps = np.bincount(bins, weights=probabilities - labels, minlength=ECE_BINS)
    return float(np.abs(gaps).sum() / len(labels))


def patient_rounds(patients: NDArray[np.str_]) -> Iterator[NDArray[np.intp]]:
    """The rows of each bootstrap round: patients are drawn, since patches of one patient look alike.

    Of no patient there is no round.
    """
    random = np.random.default_rng(BOOTSTRAP_SEED)
    rows_of = [np.flatnonzero(patients == patient) for patient in np.unique(patients)]
    for _ in range(BOOTSTRAP_ROUNDS if rows_of else 0):
        drawn = random.integers(len(rows_of), size=len(rows_of))
        yield np.concatenate([rows_of[patient] for patient in drawn])


def interval(values: Sequence[float]) -> tuple[float, float]:
    """95 % percentile interval of what the rounds gave; rounds that gave NaN are left out."""
    if np.all(np.isnan(values)):
        return float("nan"), float("nan")
    low, high = np.nanpercentile(values, (2.5, 97.5))
    return float(low), float(high)


def bootstrap_intervals(
    labels: Labels, probabilities: Floats, patients: NDArray[np.str_], *, threshold: float
) -> dict[str, tuple[float, float]]:
    """95 % interval of each figure. Rounds in which a figure is undefined (one class only) are left out for it."""
    rounds = [figures(labels[rows], probabilities[rows], threshold=threshold) for rows in patient_rounds(patients)]
    return {name: interval([getattr(found, name) for found in rounds]) for name in Figures.__dataclass_fields__}


def report(
    labels: Labels,
    probabilities: Floats,
    patients: NDArray[np.str_],
    *,
    threshold: float,
    excluded: int = 0,
) -> dict[str, Any]:
    """The JSON of `python -m ml evaluate`: every figure, its interval as `<figure>_ci`, and the counts."""
    values = figures(labels, probabilities, threshold=threshold)
    intervals = bootstrap_intervals(labels, probabilities, patients, threshold=threshold)
    result: dict[str, Any] = {
        "n": len(labels),
        "excluded": excluded,
        "patients": len(np.unique(patients)),
        "threshold": threshold,
    }
    for name, bounds in intervals.items():
        result[name] = rounded(getattr(values, name))
        result[f"{name}_ci"] = [rounded(bound) for bound in bounds]
    return result


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


def rounded(value: float) -> float | None:
    """Five digits, and null for what is not defined: NaN is not JSON."""
    return None if np.isnan(value) else round(float(value), 5)
