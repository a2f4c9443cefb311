"""Random variations of a patch that leave its diagnosis as it is. Keras layers, active in training only."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ml.backend import keras

ops = keras.ops

# Optical density of haematoxylin, eosin and the residual, rows per stain, columns R, G, B:
# Ruifrok & Johnston, "Quantification of histochemical staining by color deconvolution", 2001.
STAINS = ((0.65, 0.70, 0.29), (0.07, 0.99, 0.11), (0.27, 0.57, 0.78))


class RandomDihedral(keras.layers.Layer):
    """One of the eight symmetries of the square for each image: flips and quarter turns."""

    def __init__(self, *, seed: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seeds = keras.random.SeedGenerator(seed)

    def call(self, images: Any, training: bool = False) -> Any:
        if not training:
            return images
        shape = (ops.shape(images)[0], 1, 1, 1)
        variants: tuple[Callable[[Any], Any], ...] = (
            lambda x: ops.flip(x, axis=1),
            lambda x: ops.flip(x, axis=2),
            lambda x: ops.transpose(x, (0, 2, 1, 3)),
        )
        for variant in variants:
            chosen = keras.random.uniform(shape, seed=self.seeds) < 0.5
            images = ops.where(chosen, variant(images), images)
        return images


class RandomAffine(keras.layers.Layer):
    """Rotation, zoom and shift in one resampling; the edge is mirrored.

    Args:
        rotation: at most this many degrees either way.
        zoom: scale factor in 1 - zoom .. 1 + zoom.
        shift: at most this share of the side, on each axis.
    """

    def __init__(self, *, rotation: float, zoom: float, shift: float, seed: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rotation, self.zoom, self.shift = rotation, zoom, shift
        self.seeds = keras.random.SeedGenerator(seed)

    def call(self, images: Any, training: bool = False) -> Any:
        if not training:
            return images
        number, side = ops.shape(images)[0], images.shape[1]

        def within(bound: float) -> Any:
            return keras.random.uniform((number,), -bound, bound, seed=self.seeds)

        angle = within(math.radians(self.rotation))
        scale = 1 + within(self.zoom)
        cos, sin = ops.cos(angle) / scale, ops.sin(angle) / scale
        centre = (side - 1) / 2
        # Output (x, y) reads input (cos x - sin y + dx, sin x + cos y + dy), about the centre.
        dx = centre - centre * (cos - sin) + within(self.shift) * side
        dy = centre - centre * (sin + cos) + within(self.shift) * side
        zero = ops.zeros_like(cos)
        matrix = ops.stack([cos, -sin, dx, sin, cos, dy, zero, zero], axis=1)
        return ops.image.affine_transform(images, matrix, interpolation="bilinear", fill_mode="reflect")


class RandomStain(keras.layers.Layer):
    """Varies the amount of each stain, in optical density (after Tellez et al. 2018).

    Args:
        gain: each stain is multiplied by 1 - gain .. 1 + gain.
        offset: and raised by -offset .. offset, in units of its optical density.
    """

    def __init__(self, *, gain: float, offset: float, seed: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.gain, self.offset = gain, offset
        self.seeds = keras.random.SeedGenerator(seed)

    def call(self, images: Any, training: bool = False) -> Any:
        if not training:
            return images
        stains = ops.convert_to_tensor(STAINS, "float32")
        stains = stains / ops.norm(stains, axis=1, keepdims=True)
        density = -ops.log((images + 1.0) / 256.0)
        amounts = ops.matmul(density, ops.linalg.inv(stains))
        shape = (ops.shape(images)[0], 1, 1, 3)
        gain = keras.random.uniform(shape, 1 - self.gain, 1 + self.gain, seed=self.seeds)
        offset = keras.random.uniform(shape, -self.offset, self.offset, seed=self.seeds)
        density = ops.matmul(amounts * gain + offset, stains)
        return ops.clip(256.0 * ops.exp(-density) - 1.0, 0.0, 255.0)


def augmentation(options: dict[str, float], *, seed: int) -> keras.Sequential:
    """The layers that a recipe's [augment] table asks for: float32 [n, 50, 50, 3] in 0..255 -> the same."""

    def asked(*names: str) -> dict[str, float]:
        return {name: options.get(name, 0.0) for name in names}

    layers: list[keras.layers.Layer] = []
    if options.get("flips"):
        layers.append(keras.layers.RandomFlip(seed=seed))
    if options.get("dihedral"):
        layers.append(RandomDihedral(seed=seed))
    affine = asked("rotation", "zoom", "shift")
    if any(affine.values()):
        layers.append(RandomAffine(**affine, seed=seed + 1))
    stain = asked("stain_gain", "stain_offset")
    if any(stain.values()):
        layers.append(RandomStain(gain=stain["stain_gain"], offset=stain["stain_offset"], seed=seed + 2))
    return keras.Sequential(layers, name="augmentation")
