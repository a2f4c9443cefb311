"""Engines answer patches with a trained network: LiteRT by default, Keras itself as the reference."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ml.card import KERAS_FILE, LITERT_FILE, ModelCard, ModelError, read_artefact
from ml.images import PATCH_SIDE

EMBEDDING_SIZE = 64
INPUT_SHAPE = (PATCH_SIDE, PATCH_SIDE, 3)
OUTPUT_SHAPES: list[list[int | None]] = [[None, 1], [None, EMBEDDING_SIZE]]
THREADS = 2
# An interpreter keeps its plan for one size, and to make a new one costs more than some padding. So stacks of other
# sizes are padded to the next of these, or where that would be more than PADDING, taken apart.
STACK_SIZES = (1, 4, 8, 16, 32, 48, 64)
PADDING = 2
LEAN_SIZES = (1, 8)


@dataclass(frozen=True)
class EngineOutput:
    """What the graph gives for each of n patches, in the order given.

    probability: float32 [n] in 0..1, the calibrated chance of IDC. embedding: float32 [n, 64], where the patch
    lies among the training patches: each number has mean 0 and variance 1 over them.
    """

    probability: NDArray[np.float32]
    embedding: NDArray[np.float32]


class Engine(Protocol):
    """Loaded once, asked many times, by several threads if need be."""

    def predict(self, pixels: NDArray[np.uint8]) -> EngineOutput:
        """Answer uint8 [n, 50, 50, 3] RGB patches. Raises ModelError on an answer outside 0..1."""


class LiteRTEngine:
    """Runs model.tflite on the CPU with XNNPACK.

    is_lean: one interpreter for stacks of all sizes, at most 8, that makes a new plan whenever the size changes: for a
    model that is asked beside another, as each interpreter holds weights and work space of its own.
    threads: how many each interpreter computes with. The answers are the same, bit by bit.
    """

    file = LITERT_FILE

    def __init__(self, content: bytes, *, is_lean: bool = False, threads: int = THREADS) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self._sizes = LEAN_SIZES if is_lean else STACK_SIZES
        number = 1 if is_lean else len(self._sizes)
        try:
            made = [Interpreter(model_content=content, num_threads=threads) for _ in range(number)]
        except ValueError as error:
            raise ModelError("model.tflite is not a LiteRT model. Export the model again.") from error
        self._interpreters = {size: made[place % number] for place, size in enumerate(self._sizes)}
        self._planned: dict[int, int] = {}  # of each interpreter, by its identity
        self._lock = threading.Lock()  # an interpreter holds the patches that it answers
        for size, interpreter in self._interpreters.items():
            inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
            places = _check_shapes(
                [list(i["shape_signature"]) for i in inputs], [list(o["shape_signature"]) for o in outputs]
            )
            self._input = inputs[0]["index"]
            self._plan(interpreter, size)
        self._probability, self._embedding = (outputs[place]["index"] for place in places)

    def predict(self, pixels: NDArray[np.uint8]) -> EngineOutput:
        probability = np.empty(len(pixels), np.float32)
        embedding = np.empty((len(pixels), EMBEDDING_SIZE), np.float32)
        start = 0
        while start < len(pixels):
            size = next_size(len(pixels) - start, self._sizes)
            stack = pixels[start : start + size]
            here = slice(start, start + len(stack))
            probability[here], embedding[here] = self._predict(stack, size)
            start += len(stack)
        return _checked(probability, embedding)

    def _predict(self, stack: NDArray[np.uint8], size: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Probabilities [n] and embeddings [n, 64] of n patches, padded to `size` of them."""
        patches = np.zeros((size, *INPUT_SHAPE), np.float32)
        patches[: len(stack)] = stack
        with self._lock:
            interpreter = self._interpreters[size]
            self._plan(interpreter, size)
            interpreter.set_tensor(self._input, patches)
            interpreter.invoke()
            probability, embedding = (interpreter.get_tensor(place) for place in (self._probability, self._embedding))
        return probability[: len(stack), 0], embedding[: len(stack)]

    def _plan(self, interpreter: Any, size: int) -> None:
        if self._planned.get(id(interpreter)) != size:
            interpreter.resize_tensor_input(self._input, [size, *INPUT_SHAPE])
            interpreter.allocate_tensors()
            self._planned[id(interpreter)] = size


