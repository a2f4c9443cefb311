from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ml import gate, gate_fit, gate_kinds
from ml.dataset import DatasetError, Patches, read_patches
from ml.synthetic import EXAMPLES, draw_patch

Pixels = NDArray[np.uint8]

TISSUE = draw_patch(3, cellularity=0.5)
DRAWN = gate_kinds.drawn_kinds(count=20)
GLASS = np.full((50, 50, 3), 246, np.uint8)


def share_flagged(pictures: Iterable[Pixels]) -> float:
    """Judged in stacks, as by the worker, which takes a fraction of the time."""
    stack = np.stack(list(pictures))
    parts = np.split(stack, range(64, len(stack), 64))
    return float(np.mean([bool(flags) for part in parts for flags in gate.flags_of_all(part, [None] * len(part))]))


@pytest.mark.parametrize("kind", [kind for kind in DRAWN if kind.startswith("blank")])
def test_glass_has_no_tissue_and_nothing_else_is_said_of_it(kind: str) -> None:
    assert [gate.flags(tile) for tile in DRAWN[kind]] == [["no_tissue"]] * len(DRAWN[kind])


@pytest.mark.parametrize("kind", [kind for kind in DRAWN if not kind.startswith("blank")])
def test_black_and_noise_are_not_h_and_e(kind: str) -> None:
    assert all("not_he" in gate.flags(tile) for tile in DRAWN[kind])


@pytest.mark.parametrize("value", [0, 1, 128, 254, 255])
def test_every_trait_of_a_flat_tile_is_a_number(value: int) -> None:
    traits = gate.measure(np.full((50, 50, 3), value, np.uint8))
    assert all(isinstance(number, float) and np.isfinite(number) for number in traits.values())
    assert 0 <= traits["sharpness"] <= 1


def test_drawn_tissue_passes_for_h_and_e() -> None:
    assert [gate.flags(draw_patch(number, cellularity=number / (EXAMPLES - 1))) for number in range(EXAMPLES)] == [
        []
    ] * EXAMPLES


def test_drawn_tissue_in_grey_or_other_colours_is_not_h_and_e() -> None:
    versions = {"grey": gate_kinds.grey(TISSUE), **gate_kinds.recoloured(TISSUE)}
    assert [name for name, pixels in versions.items() if "not_he" not in gate.flags(pixels)] == []


def test_pixels_drawn_four_times_are_out_of_scale() -> None:
    assert "scale" in gate.flags(TISSUE[12:25, 12:25].repeat(4, axis=0).repeat(4, axis=1)[:50, :50])


def test_a_patch_is_judged_in_a_stack_as_it_is_alone() -> None:
    pictures = np.stack([TISSUE, GLASS, *(tile for tiles in DRAWN.values() for tile in tiles[:3])])
    scales = [0.25 if number % 3 else None for number in range(len(pictures))]
    assert gate.flags_of_all(pictures, scales) == [gate.flags(*one) for one in zip(pictures, scales, strict=True)]
    assert gate.measure_all(pictures) == pytest.approx(
        np.array([list(gate.measure(picture).values()) for picture in pictures]), rel=1e-4, abs=1e-4
    )
    assert gate.flags_of_all(pictures[:0], []) == []


def test_traits_follow_what_they_are_named_for() -> None:
    few, many = (gate.measure(draw_patch(1, cellularity=cellularity)) for cellularity in (0.1, 0.9))
    assert few["darkness"] < many["darkness"]
    assert few["stain"] < many["stain"]
    assert gate.measure(gate_kinds.halved(TISSUE))["sharpness"] < gate.measure(TISSUE)["sharpness"]
    half = np.concatenate([TISSUE[:25], GLASS[:25]])
    assert gate.measure(half)["tissue"] == pytest.approx(gate.measure(TISSUE)["tissue"] / 2, abs=0.1)


def test_a_turn_or_a_flip_changes_no_flag_and_no_trait() -> None:
    traits = gate.measure(TISSUE)
    for pixels in (np.rot90(TISSUE), TISSUE[::-1], TISSUE[:, ::-1]):
        assert gate.measure(np.ascontiguousarray(pixels)) == pytest.approx(traits, rel=1e-3, abs=1e-3)


@pytest.mark.parametrize(
    ("um_per_pixel", "expected"),
    [
        (None, []),
        (4.0, []),
        (2.0, []),
        (8.0, []),
        (1.99, ["scale_stated"]),
        (8.01, ["scale_stated"]),
        (0.25, ["scale_stated"]),
        (0.0, ["scale_stated"]),
        (-4.0, ["scale_stated"]),
        (float("nan"), ["scale_stated"]),
        (float("inf"), ["scale_stated"]),
    ],
)
def test_a_stated_scale_may_be_half_or_twice_the_trained_one(um_per_pixel: float | None, expected: list[str]) -> None:
    assert gate.flags(TISSUE, um_per_pixel) == expected


