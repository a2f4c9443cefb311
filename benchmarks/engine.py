"""The engine beside what else could answer: `keras.Model.predict`, `tf.function`, a bare LiteRT loop."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import numpy as np
from numpy.typing import NDArray

from ml.backend import keras
from ml.card import KERAS_FILE, LITERT_FILE, MODELS, default_version, read_card
from ml.engine import THREADS, KerasEngine, load_engine
from ml.synthetic import draw_patch

ROUNDS = 30
Answer = Callable[[NDArray[np.uint8]], object]


def measure(answer: Answer, patches: NDArray[np.uint8]) -> float:
    """Median seconds of one call, after three calls to warm up."""
    seconds = []
    for _ in range(ROUNDS + 3):
        started = time.perf_counter()
        answer(patches)
        seconds.append(time.perf_counter() - started)
    return median(seconds[3:])


def bare_litert(content: bytes) -> Answer:
    """What LiteRT does at best: one plan for one size, nothing around it."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content, num_threads=THREADS)
    interpreter.allocate_tensors()
    source, target = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    planned: list[tuple[int, ...]] = [()]

    def answer(patches: NDArray[np.uint8]) -> object:
        if planned[0] != patches.shape:
            planned[0] = patches.shape
            interpreter.resize_tensor_input(source, patches.shape)
            interpreter.allocate_tensors()
        interpreter.set_tensor(source, patches.astype(np.float32))
        interpreter.invoke()
        return interpreter.get_tensor(target)

    return answer


def rows() -> list[tuple[str, str]]:
    """(what, figure) for the table."""
    folder = MODELS / default_version()
    card = read_card(folder)
    model = keras.models.load_model(folder / KERAS_FILE, compile=False)
    answers: dict[str, Answer] = {
        "keras.Model.predict": lambda patches: model.predict(patches, verbose=0),
        "tf.function": KerasEngine((folder / KERAS_FILE).read_bytes()).predict,
        "bare LiteRT": bare_litert((folder / LITERT_FILE).read_bytes()),
        "our engine (LiteRT)": load_engine(folder, card).predict,
    }
    drawn = np.stack([draw_patch(seed, cellularity=0.5) for seed in range(64)])
    one = {name: measure(answer, drawn[:1]) for name, answer in answers.items()}
    stack = {name: measure(answer, drawn) for name, answer in answers.items()}
    ours = "our engine (LiteRT)"
    table = [
        (f"{name}: 1 patch; 64 patches", f"{1000 * one[name]:.2f} ms; {64 / stack[name]:,.0f} patches/s")
        for name in answers
    ]
    return [
        *table,
        ("our engine to keras.Model.predict, 1 patch", f"1/{one['keras.Model.predict'] / one[ours]:.0f}"),
        ("our engine to a bare LiteRT loop, 64 patches", f"{stack['bare LiteRT'] / stack[ours]:.2f}"),
        ("our engine to tf.function, 64 patches", f"{stack['tf.function'] / stack[ours]:.2f}"),
    ]
