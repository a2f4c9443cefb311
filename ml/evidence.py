"""What a card says beyond its figures: who it fails, how well its probabilities hold, against which model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_curve

from ml import gate
from ml.evaluate import Floats, Labels, figures, interval, patient_rounds, rounded

BINS = 10
ROC_POINTS = 60
COMPARED = ("auc", "balanced_accuracy", "f1", "ece")
LEVELS = ("low", "middle", "high")
TRAITS = ("stain", "darkness", "tissue", "sharpness")


def measured_traits(pixels: NDArray[np.uint8]) -> dict[str, NDArray[np.float64]]:
    """Each of `TRAITS` of patches uint8 [n, 50, 50, 3], as the gate measures it: [n]."""
    measured = gate.measure_all(pixels).astype(np.float64)
    return {name: measured[:, gate.PLACE[name]] for name in TRAITS}


def confusion(labels: Labels, probabilities: Floats, *, threshold: float) -> dict[str, int]:
    """How many patches of each class were called what."""
    called, positive = probabilities >= threshold, labels == 1
    return {
        "true_positive": int(np.sum(called & positive)),
        "false_positive": int(np.sum(called & ~positive)),
        "true_negative": int(np.sum(~called & ~positive)),
        "false_negative": int(np.sum(~called & positive)),
    }


def deciles(labels: Labels, probabilities: Floats, patients: NDArray[np.str_]) -> list[dict[str, Any]]:
    """Of the patches that scored 0-10 %, 10-20 % ..., the share that was IDC, with its patient-bootstrap interval.

    share_ci is null where fewer than half of the rounds have a patch in the bin.
    """
    bins = np.minimum((probabilities * BINS).astype(int), BINS - 1)

    def shares(rows: NDArray[np.intp]) -> NDArray[np.float64]:
        numbers = np.bincount(bins[rows], minlength=BINS)
        positives = np.bincount(bins[rows], weights=labels[rows], minlength=BINS)
        share: NDArray[np.float64] = np.divide(positives, numbers, out=np.full(BINS, np.nan), where=numbers > 0)
        return share

    found = shares(np.arange(len(labels)))
    rounds = np.array([shares(rows) for rows in patient_rounds(patients)])
    table = []
    for place in range(BINS):
        mine = bins == place
        known = np.mean(~np.isnan(rounds[:, place])) >= 0.5
        bounds = interval(list(rounds[:, place])) if known else None
        table.append(
            {
                "low": place / BINS,
                "high": (place + 1) / BINS,
                "n": int(mine.sum()),
                "patients": len(np.unique(patients[mine])),
                "positive": int(labels[mine].sum()),
                "mean_probability": rounded(probabilities[mine].mean()) if mine.any() else None,
                "share": rounded(found[place]),
                "share_ci": [rounded(bound) for bound in bounds] if bounds else None,
            }
        )
    return table


def per_patient(
    labels: Labels, probabilities: Floats, patients: NDArray[np.str_], *, threshold: float
) -> list[dict[str, Any]]:
    """The figures of each patient alone, the worst balanced accuracy first; null where not defined."""
    rows = []
    for patient in np.unique(patients):
        mine = patients == patient
        found = figures(labels[mine], probabilities[mine], threshold=threshold)
        rows.append(
            {
                "patient": str(patient),
                "n": int(mine.sum()),
                "positive": int(labels[mine].sum()),
                **{
                    name: rounded(getattr(found, name))
                    for name in ("auc", "balanced_accuracy", "accuracy", "sensitivity", "specificity")
                },
            }
        )
    return sorted(rows, key=lambda row: (row["balanced_accuracy"] is None, row["balanced_accuracy"], row["patient"]))


def spread(table: list[dict[str, Any]]) -> dict[str, dict[str, float | None]]:
    """Least, quartiles and greatest of the patients' own figures, where they are defined."""
    result = {}
    for name in ("auc", "balanced_accuracy", "accuracy"):
        values = [row[name] for row in table if row[name] is not None]
        marks = np.percentile(values, (0, 25, 50, 75, 100)) if values else [float("nan")] * 5
        result[name] = dict(zip(("least", "lower", "median", "upper", "greatest"), map(rounded, marks), strict=True))
    return result


def thirds(values: Floats) -> NDArray[np.intp]:
    """0, 1 or 2 for each value: in the lower, middle or upper third of all."""
    return np.searchsorted(np.percentile(values, (100 / 3, 200 / 3)), values, side="right")


def roc_points(labels: Labels, probabilities: Floats) -> list[list[float]]:
    """(false positive rate, sensitivity) from (0, 0) to (1, 1), thinned to some sixty points."""
    x, y, _ = roc_curve(labels, probabilities)
    wanted = np.unique(np.searchsorted(x + y, np.linspace(0, 2, ROC_POINTS)).clip(0, len(x) - 1))
    return [[round(float(x[i]), 4), round(float(y[i]), 4)] for i in wanted]


def strata(
    labels: Labels,
    probabilities: Floats,
    patients: NDArray[np.str_],
    traits: Mapping[str, Floats],
    *,
    threshold: float,
) -> list[dict[str, Any]]:
    """Sensitivity and specificity in the lower, middle and upper third of each measured trait."""
    rows = []
    for name, values in traits.items():
        third_of = thirds(values)
        for third, level in enumerate(LEVELS):
            mine = np.flatnonzero(third_of == third)
            found = figures(labels[mine], probabilities[mine], threshold=threshold)
            rounds = [
                figures(labels[mine[rows]], probabilities[mine[rows]], threshold=threshold)
                for rows in patient_rounds(patients[mine])
            ]
            row: dict[str, Any] = {"trait": name, "level": level, "n": len(mine), "positive": int(labels[mine].sum())}
            for figure in ("sensitivity", "specificity"):
                row[figure] = rounded(getattr(found, figure))
                bounds = interval([getattr(one, figure) for one in rounds])
                row[f"{figure}_ci"] = [rounded(bound) for bound in bounds]
            rows.append(row)
    return rows


def paired_difference(
    labels: Labels,
    probabilities: Floats,
    others: Floats,
    patients: NDArray[np.str_],
    *,
    thresholds: tuple[float, float],
) -> dict[str, dict[str, Any]]:
    """Each figure of a model minus that of another on the same patches, with its paired patient-bootstrap interval.

    thresholds: of the model and of the other.
    """

    def differences(rows: NDArray[np.intp]) -> dict[str, float]:
        ours = figures(labels[rows], probabilities[rows], threshold=thresholds[0])
        theirs = figures(labels[rows], others[rows], threshold=thresholds[1])
        return {name: getattr(ours, name) - getattr(theirs, name) for name in COMPARED}

    found = differences(np.arange(len(labels)))
    rounds = [differences(rows) for rows in patient_rounds(patients)]
    return {
        name: {"difference": rounded(found[name]), "ci": list(map(rounded, interval([one[name] for one in rounds])))}
        for name in COMPARED
    }