def test_flags_stand_in_order_of_weight() -> None:
    assert gate.flags(GLASS, um_per_pixel=0.25) == ["no_tissue", "scale_stated"]
    order = [gate.FLAGS.index(flag) for flag in gate.flags(DRAWN["noise: uniform, grey"][0], um_per_pixel=0.25)]
    assert order == sorted(order)
    assert len(order) >= 2
    assert max(map(len, gate.FLAGS)) <= 20


def test_distance_is_the_root_mean_square_of_an_embedding() -> None:
    embeddings = np.stack([np.zeros(64), np.ones(64), np.r_[8.0, np.zeros(63)], np.full(64, -3.0)]).astype(np.float32)
    distances = gate.distance(embeddings)
    np.testing.assert_allclose(distances, [0, 1, 1, 3])
    assert distances.dtype == np.float32
    assert gate.is_unlike(embeddings, 1.5).tolist() == [False, False, False, True]
    assert gate.is_unlike(embeddings, 3.0).tolist() == [False] * 4


def test_the_gate_needs_numpy_alone() -> None:
    code = "import sys, ml.gate as g, numpy as np; g.flags(np.zeros((50, 50, 3), np.uint8)); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {"PIL", "scipy", "skimage", "sklearn", "tensorflow", "django"} & set(loaded) == set()


def test_the_limits_allow_less_than_a_hundredth_of_the_training_patches() -> None:
    training = json.loads(gate.LIMITS.read_text())["training"]
    assert training["allowed"] == gate_fit.ALLOWED
    assert sum(training["allowed"].values()) < 0.01


def test_limits_are_not_fitted_on_patients_of_other_splits() -> None:
    validation = Patches(
        TISSUE[None], np.array([0], np.uint8), np.array(["8867"]), np.array(["8867_idx5_x1_y1_class0.png"])
    )
    with pytest.raises(DatasetError):
        gate_fit.fit(validation)


def test_regions_are_stitched_where_all_patches_are_there() -> None:
    places = [(x, y) for x in range(5) for y in range(4)]
    names = [f"8863_idx5_x{50 * x + 1}_y{50 * y + 1}_class0.png" for x, y in places]
    pixels = np.stack([np.full((50, 50, 3), 10 * x + y, np.uint8) for x, y in places])
    patches = Patches(pixels, np.zeros(20, np.uint8), np.full(20, "8863"), np.array(names))
    first, second = gate_kinds.regions(patches)
    assert first[::50, ::50, 0].tolist() == [[10 * x + y for x in range(4)] for y in range(4)]
    assert second[::50, ::50, 0].tolist() == [[10 * x + y for x in range(1, 5)] for y in range(4)]
    assert len(list(gate_kinds.regions(patches.where(np.arange(20) != 3)))) == 1


@pytest.fixture(scope="module")
def validation() -> Patches:
    return read_patches(Path(os.environ["IDC_DATA"]) / "idc-val.zip").of_split("validation")


@pytest.mark.data
def test_at_most_one_real_patch_in_a_hundred_is_flagged(validation: Patches) -> None:
    assert share_flagged(validation.pixels) <= 0.01


@pytest.mark.data
def test_what_the_network_was_not_trained_on_is_flagged(validation: Patches) -> None:
    shares = {
        kind: share_flagged(pictures) for kind, pictures in gate_kinds.kinds(validation, every=20, count=15).items()
    }
    photographs = [shares.pop(kind) for kind in list(shares) if kind.startswith("photograph")]
    shares["photographs"] = float(np.mean(photographs))  # 15 tiles of one are too few for a share of its own
    strict = ("blank", "black", "noise", "grey", "recoloured", "photograph")
    missed = {kind: share for kind, share in shares.items() if kind.startswith(strict) and share < 0.95}
    assert missed == {}
    assert {kind: share for kind, share in shares.items() if kind.startswith("enlarged") and share < 0.8} == {}
    # Tissue looks much alike at a quarter of its scale: only part of it is known, and none of what was reduced by
    # leaving pixels out, as the measured rates say.
    reduced = {kind: share for kind, share in shares.items() if kind.startswith("reduced")}
    assert {kind for kind, share in reduced.items() if share < 0.3} == {"reduced 4 times: nearest"}
    at_scale = ("at scale: half a pixel shifted", "at scale: enlarged 1.1 times")
    assert {kind: shares[kind] for kind in at_scale if shares[kind] > 0.03} == {}
