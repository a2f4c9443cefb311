"""The finished graph against the same sums by hand, on an untrained network."""

from __future__ import annotations

import numpy as np
import pytest

from ml import networks
from ml.assemble import finished_model, fit_projection, raw_model
from ml.backend import keras
from ml.calibrate import Calibration
from ml.engine import LiteRTEngine
from ml.export import to_litert
from ml.synthetic import draw_patch

PATCHES = np.stack([draw_patch(seed, cellularity=(seed % 10) / 9) for seed in range(96)])


@pytest.fixture(scope="module")
def member() -> keras.Model:
    keras.utils.set_random_seed(1)
    return networks.build("resnet18")


def logits(member: keras.Model, patches: np.ndarray) -> np.ndarray:
    probabilities = member.predict(patches.astype(np.float32), verbose=0)[:, 0].astype(np.float64)
    return np.asarray(np.log(probabilities / (1 - probabilities)))


def test_the_eight_symmetries_are_averaged(member: keras.Model) -> None:
    found, features = raw_model([member], symmetries=8).predict(PATCHES[:4].astype(np.float32), verbose=0)
    turned = [np.rot90(side, turn, (1, 2)) for side in (PATCHES[:4], PATCHES[:4, :, ::-1]) for turn in range(4)]
    expected = np.mean([logits(member, np.ascontiguousarray(patches)) for patches in turned], axis=0)
    np.testing.assert_allclose(found[:, 0], expected, atol=1e-4)
    assert features.shape == (4, 192)
    for patches in turned:  # whichever way up a patch is sent
        again, _ = raw_model([member], symmetries=8).predict(patches.astype(np.float32), verbose=0)
        np.testing.assert_allclose(again, found, atol=1e-4)


def test_members_are_averaged_and_their_features_stand_side_by_side(member: keras.Model) -> None:
    keras.utils.set_random_seed(2)
    other = networks.build("resnet18")
    found, features = raw_model([member, other], symmetries=1).predict(PATCHES[:4].astype(np.float32), verbose=0)
    expected = (logits(member, PATCHES[:4]) + logits(other, PATCHES[:4])) / 2
    np.testing.assert_allclose(found[:, 0], expected, atol=1e-4)
    assert features.shape == (4, 2 * 192)


def test_only_one_or_eight_symmetries_exist(member: keras.Model) -> None:
    with pytest.raises(ValueError, match="symmetries is 4; 1 or 8 are possible"):
        raw_model([member], symmetries=4)


def test_the_graph_calibrates_and_whitens(member: keras.Model) -> None:
    raw = raw_model([member], symmetries=1)
    _, features = raw.predict(PATCHES.astype(np.float32), verbose=0)
    projection = fit_projection(features, np.ones(len(PATCHES), np.float32))
    model = finished_model(raw, Calibration(2.0, -0.5), projection)
    answers = LiteRTEngine(to_litert(model)).predict(PATCHES)
    expected = 1 / (1 + np.exp(-(2.0 * logits(member, PATCHES) - 0.5)))
    np.testing.assert_allclose(answers.probability, expected, atol=1e-4)
    assert answers.embedding.shape == (96, 64)
    np.testing.assert_allclose(answers.embedding.mean(axis=0), 0, atol=0.05)
    np.testing.assert_allclose(answers.embedding[:, :8].std(axis=0), 1, atol=0.05)
