from __future__ import annotations

import numpy as np
import pytest

from ml.calibrate import METHODS, Calibration, left_out, platt, temperature
from ml.evaluate import expected_calibration_error

RANDOM = np.random.default_rng(1)
LOGITS = RANDOM.normal(0, 2, 8_000)
PATIENTS = RANDOM.integers(0, 9, len(LOGITS)).astype(str)


def labels_of(truth: Calibration) -> np.ndarray:
    """Labels drawn with the probabilities that `truth` gives."""
    return (RANDOM.random(len(LOGITS)) < truth.probability(LOGITS)).astype(np.uint8)


def test_platt_finds_the_scale_and_the_shift_that_made_the_labels() -> None:
    found = platt(LOGITS, labels_of(Calibration(1.5, -1.0)))
    assert [found.scale, found.shift] == pytest.approx([1.5, -1.0], abs=0.12)


def test_temperature_finds_the_scale_and_never_shifts() -> None:
    found = temperature(LOGITS, labels_of(Calibration(0.5, 0.0)))
    assert found.scale == pytest.approx(0.5, abs=0.05)
    assert found.shift == 0.0


def test_calibration_keeps_the_order_of_the_patches() -> None:
    probabilities = Calibration(1.5, -1.0).probability(np.sort(LOGITS))
    assert np.all(np.diff(probabilities) >= 0)
    assert 0 <= probabilities.min() < probabilities.max() <= 1


def test_each_patient_is_answered_by_a_fit_on_the_others() -> None:
    labels = labels_of(Calibration(1.5, -1.0))
    labels[PATIENTS == "7"] = 1  # would pull a fit that saw it
    probabilities = left_out(LOGITS, labels, PATIENTS, platt)
    mine = PATIENTS == "7"
    expected = platt(LOGITS[~mine], labels[~mine]).probability(LOGITS[mine])
    np.testing.assert_array_equal(probabilities[mine], expected)


def test_where_classes_were_balanced_in_training_a_shift_is_needed() -> None:
    labels = labels_of(Calibration(1.0, -1.5))
    errors = {
        name: expected_calibration_error(labels, left_out(LOGITS, labels, PATIENTS, method))
        for name, method in METHODS.items()
    }
    assert errors["platt"] < 0.03 < errors["temperature"]
