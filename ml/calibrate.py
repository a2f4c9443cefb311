"""From a network's logit to a probability that means what it says: one scale and one shift.

Platt scaling (Platt 1999), probability = sigmoid(scale * logit + shift), fitted by maximum likelihood.
Temperature scaling (Guo et al. 2017) is its case with shift 0: not enough here, because networks are trained
with both classes weighing the same, while a third of the patches are IDC. `METHODS` keeps both, to compare.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from ml.evaluate import Floats, Labels


@dataclass(frozen=True)
class Calibration:
    """probability = sigmoid(scale * logit + shift)."""

    scale: float = 1.0
    shift: float = 0.0

    def probability(self, logits: Floats) -> NDArray[np.float64]:
        """Logits [n] -> probabilities [n] in 0..1."""
        return np.asarray(expit(self.scale * np.asarray(logits, np.float64) + self.shift))


def unchanged(logits: Floats, labels: Labels) -> Calibration:
    return Calibration()


def temperature(logits: Floats, labels: Labels) -> Calibration:
    """The scale alone that makes the labels likeliest."""

    def loss(scale: float) -> float:
        scaled = scale * logits
        return float(np.mean(np.logaddexp(0, scaled) - labels * scaled))

    return Calibration(scale=float(minimize_scalar(loss, bounds=(0.05, 20), method="bounded").x))


def platt(logits: Floats, labels: Labels) -> Calibration:
    """The scale and the shift that make the labels likeliest."""
    found = LogisticRegression(C=np.inf).fit(np.asarray(logits, np.float64)[:, None], labels)
    return Calibration(scale=float(found.coef_[0, 0]), shift=float(found.intercept_[0]))


Method = Callable[[Floats, Labels], Calibration]
METHODS: dict[str, Method] = {"none": unchanged, "temperature": temperature, "platt": platt}


def left_out(logits: Floats, labels: Labels, patients: NDArray[np.str_], method: Method) -> NDArray[Any]:
    """Probabilities [n], each patient's by a calibration fitted on all other patients."""
    probabilities = np.empty(len(logits))
    for patient in np.unique(patients):
        mine = patients == patient
        probabilities[mine] = method(logits[~mine], labels[~mine]).probability(logits[mine])
    return probabilities
