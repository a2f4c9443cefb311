"""What the gate meets: real patches altered, tiles that show nothing, photographs. None of it is random twice."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from ml.dataset import Patches
from ml.images import PATCH_SIDE

Pixels = NDArray[np.uint8]

SEED = 20200323
RESAMPLING = Image.Resampling
SMOOTHING = (RESAMPLING.BILINEAR, RESAMPLING.BICUBIC, RESAMPLING.LANCZOS)
AVERAGING = (*SMOOTHING, RESAMPLING.BOX)  # when they reduce
FILTERS = (RESAMPLING.NEAREST, *AVERAGING)
SCALE = 4  # how many times tissue is enlarged and reduced, and patches on a side of the region that is reduced
HUES = (90, 135, 180, 225, 270)  # degrees
SWAPS = ((0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))
ZOOMS = (1, 2, 4, 8)  # how many times a photograph is reduced before tiles are cut
PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket", "hubble_deep_field", "retina", "stereo_motorcycle")
PLACE = re.compile(r"^(?P<patient>\d+)_idx5_x(?P<x>\d+)_y(?P<y>\d+)_")


def resampled(pixels: Pixels, filter_: Image.Resampling, *, window: float | None = None) -> Pixels:
    """The middle `window` px of a square picture (all of it, if None), brought to 50x50."""
    side = pixels.shape[0]
    margin = 0.0 if window is None else (side - window) / 2
    box = (margin, margin, side - margin, side - margin)
    return np.asarray(Image.fromarray(pixels).resize((PATCH_SIDE, PATCH_SIDE), filter_, box=box))


def enlarged(pixels: Pixels, filter_: Image.Resampling) -> Pixels:
    return resampled(pixels, filter_, window=PATCH_SIDE / SCALE)


def shifted(pixels: Pixels) -> Pixels:
    """Moved by half a pixel both ways: each pixel is the mean of four."""
    padded = np.pad(pixels, ((0, 1), (0, 1), (0, 0)), mode="edge").astype(np.uint16)
    total = padded[1:, 1:] + padded[1:, :-1] + padded[:-1, 1:] + padded[:-1, :-1]
    return (total // 4).astype(np.uint8)


def slightly_enlarged(pixels: Pixels, filter_: Image.Resampling = RESAMPLING.BICUBIC) -> Pixels:
    return resampled(pixels, filter_, window=PATCH_SIDE / 1.1)


def halved(pixels: Pixels) -> Pixels:
    """Reduced to half and enlarged again: at its scale, without its fine detail."""
    half = Image.fromarray(pixels).resize((PATCH_SIDE // 2, PATCH_SIDE // 2), RESAMPLING.BOX)
    return np.asarray(half.resize((PATCH_SIDE, PATCH_SIDE), RESAMPLING.BILINEAR))


def blurred(pixels: Pixels, sigma: float = 1.5) -> Pixels:
    """Out of focus, near enough: by a Gaussian of `sigma` px."""
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(sigma)))


def grey(pixels: Pixels) -> Pixels:
    return np.asarray(Image.fromarray(pixels).convert("L").convert("RGB"))


def hue_turned(pixels: Pixels, degrees: int) -> Pixels:
    hue, saturation, value = Image.fromarray(pixels).convert("HSV").split()
    turned = hue.point([(number + round(degrees * 256 / 360)) % 256 for number in range(256)])
    return np.asarray(Image.merge("HSV", (turned, saturation, value)).convert("RGB"))


def recoloured(pixels: Pixels) -> dict[str, Pixels]:
    """The patch with its hue turned, its channels swapped, inverted: by name."""
    return {
        **{f"hue turned {degrees}": hue_turned(pixels, degrees) for degrees in HUES},
        **{"channels " + "".join("RGB"[channel] for channel in swap): pixels[..., swap] for swap in SWAPS},
        "inverted": 255 - pixels,
    }


def regions(patches: Patches) -> Iterator[Pixels]:
    """uint8 [200, 200, 3], wherever 4 x 4 neighbouring patches of a section are all there."""
    row_at = {}
    for row, name in enumerate(patches.names):
        if match := PLACE.match(str(name)):
            row_at[match["patient"], int(match["x"]) // PATCH_SIDE, int(match["y"]) // PATCH_SIDE] = row
    steps = range(SCALE)
    for patient, x, y in row_at:
        try:
            rows = [[row_at[patient, x + right, y + down] for right in steps] for down in steps]
        except KeyError:
            continue
        yield np.vstack([np.hstack(list(patches.pixels[line])) for line in rows])


def photographs() -> dict[str, Pixels]:
    """Pictures that come inside scikit-image and scikit-learn: a face, a cat, coffee, a rocket, stars, an eye ..."""
    from skimage import data
    from sklearn.datasets import load_sample_images

    pictures = {name: getattr(data, name)() for name in PHOTOGRAPHS}
    left, _, _ = pictures.pop("stereo_motorcycle")
    china, flower = load_sample_images().images
    return {**pictures, "motorcycle": left, "china": china, "flower": flower}


def tiles(picture: Pixels, count: int, random: np.random.Generator) -> Iterator[Pixels]:
    """`count` tiles of 50x50 px at each of ZOOMS that leaves the picture large enough."""
    height, width = picture.shape[:2]
    for zoom in ZOOMS:
        if min(height, width) // zoom < PATCH_SIDE:
            continue
        image = Image.fromarray(picture).resize((width // zoom, height // zoom), RESAMPLING.BOX)
        for _ in range(count):
            left = int(random.integers(image.width - PATCH_SIDE + 1))
            top = int(random.integers(image.height - PATCH_SIDE + 1))
            yield np.asarray(image.crop((left, top, left + PATCH_SIDE, top + PATCH_SIDE)))


def _tile(values: NDArray[Any]) -> Pixels:
    return np.broadcast_to(np.clip(np.rint(values), 0, 255), (PATCH_SIDE, PATCH_SIDE, 3)).astype(np.uint8)


def drawn_kinds(count: int) -> dict[str, list[Pixels]]:
    """Tiles that show nothing, `count` of each kind; the same at each call."""
    random = np.random.default_rng(SEED)
    colour, one = (PATCH_SIDE, PATCH_SIDE, 3), (PATCH_SIDE, PATCH_SIDE, 1)
    numbers = range(count)
    return {
        "blank: white": [_tile(255 - np.abs(random.normal(0, 0.2 * number, colour))) for number in range(10)],
        "blank: off-white, sensor noise": [
            _tile(random.normal(random.integers(235, 256), random.uniform(0, 4), colour)) for _ in numbers
        ],
        "blank: tinted, sensor noise": [
            _tile(random.normal(random.integers(228, 256, 3), random.uniform(1, 3), colour)) for _ in numbers
        ],
        "black": [_tile(random.normal(random.integers(0, 20), random.uniform(0, 3), colour)) for _ in numbers],
        "noise: uniform, colour": [_tile(random.integers(0, 256, colour)) for _ in numbers],
        "noise: uniform, grey": [_tile(random.integers(0, 256, one)) for _ in numbers],
        "noise: Gaussian, colour": [
            _tile(random.normal(random.integers(60, 220, 3), random.uniform(15, 70), colour)) for _ in numbers
        ],
        "noise: Gaussian, grey": [
            _tile(random.normal(random.integers(60, 220), random.uniform(15, 70), one)) for _ in numbers
        ],
    }


def kinds(patches: Patches, *, every: int = 4, count: int = 100) -> dict[str, Iterable[Pixels]]:
    """What the gate meets, by kind.

    patches: real ones; each `every`th of them, and of their regions, is altered. count: how many tiles are drawn of
    each kind, and cut from each photograph at each zoom.
    """
    random = np.random.default_rng(SEED)
    real = list(patches.pixels[::every])
    altered = [recoloured(pixels) for pixels in real]
    sections = list(regions(patches))[::every]
    return {
        "at scale: half a pixel shifted": map(shifted, real),
        "at scale: enlarged 1.1 times": map(slightly_enlarged, real),
        "blurred: reduced 2 times, enlarged 2 times": map(halved, real),
        "blurred: Gaussian, 1.5 px": map(blurred, real),
        **drawn_kinds(count),
        "grey": map(grey, real),
        **{f"recoloured: {name}": [versions[name] for versions in altered] for name in altered[0]},
        **{f"photograph: {name}": tiles(photo, count, random) for name, photo in photographs().items()},
        **{f"enlarged 4 times: {_name(how)}": [enlarged(pixels, how) for pixels in real] for how in FILTERS},
        **{f"reduced 4 times: {_name(how)}": [resampled(pixels, how) for pixels in sections] for how in FILTERS},
    }


def _name(filter_: Image.Resampling) -> str:
    return filter_.name.lower()
