"""Changes to a patch before it is answered that a look at the errors suggested; what each does is measured.

None is in use: see docs/model.md for what they did.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from ml.dataset import Patches
from ml.engine import Engine
from ml.evaluate import figures
from ml.evidence import paired_difference

# Mean over the training patches of a patch's mean and standard deviation of optical density, in R, G, B.
TRAINED_MEAN = (0.236, 0.527, 0.337)
TRAINED_SD = (0.138, 0.258, 0.160)

Change = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]


def white_balance(patch: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Each channel stretched so that its brightest hundredth is white, as the glass beside the tissue should be."""
    white = np.maximum(np.percentile(patch, 99, axis=(0, 1)), 1)
    return np.clip(patch * (255 / white), 0, 255).astype(np.uint8)


def same_stain(patch: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Mean and spread of the optical density brought to those of training (after Reinhard et al. 2001)."""
    density = -np.log((patch + 1.0) / 256)
    mean, spread = density.mean((0, 1)), np.maximum(density.std((0, 1)), 1e-3)
    moved = (density - mean) / spread * TRAINED_SD + TRAINED_MEAN
    moved_back: NDArray[np.uint8] = np.clip(256 * np.exp(-moved) - 1, 0, 255).astype(np.uint8)
    return moved_back


def half_same_stain(patch: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Half of the way to `same_stain`."""
    return ((patch.astype(np.uint16) + same_stain(patch)) // 2).astype(np.uint8)


def sharpened(patch: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A mild unsharp mask."""
    mask = ImageFilter.UnsharpMask(radius=1, percent=60, threshold=0)
    return np.asarray(Image.fromarray(patch).filter(mask))


def denoised(patch: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A median of 3 x 3 pixels."""
    return np.asarray(Image.fromarray(patch).filter(ImageFilter.MedianFilter(3)))


CHANGES: dict[str, Change] = {
    change.__name__.replace("_", " "): change
    for change in (white_balance, same_stain, half_same_stain, sharpened, denoised)
}


def trials(engine: Engine, patches: Patches, *, threshold: float) -> list[dict[str, Any]]:
    """For each change: AUC, balanced accuracy and F1, and their paired difference to the patches as they are."""
    plain = engine.predict(patches.pixels).probability
    rows = []
    for name, change in CHANGES.items():
        changed = engine.predict(np.stack([change(patch) for patch in patches.pixels])).probability
        found = figures(patches.labels, changed, threshold=threshold)
        differences = paired_difference(
            patches.labels, changed, plain, patches.patients, thresholds=(threshold, threshold)
        )
        rows.append(
            {
                "change": name,
                **{
                    figure: {"value": getattr(found, figure), **differences[figure]}
                    for figure in ("auc", "balanced_accuracy", "f1")
                },
            }
        )
    return rows
