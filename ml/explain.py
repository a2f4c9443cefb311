"""Which places of a patch an answer hangs on: cover them one after the other, and see how far the answer moves.

It works with any network, because it asks only for probabilities. The method is occlusion (Zeiler and Fergus,
"Visualizing and Understanding Convolutional Networks", 2014).
"""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ml.engine import Engine
from ml.images import PATCH_SIDE

WINDOW = 10  # pixels: about 40 um, a group of nuclei
STRIDE = 4
STARTS = range(0, PATCH_SIDE - WINDOW + 1, STRIDE)  # 11 a side: 121 windows and the patch itself fill two stacks of 64
CERTAIN = 1e-6  # a probability nearer to 0 or 1 counts as this: its logit would be infinite

MODEL_KEY = "Model-SHA256"  # PNG text chunk
PICTURE_SIDE = 400
# Orange and blue are told apart with every kind of colour blindness, and neither is a colour of H&E. Blue is
# striped besides, so that the colour never says it alone.
SPEAKS_FOR = (255, 138, 0)
SPEAKS_AGAINST = (0, 92, 230)
STRIPE = 6  # pixels of the picture
LEAST_SCALE = 0.5  # logits: where no place moves the answer by more, no place is shown in full colour
NOTHING = 0.15  # of the scale: below it a place is transparent
STRONGEST = 0.7  # of opacity: the tissue stays visible
LEVELS = 24  # of opacity: few of them, so that the PNG stays small


def _palette() -> NDArray[np.uint8]:
    """RGBA of: nothing, LEVELS of orange, LEVELS of the blue stripes, LEVELS of the paler blue between them."""
    palette = np.zeros((1 + 3 * LEVELS, 4), np.uint8)
    opacity = 255 * STRONGEST * np.arange(1, LEVELS + 1) / LEVELS
    groups = ((SPEAKS_FOR, opacity), (SPEAKS_AGAINST, opacity), (SPEAKS_AGAINST, opacity / 3))
    for rows, (colour, alpha) in zip(np.split(palette[1:], 3), groups, strict=True):
        rows[:, :3], rows[:, 3] = colour, np.rint(alpha)
    return palette


PALETTE = _palette()
GAPS = np.add.outer(np.arange(PICTURE_SIDE), np.arange(PICTURE_SIDE)) // STRIPE % 2 == 1


def occlusion_map(engine: Engine, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """How much each place of a patch speaks for IDC, float32 [50, 50] in logits, from one call of the engine.

    A value is how far the logit of the answer falls when the place is covered, averaged over the windows that cover
    it: positive where the tissue speaks for IDC, negative where it speaks against it. Logits, because a probability
    of 0.99 hardly moves, whatever is covered.

    A window is covered with the mean colour of the patch. Black or grey occur in no tissue, so that the model would
    answer to the cover; the blurred place itself would stay as dark as the nuclei that it should hide.

    pixels: uint8 [50, 50, 3]. Raises what the engine raises.
    """
    cover = pixels.reshape(-1, 3).mean(axis=0).round().astype(np.uint8)
    windows = [(slice(top, top + WINDOW), slice(left, left + WINDOW)) for top in STARTS for left in STARTS]
    variants = np.repeat(pixels[np.newaxis], 1 + len(windows), axis=0)
    for variant, window in zip(variants[1:], windows, strict=True):
        variant[window] = cover
    probability = np.clip(engine.predict(variants).probability.astype(np.float64), CERTAIN, 1 - CERTAIN)
    logit = np.log(probability) - np.log1p(-probability)

    total, count = np.zeros((2, PATCH_SIDE, PATCH_SIDE))
    for fall, window in zip(logit[0] - logit[1:], windows, strict=True):
        total[window] += fall
        count[window] += 1
    return (total / count).astype(np.float32)


def render_png(values: NDArray[np.float32], *, model_sha256: str) -> bytes:
    """A map as a transparent PNG of 400x400 pixels to lay over the patch: orange speaks for IDC, striped blue against.

    values: float32 [50, 50] in logits. Where nothing matters it is transparent. It carries the hash of the model.
    """
    side = (PICTURE_SIDE, PICTURE_SIDE)
    smooth = np.asarray(Image.fromarray(values).resize(side, Image.Resampling.BICUBIC), np.float32)
    strength = np.minimum(np.abs(smooth) / max(float(np.abs(values).max()), LEAST_SCALE), 1)
    level = np.rint(strength * LEVELS).astype(np.uint8)
    level[strength < NOTHING] = 0
    colour = np.where(smooth >= 0, 0, np.where(GAPS, 2, 1)).astype(np.uint8)
    text = PngInfo()
    text.add_text(MODEL_KEY, model_sha256)
    stream = io.BytesIO()
    # A palette, not four channels: a quarter of the bytes to compress, and that is what a map takes longest for.
    picture = Image.fromarray(np.where(level > 0, colour * LEVELS + level, 0).astype(np.uint8))
    picture.putpalette(PALETTE[:, :3].tobytes())
    picture.save(stream, "PNG", transparency=PALETTE[:, 3].tobytes(), pnginfo=text)
    return stream.getvalue()
