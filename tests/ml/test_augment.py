from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from ml.augment import RandomAffine, RandomDihedral, RandomStain, augmentation
from ml.synthetic import draw_patch

OPTIONS = {"dihedral": True, "rotation": 15.0, "zoom": 0.15, "shift": 0.08, "stain_gain": 0.15, "stain_offset": 0.03}


@pytest.fixture
def patches() -> NDArray[np.float32]:
    return np.stack([draw_patch(seed, cellularity=0.6) for seed in range(32)]).astype(np.float32)


def test_nothing_is_changed_outside_training(patches: NDArray[np.float32]) -> None:
    np.testing.assert_array_equal(augmentation(OPTIONS, seed=1)(patches, training=False), patches)


def test_training_varies_each_patch_within_the_range_of_pixels(patches: NDArray[np.float32]) -> None:
    varied = np.asarray(augmentation(OPTIONS, seed=1)(patches, training=True))
    assert varied.shape == patches.shape
    assert varied.min() >= 0
    assert varied.max() <= 255
    assert np.all(np.abs(varied - patches).mean(axis=(1, 2, 3)) > 1)
    np.testing.assert_array_equal(varied, augmentation(OPTIONS, seed=1)(patches, training=True))


def test_dihedral_gives_the_eight_symmetries_and_nothing_else(patches: NDArray[np.float32]) -> None:
    same = np.repeat(patches[:1], 400, axis=0)
    turned = np.asarray(RandomDihedral(seed=3)(same, training=True))
    square = patches[0]
    symmetries = [np.rot90(view, turns) for view in (square, square[:, ::-1]) for turns in range(4)]
    seen = [next(i for i, one in enumerate(symmetries) if np.array_equal(one, image)) for image in turned]
    assert set(seen) == set(range(8))


def test_affine_without_range_leaves_the_patch(patches: NDArray[np.float32]) -> None:
    still = RandomAffine(rotation=0, zoom=0, shift=0, seed=1)(patches, training=True)
    np.testing.assert_allclose(still, patches, atol=1e-2)


def test_affine_turns_about_the_centre() -> None:
    dot = np.zeros((64, 51, 51, 3), np.float32)
    dot[:, 25, 25] = 255
    turned = np.asarray(RandomAffine(rotation=90, zoom=0.1, shift=0, seed=1)(dot, training=True))
    assert np.all(turned[:, 25, 25] > 200)


def test_stain_without_range_leaves_the_patch(patches: NDArray[np.float32]) -> None:
    np.testing.assert_allclose(RandomStain(gain=0, offset=0, seed=1)(patches, training=True), patches, atol=0.2)
