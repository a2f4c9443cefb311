"""Compares recipes inside the training patients, so that the validation patients choose nothing."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml.backend import keras
from ml.dataset import Patches
from ml.recipe import Recipe
from ml.train import read_log, train

FOLD_SEED = 20200323
FIGURES = ("auc", "balanced_accuracy", "f1")


def folds(patients: NDArray[np.str_], number: int, *, split: str = "patient") -> NDArray[np.intp]:
    """The fold 0 .. number - 1 of each patch [n], about as many patches in each fold, dealt by a fixed seed.

    split: "patient" keeps patients whole: shuffled and dealt, the largest first, to the fold that has the least.
    "patch" deals patches at random, as the protocol of 2020 does, to show what that hides.
    """
    if split == "patch":
        return np.random.default_rng(FOLD_SEED).permutation(len(patients)) % number
    ids, counts = np.unique(patients, return_counts=True)
    order = np.random.default_rng(FOLD_SEED).permutation(len(ids))
    order = order[np.argsort(-counts[order], kind="stable")]
    filled, fold_of = np.zeros(number, int), {}
    for index in order:
        fold = int(np.argmin(filled))
        fold_of[ids[index]] = fold
        filled[fold] += counts[index]
    return np.array([fold_of[patient] for patient in patients])


def crossvalidate(
    recipe: Recipe, patches: Patches, run: Path, *, number: int, epochs: int, split: str = "patient"
) -> dict[str, Any]:
    """Train `number` times for `epochs`, each time with another fold of the training patients held out.

    split: see `folds`. Only training patients among the patches are used. Finished folds are read back, not
    trained again.

    Returns:
        The last epoch's figures of each fold, their mean and their standard deviation; also in
        run/crossvalidation.json.
    """
    training = patches.of_split("train")
    fold = folds(training.patients, number, split=split)
    short = dataclasses.replace(recipe, epochs=epochs)
    rows = []
    for held_out in range(number):
        folder = run / f"fold{held_out}"
        if len(read_log(folder)) < epochs:
            print(f"fold {held_out + 1} of {number}", flush=True)
            train(short, training.where(fold != held_out), training.where(fold == held_out), folder)
            keras.backend.clear_session()
        rows.append({name: read_log(folder)[-1][name] for name in FIGURES})
    result = {
        "recipe": dataclasses.asdict(short),
        "split": split,
        "folds": rows,
        "mean": {name: float(np.mean([row[name] for row in rows])) for name in FIGURES},
        "sd": {name: float(np.std([row[name] for row in rows], ddof=1)) for name in FIGURES},
    }
    (run / "crossvalidation.json").write_text(json.dumps(result, indent=2) + "\n")
    return result
