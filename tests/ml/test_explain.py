"""The occlusion map, against engines whose secret is known."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from ml.card import read_card
from ml.engine import EMBEDDING_SIZE, Engine, EngineOutput, load_engine
from ml.explain import MODEL_KEY, PICTURE_SIDE, SPEAKS_AGAINST, SPEAKS_FOR, WINDOW, occlusion_map, render_png
from ml.synthetic import draw_patch

PLACE = (slice(14, 22), slice(30, 38))  # 8x8, rows and columns
SHA256 = "5" * 64


class Spotter:
    """Its logit is `weight` times the mean darkness of one place, 0..1; it counts what it is asked."""

    def __init__(self, place: tuple[slice, slice] = PLACE, weight: float = 6.0) -> None:
        self.place, self.weight = place, weight
        self.calls: list[int] = []

    def predict(self, pixels: NDArray[np.uint8]) -> EngineOutput:
        self.calls.append(len(pixels))
        darkness = 1 - pixels[:, *self.place].mean(axis=(1, 2, 3)) / 255
        probability = 1 / (1 + np.exp(-self.weight * darkness))
        return EngineOutput(probability.astype(np.float32), np.zeros((len(pixels), EMBEDDING_SIZE), np.float32))


class Counting:
    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.calls: list[int] = []

    def predict(self, pixels: NDArray[np.uint8]) -> EngineOutput:
        self.calls.append(len(pixels))
        return self.engine.predict(pixels)


def patch_with_a_dark_place() -> NDArray[np.uint8]:
    pixels = np.full((50, 50, 3), 230, np.uint8)
    pixels[PLACE] = 40
    return pixels


@pytest.mark.parametrize(("weight", "sign"), [(6.0, 1), (-6.0, -1)])
def test_the_map_peaks_at_the_place_the_answer_hangs_on_and_is_nothing_elsewhere(weight: float, sign: int) -> None:
    values = sign * occlusion_map(Spotter(weight=weight), patch_with_a_dark_place())
    assert values.shape == (50, 50)
    assert values.dtype == np.float32
    row, column = np.unravel_index(int(values.argmax()), values.shape)
    assert 14 <= row < 22
    assert 30 <= column < 38
    reach = WINDOW  # a window that touches the place ends this far from it at most
    elsewhere = np.ones((50, 50), bool)
    elsewhere[14 - reach : 22 + reach, 30 - reach : 38 + reach] = False
    np.testing.assert_allclose(values[elsewhere], 0, atol=1e-5)
    assert values[PLACE].min() > 0.5
    # No window can take away more than the whole place: darkness 190/255, but for the cover's own.
    assert values.max() < 6 * 190 / 255


def test_a_mirrored_question_has_the_mirrored_map() -> None:
    pixels = draw_patch(5, cellularity=0.7)
    mirrored = Spotter(place=(PLACE[0], slice(50 - 38, 50 - 30)))
    np.testing.assert_allclose(
        occlusion_map(Spotter(), pixels)[:, ::-1], occlusion_map(mirrored, pixels[:, ::-1]), atol=1e-5
    )


@pytest.mark.parametrize("weight", [0.0, 300.0, -300.0])
def test_an_answer_that_nothing_moves_has_a_flat_map_even_if_it_is_certain(weight: float) -> None:
    values = occlusion_map(Spotter(weight=weight), patch_with_a_dark_place())
    np.testing.assert_array_equal(values, 0)
    assert not np.asarray(rendered(values)).any()


def test_the_patch_itself_is_not_changed() -> None:
    pixels = patch_with_a_dark_place()
    occlusion_map(Spotter(), pixels)
    np.testing.assert_array_equal(pixels, patch_with_a_dark_place())


def test_the_default_model_is_asked_once_for_at_most_two_stacks(model_folder: Path) -> None:
    engine = Counting(load_engine(model_folder, read_card(model_folder)))
    values = occlusion_map(engine, draw_patch(1, cellularity=0.9))
    assert len(engine.calls) == 1
    assert engine.calls[0] <= 128
    assert np.isfinite(values).all()
    assert np.abs(values).max() > 0


def rendered(values: NDArray[np.float32]) -> Image.Image:
    image = Image.open(io.BytesIO(render_png(values, model_sha256=SHA256)))
    assert (image.format, image.size, image.info[MODEL_KEY]) == ("PNG", (PICTURE_SIDE, PICTURE_SIDE), SHA256)
    return image.convert("RGBA")


def test_the_picture_is_orange_where_the_place_speaks_for_striped_blue_where_against_and_else_clear() -> None:
    values = np.zeros((50, 50), np.float32)
    values[5:15, 5:15], values[30:45, 30:45] = 2, -2
    shown = np.asarray(rendered(values))
    inside = shown[60:100, 60:100], shown[260:340, 260:340]
    assert {tuple(colour) for colour in inside[0][..., :3].reshape(-1, 3).tolist()} == {SPEAKS_FOR}
    assert {tuple(colour) for colour in inside[1][..., :3].reshape(-1, 3).tolist()} == {SPEAKS_AGAINST}
    assert len(np.unique(inside[0][..., 3])) == 1
    assert len(np.unique(inside[1][..., 3])) == 2  # the stripes
    assert shown[..., 3].max() < 200  # the tissue stays visible
    assert not shown[180:220, 180:220].any()


def test_a_small_effect_is_not_shown_as_a_strong_one() -> None:
    values = np.zeros((50, 50), np.float32)
    values[20:30, 20:30] = 0.1
    faint = np.asarray(rendered(values))[..., 3].max()
    strong = np.asarray(rendered(20 * values))[..., 3].max()
    assert 0 < faint < strong / 3
