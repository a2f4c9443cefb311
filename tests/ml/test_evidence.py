from __future__ import annotations

import numpy as np
import pytest

from ml.evidence import confusion, deciles, paired_difference, per_patient, roc_points, spread, strata, thirds

LABELS = np.array([0, 0, 0, 1, 1, 1, 0, 1], np.uint8)
PROBABILITIES = np.array([0.05, 0.2, 0.6, 0.4, 0.8, 0.95, 0.07, 1.0])
PATIENTS = np.array(["1", "1", "1", "1", "2", "2", "2", "2"])


def test_the_confusion_matrix_by_hand() -> None:
    assert confusion(LABELS, PROBABILITIES, threshold=0.5) == {
        "true_positive": 3, "false_positive": 1, "true_negative": 3, "false_negative": 1
    }  # fmt: skip


def test_deciles_count_every_patch_once_and_a_certain_one_in_the_last() -> None:
    table = deciles(LABELS, PROBABILITIES, PATIENTS)
    assert [row["n"] for row in table] == [2, 0, 1, 0, 1, 0, 1, 0, 1, 2]
    assert table[0] == {
        "low": 0.0, "high": 0.1, "n": 2, "patients": 2, "positive": 0, "mean_probability": 0.06,
        "share": 0.0, "share_ci": [0.0, 0.0],
    }  # fmt: skip
    assert table[1] == {
        "low": 0.1, "high": 0.2, "n": 0, "patients": 0, "positive": 0, "mean_probability": None,
        "share": None, "share_ci": None,
    }  # fmt: skip


def test_patients_come_worst_first_and_their_spread_is_told() -> None:
    table = per_patient(LABELS, PROBABILITIES, PATIENTS, threshold=0.5)
    assert table == [
        {
            "patient": "1", "n": 4, "positive": 1, "auc": pytest.approx(2 / 3, abs=1e-5), "balanced_accuracy": 0.33333,
            "accuracy": 0.5, "sensitivity": 0.0, "specificity": 0.66667,
        },
        {
            "patient": "2", "n": 4, "positive": 3, "auc": 1.0, "balanced_accuracy": 1.0, "accuracy": 1.0,
            "sensitivity": 1.0, "specificity": 1.0,
        },
    ]  # fmt: skip
    assert spread(table)["accuracy"] == {"least": 0.5, "lower": 0.625, "median": 0.75, "upper": 0.875, "greatest": 1.0}


def test_the_curve_goes_from_corner_to_corner() -> None:
    random = np.random.default_rng(1)
    labels = random.integers(0, 2, 5000).astype(np.uint8)
    points = roc_points(labels, labels * 0.2 + random.random(5000))
    assert (points[0], points[-1]) == ([0.0, 0.0], [1.0, 1.0])
    assert 30 < len(points) <= 61
    assert points == sorted(points)


def test_traits_are_cut_into_thirds() -> None:
    values = np.arange(8.0)
    assert thirds(values).tolist() == [0, 0, 0, 1, 1, 2, 2, 2]
    rows = strata(LABELS, PROBABILITIES, PATIENTS, {"stain": values}, threshold=0.5)
    assert [(row["level"], row["n"], row["positive"], row["sensitivity"]) for row in rows] == [
        ("low", 3, 0, None), ("middle", 2, 2, 0.5), ("high", 3, 2, 1.0)
    ]  # fmt: skip


def test_a_model_does_not_differ_from_itself_and_a_better_one_does() -> None:
    random = np.random.default_rng(1)
    labels = random.integers(0, 2, 600).astype(np.uint8)
    patients = random.integers(0, 12, 600).astype(str)
    poor, good = labels * 0.2 + 0.8 * random.random(600), labels * 0.5 + 0.5 * random.random(600)
    same = paired_difference(labels, poor, poor, patients, thresholds=(0.5, 0.5))
    assert same == {name: {"difference": 0.0, "ci": [0.0, 0.0]} for name in ("auc", "balanced_accuracy", "f1", "ece")}
    found = paired_difference(labels, good, poor, patients, thresholds=(0.5, 0.5))["auc"]
    assert 0 < found["ci"][0] < found["difference"] < found["ci"][1]