def next_size(left: int, sizes: Sequence[int]) -> int:
    """Of which size the next stack is when `left` patches are to be answered. sizes: ascending, 1 the first."""
    below = max(size for size in sizes if size <= left)
    above = next((size for size in sizes if size >= left), below)
    # Half of it at least, or there would be many stacks instead of one.
    return below if above - left > PADDING and 2 * below >= above else above


class KerasEngine:
    """Runs model.keras with TensorFlow, compiled once for stacks of any size."""

    file = KERAS_FILE

    def __init__(self, content: bytes) -> None:
        import tensorflow as tf

        from ml.backend import keras

        try:
            # From the very bytes that were checked, not from the path again. Keras wants a file of this name.
            with tempfile.NamedTemporaryFile(suffix=".keras") as copy:
                copy.write(content)
                copy.flush()
                model = keras.saving.load_model(copy.name, compile=False)
        except (ValueError, OSError, KeyError, TypeError) as error:
            raise ModelError("model.keras is not a Keras model. Export the model again.") from error
        self._outputs = _check_shapes([list(i.shape) for i in model.inputs], [list(o.shape) for o in model.outputs])
        signature = [tf.TensorSpec((None, *INPUT_SHAPE), tf.float32)]
        self._call = tf.function(lambda patches: model(patches, training=False), input_signature=signature)
        self._call(tf.zeros((1, *INPUT_SHAPE)))

    def predict(self, pixels: NDArray[np.uint8]) -> EngineOutput:
        probability = np.empty((len(pixels), 1), np.float32)
        embedding = np.empty((len(pixels), EMBEDDING_SIZE), np.float32)
        for start in range(0, len(pixels), 256):
            outputs = self._call(pixels[start : start + 256].astype(np.float32))
            probability[start : start + 256], embedding[start : start + 256] = (
                outputs[place].numpy() for place in self._outputs
            )
        return _checked(probability[:, 0], embedding)


ENGINES: dict[str, type[LiteRTEngine] | type[KerasEngine]] = {"litert": LiteRTEngine, "keras": KerasEngine}


def load_engine(
    folder: Path, card: ModelCard, *, kind: str = "litert", is_lean: bool = False, threads: int = THREADS
) -> Engine:
    """The engine for the model in `folder`, whose bytes must be those the card names. is_lean, threads: LiteRTEngine's.

    Raises:
        ModelError: a file is missing, altered, or not a network of the shape expected here.
    """
    engine = ENGINES[kind]
    if engine.file not in card.sha256:
        raise ModelError(f"The card of {card.version} names no {engine.file}. Export the model again.")
    content = read_artefact(folder, engine.file, card.sha256[engine.file])
    return LiteRTEngine(content, is_lean=is_lean, threads=threads) if engine is LiteRTEngine else engine(content)


def _check_shapes(inputs: list[list[Any]], outputs: list[list[Any]]) -> tuple[int, int]:
    """Which of the outputs is the probability, and which the embedding."""
    found = [[None if side in (None, -1) else int(side) for side in shape] for shape in (*inputs, *outputs)]
    if len(outputs) != 2 or found[0] != [None, *INPUT_SHAPE] or sorted(found[1:], key=str) != OUTPUT_SHAPES:
        raise ModelError(
            f"The model's shapes are {found}; expected one input [n, 50, 50, 3] and outputs [n, 1] and "
            f"[n, {EMBEDDING_SIZE}]. Use a model that `python -m ml export` wrote."
        )
    return found[1:].index([None, 1]), found[1:].index([None, EMBEDDING_SIZE])


def _checked(probability: NDArray[np.float32], embedding: NDArray[np.float32]) -> EngineOutput:
    if not np.all((probability >= 0) & (probability <= 1)) or not np.all(np.isfinite(embedding)):
        raise ModelError("The model answered something that is not a probability. Restore or replace it.")
    return EngineOutput(probability, embedding)
