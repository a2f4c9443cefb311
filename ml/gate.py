"""The gate: is a patch H&E, is there tissue, is it sharp, at the trained scale, like the patches of training?

A network answers anything, a photograph too. The gate measures traits of the pixels and holds them against limits
fitted on the training patients alone (`ml.gate_fit`, gate.json); how often it is right, `ml.gate_rates` measures.
A flag is a warning beside the answer, not a refusal. NumPy alone: it runs in the request, in under a millisecond.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Weightiest first.
FLAGS = ("not_he", "no_tissue", "blurred", "scale", "scale_stated", "unlike")
LIMITS = Path(__file__).with_name("gate.json")

TRAINED_UM_PER_PIXEL = 4.0
SCALE_TOLERANCE = 2.0  # as a factor, both ways

SIDE = 50  # px
CLIP = 6.0  # standard deviations
TISSUE_DENSITY = 0.15  # mean optical density of a pixel that is more than glass
FAINT = 0.01  # optical density that counts as nothing: keeps ratios of almost empty patches finite
FAINT_VARIANCE = 0.002  # likewise: below it correlations of channels are those of noise
# Directions of haematoxylin and eosin in optical density (R, G, B): Ruifrok & Johnston 2001.
HAEMATOXYLIN = (0.65, 0.70, 0.29)
EOSIN = (0.07, 0.99, 0.11)
CHANNELS = ("red", "green", "blue")
LAYERS = ("brightness", "haematoxylin", "eosin")
SIGMAS = (0.7, 1.4, 2.8, 5.6)  # px; the bands of detail lie between successive ones, the first above 0.7
BANDS = ("finest", "fine", "middle", "coarse")

COLOUR_TRAITS = (
    *(f"{channel} density" for channel in CHANNELS),
    *(f"{channel} contrast" for channel in CHANNELS),
    "red-green", "red-blue", "green-blue",
)  # fmt: skip
CONTRAST_TRAITS = tuple(f"brightness {band} contrast" for band in BANDS)
TEXTURE_TRAITS = (
    *(f"{layer} {band} contrast" for band in BANDS for layer in LAYERS),
    *(f"{layer} {band} skew" for band in BANDS for layer in LAYERS),
    *(f"{layer} {band} peaks" for band in BANDS for layer in LAYERS),
    *(f"{layer} {finer} in {coarser}" for finer, coarser in pairwise(BANDS) for layer in LAYERS),
    *(f"stains {band}" for band in BANDS),
    *(f"{layer} palest" for layer in LAYERS),
    *(f"{layer} darkest" for layer in LAYERS),
    *(f"{layer} strands" for layer in LAYERS),
)  # fmt: skip


def measure(pixels: NDArray[np.uint8]) -> dict[str, float]:
    """The traits of one patch, uint8 [50, 50, 3], by name.

    Optical density is -ln((value + 1) / 256): 0 is glass, 5.5 is black.

    tissue: share of pixels that are more than glass, 0..1. darkness: mean optical density.
    stain: balance of haematoxylin and eosin, -1 (eosin alone) .. 1 (haematoxylin alone).
    sharpness: share of the contrast that lies in the finest band, 0..1: about 0.3 in tissue, 0.9 in noise.
    colourfulness: mean distance between the densities of a pixel's channels; 0 is grey.
    repeats: share of neighbouring pixels of the very same colour, 0..1: 0.75 where each pixel was drawn 4 x 4 times.
    COLOUR_TRAITS: log density and log contrast (standard deviation) of each channel, and their correlations.
    TEXTURE_TRAITS, of brightness and of each stain, in four bands of detail (differences of Gaussians): log contrast,
    skew (dots on a ground or holes in it), peaks (log kurtosis), how far fine detail lies where coarser detail does,
    how far the stains go together; then the palest and darkest hundredth in standard deviations from the
    mean, and how far detail runs in strands (coherence of the structure tensor, 0..1).
    """
    density = _DENSITY[pixels]
    flat = density.reshape(-1, 3)
    mean = flat.mean(axis=0)
    centred = flat - mean
    covariance = centred.T @ centred / len(flat)
    deviation = np.sqrt(np.diag(covariance))
    floored = np.sqrt(deviation**2 + FAINT_VARIANCE)
    linked = covariance / np.outer(floored, floored)
    colour = np.concatenate([np.log(mean + 0.05), np.log(deviation + 0.03), linked[[0, 0, 1], [1, 2, 2]]])

    layers = (_TO_LAYERS @ flat.T).reshape(len(LAYERS), SIDE, SIDE)
    darkness, haematoxylin, eosin = np.maximum(layers.mean(axis=(1, 2)), 0)
    blurred = _BLUR[:, None] @ layers @ _BLUR[:, None].transpose(0, 1, 3, 2)
    texture = _texture(layers, blurred)
    contrast = np.maximum(np.exp(texture[: len(BANDS) * len(LAYERS) : len(LAYERS)]) - FAINT, 0)

    return {
        "tissue": float(np.mean(layers[0] > TISSUE_DENSITY)),
        "darkness": float(darkness),
        "stain": float((haematoxylin - eosin) / (haematoxylin + eosin + FAINT)),
        "sharpness": float(contrast[0] / (np.sqrt(np.sum(contrast**2)) + FAINT / 10)),
        "colourfulness": float(np.abs(density[..., :2] - density[..., 1:]).mean()),
        "repeats": _repeats(pixels),
        **dict(zip(COLOUR_TRAITS, colour.tolist(), strict=True)),
        **dict(zip(TEXTURE_TRAITS, texture.tolist(), strict=True)),
    }


def flags(pixels: NDArray[np.uint8], um_per_pixel: float | None = None) -> list[str]:
    """What speaks against trusting an answer on one patch, uint8 [50, 50, 3]: codes of FLAGS, weightiest first.

    um_per_pixel: of these 50 x 50 pixels, where it is stated.
    """
    found = pixel_flags(measure(pixels), limits())
    if um_per_pixel is not None:
        low, high = TRAINED_UM_PER_PIXEL / SCALE_TOLERANCE, TRAINED_UM_PER_PIXEL * SCALE_TOLERANCE
        if not low <= um_per_pixel <= high:
            found.add("scale_stated")
    return [code for code in FLAGS if code in found]


def distance(embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
    """How far from the middle of the training patches, [n]: root mean square over the numbers of each embedding.

    embeddings: [n, 64], whitened: each number has mean 0 and variance 1 over the training patches, so about 1 is usual.
    """
    far: NDArray[np.float32] = np.sqrt(np.mean(np.square(embeddings, dtype=np.float32), axis=1))
    return far


def is_unlike(embeddings: NDArray[np.float32], limit: float) -> NDArray[np.bool_]:
    """Which of n embeddings lie farther out than `limit` of the model's card: the flag "unlike"."""
    return distance(embeddings) > limit


