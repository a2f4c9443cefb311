"""What a model answers, and what speaks against relying on it: the gate's flags of each patch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
from numpy.typing import NDArray

from ml import gate
from ml.engine import Engine, EngineOutput


def answer(
    engine: Engine, pixels: NDArray[np.uint8], scales: Sequence[float | None], *, limit: float
) -> tuple[EngineOutput, list[list[str]]]:
    """What the engine answers about n patches, and the flags of each answer: codes of ml.gate.FLAGS.

    Both at the same time, as engine and gate leave Python to each other while they compute.

    pixels: uint8 [n, 50, 50, 3]. scales: um per pixel of these, where it is stated. limit: of the model's card, how far
    out embeddings may lie.

    Raises:
        ModelError: the engine's.
    """
    measured = _beside().submit(gate.flags_of_all, pixels, scales)
    output = engine.predict(pixels)
    is_unlike = gate.is_unlike(output.embedding, limit)
    found = zip(measured.result(), is_unlike, strict=True)
    return output, [[*codes, *(["unlike"] if unlike else [])] for codes, unlike in found]


@cache
def _beside() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="gate")


os.register_at_fork(after_in_child=_beside.cache_clear)  # threads stay with the parent
