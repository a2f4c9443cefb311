from __future__ import annotations

import pytest

from ml.backend import keras
from ml.engine import EMBEDDING_SIZE
from ml.images import PATCH_SIDE


def build_small(name: str, *, dropout: float = 0.0, weights: str | None = None) -> keras.Model:
    """A network with all that `ml.networks.build` promises, but for its size: TensorFlow has it ready in a second."""
    layers = keras.layers
    patch = keras.Input((PATCH_SIDE, PATCH_SIDE, 3), name="patch")
    x = layers.Rescaling(1 / 127.5, offset=-1.0, name="preprocessing")(patch)
    x = layers.Conv2D(EMBEDDING_SIZE, 5, strides=5, use_bias=False)(x)
    x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
    x = layers.GlobalAveragePooling2D(name="features")(x)
    x = layers.Dropout(dropout, name="dropout")(x)
    return keras.Model(patch, layers.Dense(1, activation="sigmoid", name="probability")(x), name=name)


@pytest.fixture
def small_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is trained is a small network: for tests of the loop around it. Graphs of the real ones take a minute."""
    monkeypatch.setattr("ml.networks.build", build_small)
