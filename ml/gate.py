"""The gate: is a patch H&E, is there tissue, is it sharp, at the trained scale, like the patches of training?

A network answers anything, a photograph too. The gate measures traits of the pixels and holds them against limits
fitted on the training patients alone (`ml.gate_fit`, gate.json); how often it is right, `ml.gate_rates` measures.
A flag is a warning beside the answer, not a refusal. NumPy alone, and on many patches at once: what costs is the number
of calls, not the arithmetic.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations, pairwise
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
AT_ONCE = 16  # patches measured together: their bands of detail take 1.4 MB, which a processor's second cache holds
TISSUE_DENSITY = 0.15  # mean optical density of a pixel that is more than glass
FAINT = 0.01  # optical density that counts as nothing: keeps ratios of almost empty patches finite
FAINT_VARIANCE = 0.002  # likewise: below it correlations of channels are those of noise
# Directions of haematoxylin and eosin in optical density (R, G, B): Ruifrok & Johnston 2001.
HAEMATOXYLIN = (0.65, 0.70, 0.29)
EOSIN = (0.07, 0.99, 0.11)
CHANNELS = ("red", "green", "blue")
LAYERS = ("brightness", "haematoxylin", "eosin")
SIGMAS = (0.7, 1.4, 2.8)  # px; the bands of detail lie between successive ones, the first above 0.7
BANDS = ("finest", "fine", "middle")

COLOUR_TRAITS = (
    *(f"{channel} density" for channel in CHANNELS),
    *(f"{channel} contrast" for channel in CHANNELS),
    "red-green", "red-blue", "green-blue",
)  # fmt: skip
CONTRAST_TRAITS = tuple(f"brightness {band} contrast" for band in BANDS)
SIMPLE_TRAITS = ("tissue", "darkness", "stain", "sharpness", "colourfulness", "repeats")
TEXTURE_TRAITS = (
    *(f"{layer} {band} contrast" for band in BANDS for layer in LAYERS),
    *(f"{layer} {band} skew" for band in BANDS for layer in LAYERS),
    *(f"{layer} {band} peaks" for band in BANDS for layer in LAYERS),
    *(f"{layer} {finer} in {coarser}" for finer, coarser in pairwise(BANDS) for layer in LAYERS),
    *(f"stains {band}" for band in BANDS),
)  # fmt: skip


TRAITS = (*SIMPLE_TRAITS, *COLOUR_TRAITS, *TEXTURE_TRAITS)
PLACE = {name: place for place, name in enumerate(TRAITS)}


def measure(pixels: NDArray[np.uint8]) -> dict[str, float]:
    """The traits of one patch, uint8 [50, 50, 3], by name: see `measure_all`."""
    return dict(zip(TRAITS, measure_all(pixels[None])[0].tolist(), strict=True))


def measure_all(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The traits of n patches, uint8 [n, 50, 50, 3]: [n, len(TRAITS)].

    Optical density is -ln((value + 1) / 256): 0 is glass, 5.5 is black.

    tissue: share of pixels that are more than glass, 0..1. darkness: mean optical density.
    stain: balance of haematoxylin and eosin, -1 (eosin alone) .. 1 (haematoxylin alone).
    sharpness: share of the contrast that lies in the finest band, 0..1: 0.6 to 0.85 in tissue, 0.9 in noise.
    colourfulness: mean distance between the densities of a pixel's channels; 0 is grey.
    repeats: share of neighbouring pixels of the very same colour, 0..1: 0.75 where each pixel was drawn 4 x 4 times.
    COLOUR_TRAITS: log density and log contrast (standard deviation) of each channel, and their correlations.
    TEXTURE_TRAITS, of brightness and of each stain, in three bands of detail (differences of Gaussians): log contrast,
    skew (dots on a ground or holes in it), peaks (log kurtosis), how far fine detail lies where coarser detail does,
    how far the stains go together.
    """
    if not len(pixels):
        return np.empty((0, len(TRAITS)), np.float32)
    return np.concatenate([_measure(pixels[start : start + AT_ONCE]) for start in range(0, len(pixels), AT_ONCE)])


