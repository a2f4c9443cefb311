"""Turns finished runs into a model version: one calibrated graph as Keras and LiteRT file, and its card."""

from __future__ import annotations

import hashlib
import platform
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml import gate
from ml.assemble import finished_model, fit_projection, raw_model
from ml.backend import keras
from ml.calibrate import METHODS, Calibration, left_out
from ml.card import CARD_FILE, KERAS_FILE, LITERT_FILE, VERSION, ModelCard, ModelError, read_card
from ml.dataset import Patches
from ml.engine import Engine, KerasEngine, LiteRTEngine, load_engine
from ml.evaluate import report
from ml.evidence import confusion, deciles, measured_traits, paired_difference, per_patient, roc_points, spread, strata
from ml.runs import MEMBER_KEYS, counts, read_run, trained_network
from ml.train import THRESHOLD, patch_weights

TOLERANCE = 1e-5
METHOD = "platt"
LIKENESS_QUANTILE = 0.998  # of the training patches, each patient the same weight

INTENDED_USE = (
    "Research and teaching: how likely does a patch of H&E-stained breast tissue show invasive ductal "
    "carcinoma? Never a diagnosis."
)
LIMITS = [
    "Trained on tissue at about 2.5x, roughly 4 um per pixel: a patch of 50 x 50 pixels shows about 200 um. "
    "Other scales are outside of what the model knows.",
    "All patches come from one data set, one stain protocol family and one scanner.",
    "A label is that of a region drawn by a pathologist at low magnification: at the edge of a region it is often "
    "arguable.",
    "Of the patches behind the calibration 38 % are IDC. Where the share is very different, probabilities are off.",
    "Two numbers of the calibration were fitted on the validation patients, and an early recipe was changed after "
    "a look at them: expect about two points less on new patients. The 49 test patients are still sealed.",
]
DATA = {
    "name": "Breast Histopathology Images (Kaggle; Cruz-Roa et al. 2014, Janowczyk & Madabhushi 2016)",
    "licence": "CC0",
    "split": "by patient: the published lists, and the patients in none of them for training",
}


def export(
    runs: Sequence[Path], destination: Path, patches: Patches, *, symmetries: int = 1, compared_with: Path | None = None
) -> float:
    """Write model.keras, model.tflite and card.json to `destination`; return the engines' largest difference.

    The mean logit of the runs' networks, over `symmetries` of the patch (1 or 8), is calibrated on the
    validation patients among `patches`; the embedding is fitted on the training patients. Both engines answer
    the validation patches; no file is written unless they agree. compared_with: folder of another version.

    Raises:
        ModelError: the version exists or is none, a run is not finished or was split by patch, too few patches or
            patients were given, the network tells nothing apart, or the engines differ by more than 1e-5.
    """
    if not VERSION.fullmatch(destination.name):
        raise ModelError(f"{destination.name!r} is no version: use small letters, digits, dots and hyphens.")
    if (destination / CARD_FILE).exists():
        raise ModelError(f"{destination.name} exists already, and answers name it. Choose another version.")
    members = [read_run(run) for run in runs]
    if leaky := [str(run) for run, member in zip(runs, members, strict=True) if "leak" in member]:
        raise ModelError(f"{leaky[0]} was split by patch: a model in use must be trained by patient.")
    if compared_with:
        read_card(compared_with)  # now, not after all the work
    training, validation = patches.of_split("train"), patches.of_split("validation")
    if min(len(training), len(validation)) < 64 or len(set(validation.patients)) < 2:
        raise ModelError("Export needs at least 64 real patches of training, and of two or more validation patients.")
    raw = raw_model([trained_network(run) for run in runs], symmetries=symmetries)
    logits, _ = _answers(raw, validation)
    calibration = METHODS[METHOD](logits, validation.labels)
    weights = patch_weights(training, patient_exponent=0.0, balance_classes=False)
    _, features = _answers(raw, training)
    model = finished_model(raw, calibration, fit_projection(features, weights))
    del features

    contents = {KERAS_FILE: _keras_file(model), LITERT_FILE: to_litert(model)}
    engine = LiteRTEngine(contents[LITERT_FILE])
    answers = engine.predict(validation.pixels)
    reference = KerasEngine(contents[KERAS_FILE]).predict(validation.pixels).probability
    difference = float(np.abs(reference - answers.probability).max())
    if difference > TOLERANCE:
        raise ModelError(f"The export differs from Keras by {difference:.2g}, more than {TOLERANCE}: not written.")
    if calibration.scale <= 0:
        raise ModelError("The network tells the validation patches apart no better than chance: not written.")
    trained = gate.distance(engine.predict(training.pixels).embedding)
    limit = float(np.quantile(trained, LIKENESS_QUANTILE, weights=weights, method="inverted_cdf"))
    card = ModelCard(
        version=destination.name,
        architecture=_architecture(members, symmetries),
        weights=sum(member["weights"] for member in members),
        symmetries=symmetries,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        intended_use=INTENDED_USE,
        limits=LIMITS,
        data={**DATA, "train": counts(training), "validation": counts(validation)},
        members=[{key: member[key] for key in MEMBER_KEYS} for member in members],
        threshold=THRESHOLD,
        calibration=_calibration(calibration, logits, validation),
        figures=_figures(validation, answers.probability),
        evidence=_evidence(validation, answers.probability, logits),
        likeness={
            "limit": round(limit, 4),
            "flagged_training": round(float(np.mean(trained > limit)), 5),
            "flagged_validation": round(float(np.mean(gate.distance(answers.embedding) > limit)), 5),
        },
        speed=_speed(engine, validation.pixels),
        bytes={name: len(content) for name, content in contents.items()},
        comparison=_comparison(validation, answers.probability, compared_with) if compared_with else None,
        sha256={name: hashlib.sha256(content).hexdigest() for name, content in contents.items()},
    )
    destination.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (destination / name).write_bytes(content)
    # The card last: a folder without one is no model.
    card.write(destination)
    return difference


