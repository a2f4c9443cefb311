from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from ml.evaluate import Figures, figures, report

LABELS = np.array([0, 0, 1, 1, 1, 0, 1, 0], np.uint8)
PROBABILITIES = np.array([0.1, 0.6, 0.35, 0.8, 0.9, 0.2, 0.5, 0.55])
PATIENTS = np.array(["a", "a", "b", "b", "c", "c", "d", "d"])


def test_figures_by_hand() -> None:
    # True positives 3 (0.8, 0.9, 0.5), false positives 2 (0.6, 0.55), false negative 1, true negatives 2.
    found = figures(LABELS, PROBABILITIES, threshold=0.5)
    # Bins: 0.1 (gap 0.1), 0.2 (0.2), 0.35 (-0.65), 0.5 and 0.55 (0.05), 0.6 (0.6), 0.8 (-0.2), 0.9 (-0.1).
    expected = Figures(
        auc=12 / 16,
        balanced_accuracy=(3 / 4 + 2 / 4) / 2,
        f1=6 / 9,
        accuracy=5 / 8,
        sensitivity=3 / 4,
        specificity=2 / 4,
        ece=(0.1 + 0.2 + 0.65 + 0.05 + 0.6 + 0.2 + 0.1) / 8,
    )
    assert asdict(found) == pytest.approx(asdict(expected))


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=2, max_size=60))
def test_figures_agree_with_scikit_learn(rows: list[tuple[bool, float]]) -> None:
    labels = np.array([label for label, _ in rows], np.uint8)
    probabilities = np.array([probability for _, probability in rows])
    found = figures(labels, probabilities, threshold=0.5)
    called = probabilities >= 0.5
    assert found.accuracy == pytest.approx(metrics.accuracy_score(labels, called))
    if labels.any():
        assert found.sensitivity == pytest.approx(metrics.recall_score(labels, called))
        assert found.f1 == pytest.approx(metrics.f1_score(labels, called))
    if labels.any() and not labels.all():
        assert found.balanced_accuracy == pytest.approx(metrics.balanced_accuracy_score(labels, called))
        assert found.auc == pytest.approx(metrics.roc_auc_score(labels, probabilities))
    else:
        assert np.isnan(found.auc)


def test_the_report_holds_every_figure_with_its_interval() -> None:
    found = report(LABELS, PROBABILITIES, PATIENTS, threshold=0.5, excluded=3)
    names = {"auc", "balanced_accuracy", "f1", "accuracy", "sensitivity", "specificity", "ece"}
    assert set(found) == {"n", "excluded", "patients", "threshold", *names, *(f"{name}_ci" for name in names)}
    assert (found["n"], found["excluded"], found["patients"], found["threshold"]) == (8, 3, 4, 0.5)
    for name in names:
        low, high = found[f"{name}_ci"]
        assert 0 <= low <= found[name] <= high <= 1
    assert found == report(LABELS, PROBABILITIES, PATIENTS, threshold=0.5, excluded=3)


@pytest.mark.filterwarnings("ignore:All-NaN slice encountered")
def test_a_figure_that_is_not_defined_is_null() -> None:
    found = report(np.zeros(3, np.uint8), np.array([0.1, 0.2, 0.7]), np.array(["a", "b", "c"]), threshold=0.5)
    assert (found["auc"], found["auc_ci"], found["sensitivity"]) == (None, [None, None], None)
    assert found["specificity"] == pytest.approx(2 / 3, abs=1e-5)
