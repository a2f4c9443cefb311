"""A run of a recipe and the folder it leaves: recipe, provenance, log, curves, weights, and a card of its own."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ml.backend import keras
from ml.card import KERAS_FILE, ModelError
from ml.charts import curves_png
from ml.dataset import Patches
from ml.evaluate import report
from ml.protocol2020 import LEAK, split_by_patch, undersample
from ml.provenance import provenance
from ml.recipe import Recipe
from ml.train import THRESHOLD, read_log, train

RUN_CARD, PROVENANCE, CURVES = "run.json", "provenance.json", "curves.png"
# What the card of a model repeats of each run it was made of.
MEMBER_KEYS = ("recipe", "provenance", "finished_at", "started_from", "weights", "figures")
REPAIR = "Give the same `python -m ml train` again: it ends soon."


def run_recipe(recipe: Recipe, patches: Patches, folder: Path, *, weights: str | None = None) -> dict[str, Any]:
    """Train by the recipe, or go on with a run that was interrupted; return what run.json says of it.

    Test patients among the patches are never used.

    Raises:
        DatasetError, ModelError: as `ml.train.train`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    origin = folder / PROVENANCE
    if not origin.exists():
        origin.write_text(json.dumps(provenance(recipe.seed), indent=2) + "\n")
    training, validation = patches.of_split("train"), patches.of_split("validation")
    by_patch = None
    held_out = validation
    if recipe.split == "patch":
        training, held_out, by_patch = split_by_patch(undersample(training, seed=recipe.seed), seed=recipe.seed)
    network = train(recipe, training, held_out, folder, weights=weights)
    card = {
        "recipe": asdict(recipe),
        "provenance": json.loads(origin.read_text()),
        "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "started_from": weights or "random weights",
        "weights": network.count_params(),
        "data": {"train": counts(training), "validation": counts(validation)},
        "figures": scores_of(network, validation),
    }
    if by_patch is not None:
        balanced = undersample(validation, seed=recipe.seed)
        card["leak"] = {
            "why": LEAK,
            "figures_by_patch": scores_of(network, by_patch),
            "figures_by_patient": scores_of(network, balanced),
        }
    (folder / RUN_CARD).write_text(json.dumps(card, indent=2) + "\n")
    (folder / CURVES).write_bytes(curves_png(read_log(folder)))
    return card


def read_run(folder: Path) -> dict[str, Any]:
    """What run.json says of a finished run.

    Raises:
        ModelError: the run is not finished, or its card is damaged.
    """
    try:
        card = json.loads((folder / RUN_CARD).read_text())
    except OSError as error:
        raise ModelError(f"{folder} is not a finished run. Let `python -m ml train` end first.") from error
    except ValueError as error:
        raise ModelError(f"{folder / RUN_CARD} is not valid JSON. {REPAIR}") from error
    if not isinstance(card, dict) or (missing := sorted(set(MEMBER_KEYS) - set(card))):
        named = f" lacks {', '.join(missing)}" if isinstance(card, dict) else " is no run's card"
        raise ModelError(f"{folder / RUN_CARD}{named}. {REPAIR}")
    return card


def trained_network(folder: Path) -> keras.Model:
    """The network of a finished run.

    Raises:
        ModelError: its file is missing or damaged.
    """
    path = folder / KERAS_FILE
    try:
        return keras.models.load_model(path, compile=False)
    except (ValueError, OSError, KeyError, TypeError) as error:
        raise ModelError(f"{path} is missing or no network. {REPAIR}") from error


def scores_of(network: keras.Model, patches: Patches) -> dict[str, Any]:
    """The figures of a network, before calibration, as `python -m ml evaluate` gives them."""
    probabilities = network.predict(patches.pixels, batch_size=256, verbose=0)[:, 0]
    excluded = len(patches.excluded)
    return report(patches.labels, probabilities, patches.patients, threshold=THRESHOLD, excluded=excluded)


def counts(patches: Patches) -> dict[str, Any]:
    """How many patches of whom."""
    ids = sorted(set(patches.patients.tolist()))
    return {
        "patients": len(ids),
        "patches": len(patches),
        "positive": int(patches.labels.sum()),
        "excluded": len(patches.excluded),
        "patient_ids": ids,
    }
