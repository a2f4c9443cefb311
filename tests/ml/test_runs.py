"""The protocol of 2020 and cross-validation, on drawn patches."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from ml.crossvalidate import crossvalidate, folds
from ml.dataset import Patches, split_of
from ml.protocol2020 import split_by_patch, undersample
from ml.recipe import Recipe, read_recipe
from ml.runs import run_recipe
from tests.ml.test_train import drawn_patches


@pytest.fixture
def seed_recipe() -> Recipe:
    return dataclasses.replace(read_recipe("seed-2020"), epochs=1, batch_size=32)


def test_the_protocol_of_2020_names_its_leak_and_shows_what_it_costs(seed_recipe: Recipe, tmp_path: Path) -> None:
    card = run_recipe(seed_recipe, drawn_patches(160), tmp_path)
    assert card["weights"] == 2_263_105
    leak = card["leak"]
    assert "every patient of the test patches is in training too" in leak["why"]
    assert (leak["figures_by_patch"]["n"], leak["figures_by_patient"]["n"]) == (7, 64)
    assert json.loads((tmp_path / "run.json").read_text()) == card


def test_undersampling_keeps_the_rarer_class_whole_and_balances() -> None:
    patches = drawn_patches(40)
    uneven = patches.where(np.flatnonzero((patches.labels == 0) | (np.arange(40) < 12)))
    found = undersample(uneven, seed=1)
    assert np.bincount(found.labels).tolist() == [6, 6]
    assert set(found.names[found.labels == 1]) == set(uneven.names[uneven.labels == 1])


def test_a_split_by_patch_uses_every_patch_once() -> None:
    patches = drawn_patches(40)
    parts = split_by_patch(patches, seed=1)
    assert [len(part) for part in parts] == [32, 4, 4]
    assert sorted(name for part in parts for name in part.names) == sorted(patches.names)
    assert set(parts[2].patients) <= set(parts[0].patients)


def test_folds_keep_patients_whole_and_about_equal() -> None:
    random = np.random.default_rng(1)
    patients = np.repeat([f"p{i}" for i in range(30)], random.integers(5, 60, 30))
    fold = folds(patients, 3)
    assert all(len(set(fold[patients == patient])) == 1 for patient in set(patients))
    sizes = np.bincount(fold)
    assert len(sizes) == 3
    assert sizes.max() - sizes.min() <= 60


def test_folds_by_patch_break_patients_apart() -> None:
    patients = np.repeat(["one", "other"], 30)
    fold = folds(patients, 3, split="patch")
    assert np.bincount(fold).tolist() == [20, 20, 20]
    assert {len(set(fold[patients == patient])) for patient in ("one", "other")} == {3}


@pytest.mark.usefixtures("small_network")
def test_cross_validation_trains_each_fold_once_and_never_on_validation_patients(tmp_path: Path) -> None:
    recipe = dataclasses.replace(read_recipe("resnet18"), batch_size=32, precision="float32")
    patches = drawn_patches(96)
    training_patients = sorted(p for p in set(patches.patients.tolist()) if split_of(p) == "train")
    assert len(training_patients) == 2
    result = crossvalidate(recipe, patches, tmp_path, number=2, epochs=1)
    assert [set(row) for row in result["folds"]] == [{"auc", "balanced_accuracy", "f1"}] * 2
    assert result["mean"]["auc"] == pytest.approx(np.mean([row["auc"] for row in result["folds"]]))
    before = (tmp_path / "fold0/log.jsonl").stat().st_mtime_ns
    assert crossvalidate(recipe, patches, tmp_path, number=2, epochs=1) == result
    assert (tmp_path / "fold0/log.jsonl").stat().st_mtime_ns == before


def test_choosing_patches_keeps_their_fields_together() -> None:
    patches = drawn_patches(12)
    chosen = patches.where(patches.labels == 1)
    assert chosen == chosen
    assert isinstance(chosen, Patches)
    assert chosen.names.tolist() == [f"{i}.png" for i in range(1, 12, 2)]
