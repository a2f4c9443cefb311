from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ml.card import read_card
from ml.charts import reliability_svg
from ml.dataset import Patches
from ml.engine import load_engine
from ml.errors import write_errors
from ml.synthetic import draw_patch
from ml.trials import CHANGES, denoised, half_same_stain, same_stain, sharpened, white_balance


@pytest.fixture(scope="module")
def drawn() -> Patches:
    """60 drawn patches of four patients, every other one labelled as IDC, whatever it shows."""
    numbers = range(60)
    return Patches(
        np.stack([draw_patch(number, cellularity=number % 7 / 6) for number in numbers]),
        np.array([number % 2 for number in numbers], np.uint8),
        np.array([f"<p{number % 4}>" for number in numbers]),
        np.array([f"{number}.png" for number in numbers]),
    )


def test_the_page_shows_every_wrong_answer_once_for_each_trait(
    tmp_path: Path, model_folder: Path, drawn: Patches
) -> None:
    card = read_card(model_folder)
    engine = load_engine(model_folder, card)
    page = write_errors(engine, card, drawn, tmp_path / "out").read_text()
    called = engine.predict(drawn.pixels).probability >= card.threshold
    wrong = {"false positives": called & (drawn.labels == 0), "false negatives": ~called & (drawn.labels == 1)}
    groups = re.findall(r"<strong>(.*?)</strong>, (false \w+): (\d+), the worst", page)
    for kind, rows in wrong.items():
        counted = {title: int(number) for title, of_kind, number in groups if of_kind == kind}
        assert counted["All"] == rows.sum() > 0
        for trait in ("stain", "darkness", "tissue", "sharpness"):
            assert sum(number for title, number in counted.items() if title.startswith(trait)) == rows.sum()
        assert sum(number for title, number in counted.items() if title.startswith("patient")) == rows.sum()
    for file in re.findall(r'<img src="(.*?)"', page):
        with Image.open(tmp_path / "out" / file) as sheet:
            assert sheet.format == "PNG"
    assert "<p0>" not in page
    assert "&lt;p0&gt;" in page
    assert all(f"<td>{name}</td>" in page for name in CHANGES)


def test_changes_do_what_their_names_say() -> None:
    patch = draw_patch(3, cellularity=0.5)
    assert white_balance(patch).max() == 255
    density = -np.log((same_stain(patch) + 1.0) / 256).mean(axis=(0, 1))
    assert density == pytest.approx([0.236, 0.527, 0.337], abs=0.02)
    middle = (patch.astype(int) + same_stain(patch)) // 2
    assert np.array_equal(half_same_stain(patch), middle)
    assert np.var(sharpened(patch)) > np.var(patch) > np.var(denoised(patch))


def test_a_range_without_an_interval_is_left_out_of_the_chart() -> None:
    full = {"n": 50, "mean_probability": 0.1, "share": 0.12, "share_ci": [0.05, 0.2]}
    bare = {"n": 2, "mean_probability": 0.5, "share": 0.5, "share_ci": None}
    labels = ("given", "found")
    assert reliability_svg([full, bare], labels=labels, scheme="light") == reliability_svg(
        [full], labels=labels, scheme="light"
    )
