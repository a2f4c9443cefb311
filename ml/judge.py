"""What speaks against relying on an answer: the gate's flags of each patch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ml import gate


def judge(
    pixels: NDArray[np.uint8], scales: Sequence[float | None], embeddings: NDArray[np.float32], *, limit: float
) -> list[list[str]]:
    """The flags of n patches that one model answered: codes of ml.gate.FLAGS.

    pixels: uint8 [n, 50, 50, 3]. scales: um per pixel of these, where it is stated. embeddings: float32 [n, 64], as the
    model's engine gave them. limit: of its card, how far out they may lie.
    """
    found = gate.flags_of_all(pixels, scales)
    is_unlike = gate.is_unlike(embeddings, limit)
    return [[*codes, *(["unlike"] if unlike else [])] for codes, unlike in zip(found, is_unlike, strict=True)]
