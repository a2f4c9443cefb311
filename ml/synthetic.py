"""Draws H&E-like patches for the demonstration, the tests and the screenshots.

They are drawings: they show no tissue and prove nothing of a model. Wherever one is shown it says so.
"""

from __future__ import annotations

import random
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from ml.images import PATCH_SIDE, DecodedPatch, encode_png

SCALE = 6  # drawn larger, then reduced: edges come out soft
STROMA = ((240, 208, 222), (226, 176, 200), (248, 228, 236))
NUCLEUS = ((104, 70, 140), (86, 54, 122), (128, 92, 160))
EXAMPLES = 6


def draw_patch(seed: int, *, cellularity: float) -> NDArray[np.uint8]:
    """A drawn patch, uint8 [50, 50, 3], the same for the same arguments.

    cellularity: 0 (stroma only) .. 1 (nuclei side by side).
    """
    pencil = random.Random(seed)
    side = PATCH_SIDE * SCALE
    image = Image.new("RGB", (side, side), STROMA[0])
    draw = ImageDraw.Draw(image)
    slope = pencil.uniform(-0.6, 0.6)
    for _ in range(60):  # fibres
        y = pencil.uniform(-0.5, 1.5) * side
        ends = (0, y, side, y + slope * side + pencil.uniform(-0.1, 0.1) * side)
        draw.line(ends, fill=pencil.choice(STROMA), width=pencil.randint(4, 16))
    for _ in range(pencil.randint(0, 2)):  # fat or lumen
        _ellipse(draw, pencil, (246, 242, 246), (20, 46))
    for _ in range(int(6 + 110 * cellularity)):
        _ellipse(draw, pencil, pencil.choice(NUCLEUS), (6, 13) if cellularity > 0.4 else (4, 9))
    image = image.filter(ImageFilter.GaussianBlur(SCALE / 2))
    small = image.resize((PATCH_SIDE, PATCH_SIDE), Image.Resampling.BOX)
    grain = np.array([pencil.gauss(0, 4) for _ in range(PATCH_SIDE * PATCH_SIDE)]).reshape(PATCH_SIDE, PATCH_SIDE, 1)
    drawn: NDArray[np.uint8] = np.clip(np.asarray(small, np.float32) + grain, 0, 255).astype(np.uint8)
    return drawn


def _ellipse(
    draw: ImageDraw.ImageDraw, pencil: random.Random, fill: tuple[int, int, int], radii: tuple[int, int]
) -> None:
    side = PATCH_SIDE * SCALE
    x, y = pencil.uniform(0, side), pencil.uniform(0, side)
    a, b = pencil.uniform(*radii), pencil.uniform(*radii)
    draw.ellipse((x - a, y - b, x + a, y + b), fill=fill)


@cache
def example_png(number: int) -> bytes:
    """The PNG of example 0 .. EXAMPLES - 1: from few cells to many.

    Raises:
        IndexError: there is no example of this number.
    """
    if not 0 <= number < EXAMPLES:
        raise IndexError(number)
    return encode_png(_example(number))


@cache
def example_digests() -> frozenset[str]:
    """The pixel digests of all examples, by which a drawn patch is known again wherever it is uploaded."""
    return frozenset(DecodedPatch(_example(number), PATCH_SIDE, PATCH_SIDE).sha256 for number in range(EXAMPLES))


def _example(number: int) -> NDArray[np.uint8]:
    return draw_patch(number, cellularity=number / (EXAMPLES - 1))
