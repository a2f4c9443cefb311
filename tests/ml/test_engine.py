"""The engines on the committed model: the same answers as when it was made, in stacks of any size."""

from __future__ import annotations

import dataclasses
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from ml.card import KERAS_FILE, LITERT_FILE, MODELS, ModelError, read_card
from ml.dataset import read_patches
from ml.engine import LEAN_SIZES, STACK_SIZES, Engine, KerasEngine, LiteRTEngine, load_engine, next_size
from ml.images import decode_patch
from ml.synthetic import EXAMPLES, draw_patch, example_png

EXPECTED = json.loads((Path(__file__).parent / "expected_probabilities.json").read_text())
FOLDERS = sorted(file.parent for file in MODELS.glob("*/card.json"))
PATCHES = np.stack([draw_patch(seed, cellularity=(seed % 10) / 9) for seed in range(150)])


KINDS = ("litert", "keras")


@pytest.fixture(scope="module", params=KINDS)
def engine(request: pytest.FixtureRequest, model_folder: Path) -> Engine:
    return load_engine(model_folder, read_card(model_folder), kind=request.param)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
@pytest.mark.parametrize("kind", KINDS)
def test_examples_are_answered_as_when_the_model_was_made(folder: Path, kind: str) -> None:
    pixels = np.stack([decode_patch(example_png(number)).pixels for number in range(EXAMPLES)])
    found = load_engine(folder, read_card(folder), kind=kind).predict(pixels).probability
    np.testing.assert_allclose(found, EXPECTED[folder.name], atol=1e-5)


@pytest.mark.parametrize("number", [0, 1, 2, 8, 9, 64, 65, 150])
def test_a_stack_of_any_size_is_answered_patch_by_patch(engine: Engine, number: int) -> None:
    found = engine.predict(PATCHES[:number]).probability
    assert found.shape == (number,)
    assert found.dtype == np.float32
    assert engine.predict(PATCHES[:number]).embedding.shape == (number, 64)
    singly = [float(engine.predict(PATCHES[i : i + 1]).probability[0]) for i in range(min(number, 9))]
    np.testing.assert_allclose(found[: len(singly)], singly, atol=1e-5)


def stacks(number: int, sizes: tuple[int, ...]) -> list[int]:
    found: list[int] = []
    while number > 0:
        found.append(next_size(number, sizes))
        number -= found[-1]
    return found


def test_what_is_asked_is_padded_by_little_or_taken_apart() -> None:
    asked = (1, 2, 5, 6, 9, 12, 14, 37, 64, 65, 150)
    assert [stacks(number, STACK_SIZES) for number in asked] == [
        [1], [4], [4, 1], [8], [8, 1], [8, 4], [16], [32, 4, 1], [64], [64, 1], [64, 64, 16, 8]
    ]  # fmt: skip
    assert [stacks(number, LEAN_SIZES) for number in asked] == [
        [1], [8], [8], [8], [8, 1], [8, 8], [8, 8], [8, 8, 8, 8, 8], [8] * 8, [8] * 8 + [1], [8] * 19
    ]  # fmt: skip


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_lean_engine_answers_the_same_in_any_order_of_sizes(folder: Path) -> None:
    card = read_card(folder)
    lean, full = (load_engine(folder, card, is_lean=is_lean) for is_lean in (True, False))
    expected = full.predict(PATCHES[:40])
    for number in (16, 1, 40, 3, 17, 1):
        found = lean.predict(PATCHES[:number])
        np.testing.assert_allclose(found.probability, expected.probability[:number], atol=1e-5)
        np.testing.assert_allclose(found.embedding, expected.embedding[:number], atol=1e-3)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_one_thread_answers_what_two_answer_bit_by_bit(folder: Path) -> None:
    one, two = (load_engine(folder, read_card(folder), threads=threads).predict(PATCHES[:17]) for threads in (1, 2))
    np.testing.assert_array_equal(one.probability, two.probability)
    np.testing.assert_array_equal(one.embedding, two.embedding)


def test_threads_that_ask_at_once_get_their_own_answers() -> None:
    engine = load_engine(FOLDERS[0], read_card(FOLDERS[0]))
    expected = engine.predict(PATCHES[:32]).probability
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda place: engine.predict(PATCHES[place : place + 8]).probability, [0, 8, 16, 24] * 8))
    np.testing.assert_allclose(found, np.tile(expected.reshape(4, 8), (8, 1)), atol=1e-5)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_both_engines_agree(folder: Path) -> None:
    card = read_card(folder)
    litert, keras = (load_engine(folder, card, kind=kind).predict(PATCHES) for kind in KINDS)
    np.testing.assert_allclose(litert.probability, keras.probability, atol=1e-5)
    np.testing.assert_allclose(litert.embedding, keras.embedding, atol=1e-3)


@pytest.mark.data
def test_both_engines_agree_on_real_patches(model_folder: Path) -> None:
    pixels = read_patches(Path(os.environ["IDC_DATA"]) / "idc-val.zip").pixels[::20]
    card = read_card(model_folder)
    litert, keras = (load_engine(model_folder, card, kind=kind).predict(pixels).probability for kind in KINDS)
    np.testing.assert_allclose(litert, keras, atol=1e-5)


@pytest.mark.parametrize(("kind", "file"), [("litert", LITERT_FILE), ("keras", KERAS_FILE)])
def test_a_missing_or_altered_file_is_refused(models_dir: Path, model_folder: Path, kind: str, file: str) -> None:
    folder = models_dir / model_folder.name
    content = bytearray((folder / file).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / file).write_bytes(content)
    with pytest.raises(ModelError, match=rf"{file} is not the file that was registered"):
        load_engine(folder, read_card(folder), kind=kind)
    (folder / file).unlink()
    with pytest.raises(ModelError, match=rf"{file} cannot be read: No such file or directory\. Restore the file\."):
        load_engine(folder, read_card(folder), kind=kind)


def misshapen() -> tuple[bytes, bytes]:
    """A sound network of the wrong shape, for both engines."""
    from ml.backend import keras
    from ml.export import to_litert

    patch = keras.Input((32, 32, 3))
    model = keras.Model(patch, keras.layers.Dense(2)(keras.layers.Flatten()(patch)))
    path = Path(os.environ["STATIC_ROOT"]).parent / "misshapen.keras"
    model.save(path)
    return path.read_bytes(), to_litert(model)


def test_a_misshapen_network_is_refused() -> None:
    keras_content, litert_content = misshapen()
    for engine, content in ((KerasEngine, keras_content), (LiteRTEngine, litert_content)):
        with pytest.raises(ModelError, match=r"shapes are \[\[None, 32, 32, 3\], \[None, 2\]\]; expected"):
            engine(content)


@pytest.mark.parametrize("engine", [KerasEngine, LiteRTEngine])
def test_a_file_that_is_no_model_is_refused(engine: type[KerasEngine] | type[LiteRTEngine]) -> None:
    with pytest.raises(ModelError, match="Export the model again"):
        engine(b"this is no model" * 100)


def test_a_card_that_names_no_artefact_is_refused(model_folder: Path) -> None:
    bare = dataclasses.replace(read_card(model_folder), sha256={})
    with pytest.raises(ModelError, match=r"names no model\.tflite"):
        load_engine(model_folder, bare)