def _measure(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    number = len(pixels)
    density = _DENSITY.take(np.ascontiguousarray(pixels.reshape(number, -1, 3).transpose(0, 2, 1)))
    mean = _mean(density)
    colourfulness = _mean(np.abs(density[:, :2] - density[:, 1:])).mean(axis=1)
    density -= mean[..., None]
    layers = _TO_LAYERS @ density  # around their means
    middle = mean @ _TO_LAYERS.T
    texture = _texture(layers.reshape(number, len(LAYERS), SIDE, SIDE))
    contrast = np.maximum(np.exp(texture[:, : len(BANDS) * len(LAYERS) : len(LAYERS)]) - FAINT, 0)
    darkness, haematoxylin, eosin = np.maximum(middle, 0).T
    simple = (
        np.mean(layers[:, 0] > TISSUE_DENSITY - middle[:, :1], axis=1),
        darkness,
        (haematoxylin - eosin) / (haematoxylin + eosin + FAINT),
        contrast[:, 0] / (np.sqrt(np.sum(contrast**2, axis=1)) + FAINT / 10),
        colourfulness,
        _repeats(pixels),
    )
    return np.concatenate([np.stack(simple, axis=1), _colour(mean, density), texture], axis=1)


def flags(pixels: NDArray[np.uint8], um_per_pixel: float | None = None) -> list[str]:
    """What speaks against trusting an answer on one patch, uint8 [50, 50, 3]: see `flags_of_all`."""
    return flags_of_all(pixels[None], [um_per_pixel])[0]


def flags_of_all(pixels: NDArray[np.uint8], um_per_pixel: Sequence[float | None]) -> list[list[str]]:
    """What speaks against trusting the answers on n patches, uint8 [n, 50, 50, 3]: codes of FLAGS, weightiest first.

    um_per_pixel: n numbers, of these 50 x 50 pixels, where it is stated.
    """
    low, high = TRAINED_UM_PER_PIXEL / SCALE_TOLERANCE, TRAINED_UM_PER_PIXEL * SCALE_TOLERANCE
    found = pixel_flags(measure_all(pixels), limits())
    for codes, scale in zip(found, um_per_pixel, strict=True):
        if scale is not None and not low <= scale <= high:
            codes.add("scale_stated")
    return [[code for code in FLAGS if code in codes] for codes in found]


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

    def raised(self, traits: NDArray[np.float32]) -> NDArray[np.bool_]:
        """[n]: which of n patches lie outside. traits: [n, len(TRAITS)]."""
        values = traits[:, PLACE[self.trait]]
        low, high = (-np.inf if self.low is None else self.low), (np.inf if self.high is None else self.high)
        return (values < low) | (values > high)


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

    def raised(self, traits: NDArray[np.float32]) -> NDArray[np.bool_]:
        """[n]: which of n patches pass the limit. traits: [n, len(TRAITS)]."""
        return self.scores(traits[:, [PLACE[name] for name in self.traits]].astype(np.float64)) > self.limit


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


def pixel_flags(traits: NDArray[np.float32], limits: Limits) -> list[set[str]]:
    """For each of n patches the codes of the checks of its pixels. Of glass nothing more is said than that it is empty.

    traits: [n, len(TRAITS)].
    """
    checks: list[Range | Discriminant] = [*limits.ranges, *limits.discriminants.values()]
    raised = np.stack([check.raised(traits) for check in checks], axis=1)
    found = [{check.flag for check, is_raised in zip(checks, row, strict=True) if is_raised} for row in raised]
    return [{"no_tissue"} if "no_tissue" in codes else codes for codes in found]


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


def _repeats(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Colours are compared as one number each. [n] of uint8 [n, 50, 50, 3]."""
    # Exact in float32, whose products are many times as fast as those of integers.
    colours = pixels.astype(np.float32) @ np.array([1, 256, 65536], np.float32)
    down = np.mean(colours[:, 1:] == colours[:, :-1], axis=(1, 2))
    across = np.mean(colours[:, :, 1:] == colours[:, :, :-1], axis=(1, 2))
    repeats: NDArray[np.float64] = (down + across) / 2
    return repeats


def _colour(mean: NDArray[np.float32], density: NDArray[np.float32]) -> NDArray[np.float32]:
    """COLOUR_TRAITS in their order, [n, 9]. mean: [n, 3]. density: [n, 3, 2500], around it."""
    variance = _mean_product(density, density)
    floored = np.sqrt(variance + FAINT_VARIANCE)
    linked = [
        _mean_product(density[:, one], density[:, other]) / (floored[:, one] * floored[:, other])
        for one, other in combinations(range(len(CHANNELS)), 2)
    ]
    return np.concatenate([np.log(mean + 0.05), np.log(np.sqrt(variance) + 0.03), np.stack(linked, axis=1)], axis=1)


def _texture(layers: NDArray[np.float32]) -> NDArray[np.float32]:
    """TEXTURE_TRAITS in their order, [n, len(TEXTURE_TRAITS)]. layers: [n, 3, 50, 50], each around its mean."""
    number = len(layers)
    blurred = _blurred(layers)
    # A band of detail has no mean, as what blurs gives each pixel as much as it takes. In its place, coarsest first.
    for finer, coarser in reversed(list(pairwise([layers, *blurred]))):
        np.subtract(finer, coarser, out=coarser)
    bands = blurred.reshape(len(BANDS), number, len(LAYERS), -1)

    squares = bands * bands
    variance = _mean(squares)
    contrast = np.sqrt(variance)
    scale = contrast + FAINT / 10
    skew = _mean_product(squares, bands) / scale**3
    kurtosis = _mean_product(squares, squares) / scale**4
    stains = _mean_product(bands[:, :, 1], bands[:, :, 2]) / scale[:, :, 1] / scale[:, :, 2]

    activity = np.abs(bands, out=bands)
    mean = _mean(activity)
    length = np.sqrt(np.maximum(variance - mean**2, 0)) + FAINT / SIDE
    together = _mean_product(activity[:-1], activity[1:]) - mean[:-1] * mean[1:]
    together /= length[:-1] * length[1:]

    by_band = (np.log(contrast + FAINT), skew, np.log(kurtosis + 1), together, stains)
    return np.concatenate([np.moveaxis(part, 1, 0).reshape(number, -1) for part in by_band], axis=1)


def _mean(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Over the last axis, in a third of the time that `mean` takes."""
    size = values.shape[-1]
    mean: NDArray[np.float32] = values @ np.full(size, 1 / size, np.float32)
    return mean


def _mean_product(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    """Over the last axis."""
    mean: NDArray[np.float32] = np.vecdot(one, other) / one.shape[-1]
    return mean


def _blurred(layers: NDArray[np.float32]) -> NDArray[np.float32]:
    """By each of SIGMAS: blur @ layer @ blur.T, [len(SIGMAS), n, 3, 50, 50]. layers: [n, 3, 50, 50].

    The product from the right is one of large matrices, that from the left many of small ones: so nothing is moved.
    """
    across = layers.reshape(-1, SIDE) @ _BLUR.reshape(-1, SIDE).T
    across = across.reshape(-1, SIDE, len(SIGMAS), SIDE).transpose(2, 0, 1, 3)
    return (_BLUR[:, None] @ across).reshape(len(SIGMAS), *layers.shape)


def _blur_matrix(sigma: float) -> NDArray[np.float32]:
    """[50, 50]: times a column of pixels it is the column blurred by a Gaussian, mirrored at the ends."""
    place = np.arange(SIDE)
    mirrored = np.concatenate([-1 - place, place, 2 * SIDE - 1 - place])
    source = np.tile(place, 3)
    weight = np.exp(-0.5 * ((place[:, None] - mirrored[None]) / sigma) ** 2)
    matrix = np.zeros((SIDE, SIDE))
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
_TO_LAYERS = _to_layers()
