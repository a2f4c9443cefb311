"""The networks, by name. Each takes RGB in 0..255 and preprocesses inside its graph, once."""

from __future__ import annotations

from ml.backend import keras
from ml.images import PATCH_SIDE

# Keras' MobileNetV2 averages its batch statistics with momentum 0.999, which needs far more than the
# few thousand steps of a run here; 0.9 follows the weights closely enough for averaged weights too.
BATCH_NORM_MOMENTUM = 0.9


def build(name: str, *, dropout: float = 0.0) -> keras.Model:
    """A network with fresh weights: float32 [n, 50, 50, 3] in 0..255 -> probability of IDC [n, 1].

    Raises:
        ValueError: no network has this name.
    """
    match name:
        case "mobilenetv2":
            return _mobilenetv2(dropout=dropout)
    raise ValueError(f"Unknown network {name!r}. Known: mobilenetv2.")


def _mobilenetv2(*, dropout: float) -> keras.Model:
    """The network of 2020: MobileNetV2 without its top, flattened (2 x 2 x 1,280), one sigmoid unit.

    2,263,105 weights, of which 34,112 (batch statistics) are not trained. Inputs are scaled to -1..1 as
    MobileNetV2 expects, not divided by 255 as in 2020.
    """
    shape = (PATCH_SIDE, PATCH_SIDE, 3)
    backbone = keras.applications.MobileNetV2(include_top=False, weights=None, input_shape=shape)
    for layer in backbone.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = BATCH_NORM_MOMENTUM
    patch = keras.Input(shape, name="patch")
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="preprocessing")(patch)
    x = keras.layers.Flatten(name="features")(backbone(x))
    if dropout:
        x = keras.layers.Dropout(dropout, name="dropout")(x)
    probability = keras.layers.Dense(1, activation="sigmoid", name="probability")(x)
    return keras.Model(patch, probability, name="mobilenetv2")
