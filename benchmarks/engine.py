"""The engine beside what else could answer: `keras.Model.predict`, `tf.function`, a bare LiteRT loop."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import numpy as np
from numpy.typing import NDArray

from ml.backend import keras
from ml.card import CARD_FILE, KERAS_FILE, LITERT_FILE, MODELS, default_version, read_card
from ml.engine import THREADS, KerasEngine, load_engine
from ml.synthetic import draw_patch

ROUNDS = 30
SIZES = (1, 8, 64, 256)
OURS = "our engine (LiteRT)"
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
    """(what, figure) of every model here, the default one first."""
    default = default_version()
    versions = sorted((card.parent.name for card in MODELS.glob(f"*/{CARD_FILE}")), key=lambda name: name != default)
    return [row for version in versions for row in _rows_of(version)]


def _rows_of(version: str) -> list[tuple[str, str]]:
    folder = MODELS / version
    model = keras.models.load_model(folder / KERAS_FILE, compile=False)
    answers: dict[str, Answer] = {
        "keras.Model.predict": lambda patches: model.predict(patches, batch_size=256, verbose=0),
        "tf.function": KerasEngine((folder / KERAS_FILE).read_bytes()).predict,
        "bare LiteRT": bare_litert((folder / LITERT_FILE).read_bytes()),
        OURS: load_engine(folder, read_card(folder)).predict,
    }
    drawn = np.stack([draw_patch(seed, cellularity=0.5) for seed in range(max(SIZES))])
    seconds = {name: {size: measure(answer, drawn[:size]) for size in SIZES} for name, answer in answers.items()}
    table = [
        (f"{version}, {name}: {', '.join(map(str, SIZES))} patches", _cells(times)) for name, times in seconds.items()
    ]
    ours = seconds[OURS]
    for peer, sizes in (("keras.Model.predict", SIZES), ("bare LiteRT", SIZES), ("tf.function", SIZES)):
        ratios = ", ".join(f"{seconds[peer][size] / ours[size]:.2f}" for size in sizes)
        table.append((f"{version}, {OURS} is so many times as fast as {peer}", ratios))
    return table


def _cells(times: dict[int, float]) -> str:
    one = f"{1000 * times[1]:.2f} ms"
    return ", ".join([one, *(f"{size / times[size]:,.0f}/s" for size in SIZES if size > 1)])


def main() -> None:
    """Print the table by itself: `make bench-engine`."""
    for what, figure in rows():
        print(f"| {what} | {figure} |")


if __name__ == "__main__":
    main()
