"""Turns a finished training run into a model version: Keras file, LiteRT file, card."""

from __future__ import annotations

import dataclasses
import hashlib
import tempfile
from pathlib import Path

import numpy as np

from ml.backend import keras
from ml.card import CARD_FILE, KERAS_FILE, LITERT_FILE, ModelError, read_card
from ml.dataset import Patches
from ml.engine import KerasEngine, LiteRTEngine

TOLERANCE = 1e-5


def export(run: Path, destination: Path, patches: Patches) -> float:
    """Write model.keras, model.tflite and card.json to `destination`; return the largest difference seen.

    Both engines answer `patches` (real ones: at least 64); no file is written unless they agree.

    Raises:
        ModelError: the version exists, the run is not finished, too few patches were given, or the engines
            differ by more than 1e-5.
    """
    if (destination / CARD_FILE).exists():
        raise ModelError(f"{destination.name} exists already, and answers name it. Choose another version.")
    if not (run / CARD_FILE).exists() or not (run / "best.keras").exists():
        raise ModelError(f"{run} is not a finished run. Let `python -m ml train` end first.")
    if len(patches) < 64:
        raise ModelError(f"Export compares the engines on at least 64 real patches; {len(patches)} were given.")
    card = read_card(run)
    keras_content = (run / "best.keras").read_bytes()
    litert_content = to_litert(keras.models.load_model(run / "best.keras", compile=False))
    reference = KerasEngine(keras_content).predict(patches.pixels).probability
    exported = LiteRTEngine(litert_content).predict(patches.pixels).probability
    difference = float(np.abs(reference - exported).max())
    if difference > TOLERANCE:
        raise ModelError(f"The export differs from Keras by {difference:.2g}, more than {TOLERANCE}: not written.")
    contents = {KERAS_FILE: keras_content, LITERT_FILE: litert_content}
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    destination.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (destination / name).write_bytes(content)
    # The card last: a folder without one is no model.
    dataclasses.replace(card, version=destination.name, sha256=digests).write(destination)
    return difference


def to_litert(model: keras.Model) -> bytes:
    """The network as a LiteRT flat buffer: float32 [n, 50, 50, 3] with n free -> float32 [n, 1]."""
    with tempfile.TemporaryDirectory() as made:
        path = Path(made) / LITERT_FILE
        model.export(path, format="litert", verbose=False)
        return path.read_bytes()