def to_litert(model: keras.Model) -> bytes:
    """The network as a LiteRT flat buffer: float32 [n, 50, 50, 3] with n free, and the outputs of the model."""
    with tempfile.TemporaryDirectory() as made:
        path = Path(made) / LITERT_FILE
        model.export(path, format="litert", verbose=False)
        return path.read_bytes()


def _keras_file(model: keras.Model) -> bytes:
    with tempfile.TemporaryDirectory() as made:
        path = Path(made) / KERAS_FILE
        model.save(path)
        return path.read_bytes()


def _answers(raw: keras.Model, patches: Patches) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Logits [n] and features [n, d]."""
    logits, features = raw.predict(patches.pixels, batch_size=128, verbose=0)
    return logits[:, 0], features


def _architecture(members: Sequence[dict[str, Any]], symmetries: int) -> str:
    networks = " and ".join(member["recipe"]["network"] for member in members)
    mean = f"mean of {networks}" if len(members) > 1 else networks
    return f"{mean}, over the {symmetries} symmetries of the patch" if symmetries > 1 else mean


def _figures(patches: Patches, probabilities: NDArray[Any]) -> dict[str, Any]:
    excluded = len(patches.excluded)
    return report(patches.labels, probabilities, patches.patients, threshold=THRESHOLD, excluded=excluded)


def _calibration(calibration: Calibration, logits: NDArray[Any], validation: Patches) -> dict[str, Any]:
    reports = {
        name: _figures(validation, left_out(logits, validation.labels, validation.patients, method))
        for name, method in METHODS.items()
    }
    compared = ("ece", "ece_ci", "balanced_accuracy", "f1")
    return {
        "method": METHOD,
        "scale": calibration.scale,
        "shift": calibration.shift,
        "fitted_on": f"{len(set(validation.patients))} validation patients; left_out: each by a fit on all others",
        "left_out": reports[METHOD],
        "compared": [{"method": name, **{key: found[key] for key in compared}} for name, found in reports.items()],
    }


def _evidence(validation: Patches, probabilities: NDArray[Any], logits: NDArray[Any]) -> dict[str, Any]:
    labels, patients = validation.labels, validation.patients
    table = per_patient(labels, probabilities, patients, threshold=THRESHOLD)
    return {
        "confusion": confusion(labels, probabilities, threshold=THRESHOLD),
        "deciles": deciles(labels, left_out(logits, labels, patients, METHODS[METHOD]), patients),
        "per_patient": table,
        "spread": spread(table),
        "roc": roc_points(labels, probabilities),
        "traits": strata(labels, probabilities, patients, measured_traits(validation.pixels), threshold=THRESHOLD),
    }


def _comparison(validation: Patches, probabilities: NDArray[Any], folder: Path) -> dict[str, Any]:
    other = read_card(folder)
    others = load_engine(folder, other).predict(validation.pixels).probability
    found = paired_difference(
        validation.labels, probabilities, others, validation.patients, thresholds=(THRESHOLD, other.threshold)
    )
    return {"with": other.version, "figures": found}


def _speed(engine: Engine, pixels: NDArray[np.uint8]) -> dict[str, Any]:
    """Median of 50 calls with one patch, and of 20 with sixty-four."""

    def median_seconds(stack: NDArray[np.uint8], rounds: int) -> float:
        engine.predict(stack)
        times = []
        for _ in range(rounds):
            start = time.perf_counter()
            engine.predict(stack)
            times.append(time.perf_counter() - start)
        return float(np.median(times))

    return {
        "engine": "LiteRT on 2 threads",
        "machine": platform.machine(),
        "one_ms": round(1000 * median_seconds(pixels[:1], 50), 3),
        "stack_of_64_per_second": round(64 / median_seconds(pixels[:64], 20)),
    }
