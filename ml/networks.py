"""The networks, by name. Each takes RGB in 0..255 and preprocesses inside its graph, once."""

from __future__ import annotations

from typing import Any

from ml.backend import keras
from ml.card import ModelError
from ml.images import PATCH_SIDE

# Keras' MobileNetV2 averages its batch statistics with momentum 0.999, which needs far more than the
# few thousand steps of a run here; 0.9 follows the weights closely enough for averaged weights too.
BATCH_NORM_MOMENTUM = 0.9
RESNET_WIDTH = 24


NAMES = ("mobilenetv2", "mobilenetv2-2020", "resnet18")


def build(name: str, *, dropout: float = 0.0, weights: str | None = None) -> keras.Model:
    """A network with fresh weights: float32 [n, 50, 50, 3] in 0..255 -> probability of IDC [n, 1].

    weights: "imagenet" to start from the weights that Keras publishes, which are downloaded once.

    Raises:
        ValueError: no network has this name.
        ModelError: the weights cannot be downloaded, or there are none for this network.
    """
    match name:
        case "mobilenetv2":
            return _mobilenetv2(name, dropout=dropout, weights=weights)
        case "mobilenetv2-2020":
            return _mobilenetv2(name, dropout=dropout, weights=weights)
        case "resnet18":
            if weights:
                raise ModelError("There are no published weights for resnet18. Leave out --weights.")
            return _resnet18(dropout=dropout)
    raise ValueError(f"Unknown network {name!r}. Known: {', '.join(NAMES)}.")


def _mobilenetv2(name: str, *, dropout: float, weights: str | None) -> keras.Model:
    """The network of 2020: MobileNetV2 without its top, flattened (2 x 2 x 1,280), one sigmoid unit.

    2,263,105 weights, of which 34,112 (batch statistics) are not trained. Inputs are scaled to -1..1 as
    MobileNetV2 expects; "mobilenetv2-2020" divides them by 255 as the project of 2020 did.
    """
    is_of_2020 = name == "mobilenetv2-2020"
    shape = (PATCH_SIDE, PATCH_SIDE, 3)
    try:
        backbone = keras.applications.MobileNetV2(include_top=False, weights=weights, input_shape=shape)
    except Exception as error:  # Keras passes on whatever its download raised
        if weights is None:
            raise
        raise ModelError(
            f"The {weights} weights cannot be downloaded here ({error}). "
            "Connect to the network, or leave out --weights."
        ) from error
    if not is_of_2020:
        for layer in backbone.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.momentum = BATCH_NORM_MOMENTUM
    scale, offset = (1 / 255, 0.0) if is_of_2020 else (1 / 127.5, -1.0)
    patch = keras.Input(shape, name="patch")
    x = keras.layers.Rescaling(scale, offset=offset, name="preprocessing")(patch)
    x = keras.layers.Flatten(name="features")(backbone(x))
    if dropout:
        x = keras.layers.Dropout(dropout, name="dropout")(x)
    probability = keras.layers.Dense(1, activation="sigmoid", name="probability")(x)
    return keras.Model(patch, probability, name="mobilenetv2")


def _resnet18(*, dropout: float) -> keras.Model:
    """ResNet-18 (He et al. 2016) in narrow: four stages of two blocks, 24 to 192 channels.

    For patches of 50 pixels the stem is one 3 x 3 convolution of stride 2 without pooling, and a shortcut
    halves by averaging (ResNet-D, He et al. 2019). Its dense convolutions see what depthwise ones do not.
    """
    layers = keras.layers

    def convolve(x: Any, channels: int, *, side: int = 3, stride: int = 1) -> Any:
        x = layers.Conv2D(channels, side, strides=stride, padding="same", use_bias=False)(x)
        return layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM)(x)

    patch = keras.Input((PATCH_SIDE, PATCH_SIDE, 3), name="patch")
    x = layers.Rescaling(1 / 127.5, offset=-1.0, name="preprocessing")(patch)
    x = layers.ReLU()(convolve(x, RESNET_WIDTH, stride=2))
    for stage in range(4):
        for block in range(2):
            stride = 2 if stage and not block else 1
            shortcut = x
            if stride == 2:
                shortcut = convolve(layers.AveragePooling2D(2, padding="same")(x), RESNET_WIDTH << stage, side=1)
            y = layers.ReLU()(convolve(x, RESNET_WIDTH << stage, stride=stride))
            x = layers.ReLU()(layers.Add()([shortcut, convolve(y, RESNET_WIDTH << stage)]))
    x = layers.GlobalAveragePooling2D(name="features")(x)
    if dropout:
        x = layers.Dropout(dropout, name="dropout")(x)
    # In float32 also where the rest is trained in bfloat16: a probability near 0 or 1 needs the digits.
    probability = layers.Dense(1, activation="sigmoid", name="probability", dtype="float32")(x)
    return keras.Model(patch, probability, name="resnet18")