@dataclass(frozen=True)
class Range:
    """One trait and where it may lie. low, high: None is no limit."""

    flag: str
    trait: str
    low: float | None = None
    high: float | None = None

    def is_left(self, traits: Mapping[str, float]) -> bool:
        value = traits[self.trait]
        return (self.low is not None and value < self.low) or (self.high is not None and value > self.high)


@dataclass(frozen=True)
class Discriminant:
    """A weighted sum of k standardised traits and of products of two of them, and the limit it must not pass.

    traits: k names. centre, spread: mean and standard deviation of each over the training patches; what lies farther
    out than CLIP of these counts as CLIP. first, second: places in `traits` of the m products, where k stands for
    1 (a trait by itself is a product with 1). weights: [m].
    """

    flag: str
    traits: Sequence[str]
    centre: NDArray[np.float64]
    spread: NDArray[np.float64]
    first: NDArray[np.intp]
    second: NDArray[np.intp]
    weights: NDArray[np.float64]
    limit: float = np.inf

    def products(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """[n, m] of the traits of n patches, [n, k]."""
        standard = np.clip((values - self.centre) / self.spread, -CLIP, CLIP)
        standard = np.concatenate([standard, np.ones((len(standard), 1))], axis=1)
        return standard[:, self.first] * standard[:, self.second]

    def scores(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """[n]: the higher, the less like the patches of training."""
        return self.products(values) @ self.weights

    def is_passed(self, traits: Mapping[str, float]) -> bool:
        values = np.array([[traits[name] for name in self.traits]])
        return bool(self.scores(values)[0] > self.limit)


@dataclass(frozen=True)
class Limits:
    """What gate.json holds. discriminants, by name:

    colours: squared Mahalanobis distance of COLOUR_TRAITS from those of the training patches.
    recoloured: logistic regression on COLOUR_TRAITS and their products, training patches against the same with their
        hue turned, channels swapped or inverted. In H&E what is dark is bluer than what is pale; red and blue swapped
        turn that round, though the mean colour stays close.
    blurred, enlarged: logistic regression on CONTRAST_TRAITS and their products, how brightness varies in each band of
        detail: training patches against the same blurred, and enlarged four times by filters that smooth. (What is
        enlarged by repeating pixels is known by the trait "repeats".)
    reduced: logistic regression on TEXTURE_TRAITS and their squares, training patches against regions of sections
        reduced four times by filters that average.
    For the last three, training patches moved by half a pixel or enlarged 1.1 times stand on the side of the training
    patches, for scale blurred ones too: so it is scale that is learned, and neither the filter nor the blur.
    """

    ranges: Sequence[Range]
    discriminants: Mapping[str, Discriminant]


def pixel_flags(traits: Mapping[str, float], limits: Limits) -> set[str]:
    """Codes of the checks of the pixels. Of glass nothing more can be said than that it is empty."""
    found = {check.flag for check in limits.ranges if check.is_left(traits)}
    if "no_tissue" in found:
        return {"no_tissue"}
    return found | {check.flag for check in limits.discriminants.values() if check.is_passed(traits)}


def parse_limits(content: Mapping[str, Any]) -> Limits:
    """Limits of the contents of gate.json, as `ml.gate_fit.fit` makes them."""
    return Limits(
        ranges=[Range(**check) for check in content["ranges"]],
        discriminants={name: _parse_discriminant(**check) for name, check in content["discriminants"].items()},
    )


@cache
def limits() -> Limits:
    return parse_limits(json.loads(LIMITS.read_text()))


def _parse_discriminant(
    flag: str, traits: Mapping[str, Sequence[float]], weights: Mapping[str, float], limit: float
) -> Discriminant:
    names = list(traits)
    place = {name: number for number, name in enumerate([*names, "1"])}
    terms = [(*term.split(" * "), "1")[:2] for term in weights]
    return Discriminant(
        flag=flag,
        traits=names,
        centre=np.array([centre for centre, _ in traits.values()]),
        spread=np.array([spread for _, spread in traits.values()]),
        first=np.array([place[one] for one, _ in terms]),
        second=np.array([place[other] for _, other in terms]),
        weights=np.array(list(weights.values())),
        limit=limit,
    )


def _repeats(pixels: NDArray[np.uint8]) -> float:
    """Colours are compared as one number each."""
    colours = pixels.astype(np.int32) @ np.array([1, 256, 65536], np.int32)
    return float(np.mean(colours[1:] == colours[:-1]) + np.mean(colours[:, 1:] == colours[:, :-1])) / 2


def _texture(layers: NDArray[np.float32], blurred: NDArray[np.float32]) -> NDArray[np.float32]:
    """TEXTURE_TRAITS in their order. layers: [3, 50, 50]. blurred: [4, 3, 50, 50], by each of SIGMAS."""
    sharper = np.concatenate([layers[None], blurred[:-1]])
    bands = (sharper - blurred).reshape(len(BANDS), len(LAYERS), -1)
    bands -= bands.mean(axis=2, keepdims=True)
    squares = bands * bands
    contrast = np.sqrt(squares.mean(axis=2))
    scale = contrast + FAINT / 10
    skew = np.einsum("blp,blp->bl", squares, bands) / bands.shape[2] / scale**3
    kurtosis = np.einsum("blp,blp->bl", squares, squares) / bands.shape[2] / scale**4

    activity = np.abs(bands)
    activity -= activity.mean(axis=2, keepdims=True)
    length = np.sqrt(np.einsum("blp,blp->bl", activity, activity)) + FAINT
    together = np.einsum("blp,blp->bl", activity[:-1], activity[1:]) / length[:-1] / length[1:]
    stains = np.einsum("bp,bp->b", bands[:, 1], bands[:, 2]) / bands.shape[2] / scale[:, 1] / scale[:, 2]

    flat = layers.reshape(len(LAYERS), -1)
    hundredth = flat.shape[1] // 100
    ordered = np.partition(flat, (hundredth, flat.shape[1] - hundredth), axis=1)
    middle, spread = flat.mean(axis=1), flat.std(axis=1) + FAINT
    palest = (middle - ordered[:, hundredth]) / spread
    darkest = (ordered[:, -hundredth] - middle) / spread
    parts = (np.log(contrast + FAINT), skew, np.log(kurtosis + 1), together, stains, palest, darkest)
    return np.concatenate([*(part.ravel() for part in parts), _strands(blurred[1])])


def _strands(layers: NDArray[np.float32]) -> NDArray[np.float32]:
    """How far the gradients around each pixel share a direction, [3], each 0..1. layers: [3, 50, 50]."""
    down = layers[:, 2:, 1:-1] - layers[:, :-2, 1:-1]
    right = layers[:, 1:-1, 2:] - layers[:, 1:-1, :-2]
    tensor = np.stack([down * down, right * right, down * right])
    vertical, horizontal, mixed = _AROUND @ tensor @ _AROUND.T
    coherent = np.sqrt((vertical - horizontal) ** 2 + 4 * mixed**2).mean(axis=(1, 2))
    strands: NDArray[np.float32] = coherent / ((vertical + horizontal).mean(axis=(1, 2)) + FAINT**2)
    return strands


def _blur_matrix(sigma: float, side: int = SIDE) -> NDArray[np.float32]:
    """[side, side]: times a column of pixels it is the column blurred by a Gaussian, mirrored at the ends."""
    place = np.arange(side)
    mirrored = np.concatenate([-1 - place, place, 2 * side - 1 - place])
    source = np.tile(place, 3)
    weight = np.exp(-0.5 * ((place[:, None] - mirrored[None]) / sigma) ** 2)
    matrix = np.zeros((side, side))
    # Weights too small to matter would be denormal numbers, which multiply many times slower.
    np.add.at(matrix.T, source, np.where(weight > 1e-6, weight, 0).T)
    matrix /= matrix.sum(axis=1, keepdims=True)
    return matrix.astype(np.float32)


def _to_layers() -> NDArray[np.float32]:
    """[3, 3]: times the optical density of a pixel it is its mean, its haematoxylin and its eosin."""
    stains = np.array([HAEMATOXYLIN, EOSIN])
    stains /= np.linalg.norm(stains, axis=1, keepdims=True)
    rest = np.cross(stains[0], stains[1])
    amounts = np.linalg.inv(np.vstack([stains, rest / np.linalg.norm(rest)]))
    return np.vstack([np.full(3, 1 / 3), amounts[:, 0], amounts[:, 1]]).astype(np.float32)


_DENSITY = (-np.log((np.arange(256) + 1) / 256)).astype(np.float32)
_BLUR = np.stack([_blur_matrix(sigma) for sigma in SIGMAS])
_AROUND = _blur_matrix(SIGMAS[2], SIDE - 2)
_TO_LAYERS = _to_layers()
