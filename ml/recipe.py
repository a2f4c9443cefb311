"""How a network is trained: the TOML files in recipes/, whose comments say what each value means."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from ml.dataset import DatasetError

RECIPES = Path(__file__).parent / "recipes"


@dataclass(frozen=True)
class Recipe:
    """One file of recipes/, and its name.

    split: "patient" (the published lists) or "patch" (the leaky protocol of 2020). decay: of the learning
    rate, "cosine" or "constant". precision: Keras' dtype policy in training; what is kept is float32.
    """

    name: str
    network: str
    dropout: float
    seed: int
    epochs: int
    batch_size: int
    learning_rate: float
    warmup_epochs: float
    weight_decay: float
    label_smoothing: float
    averaging: float
    patient_exponent: float
    balance_classes: bool
    augment: dict[str, float]
    split: str = "patient"
    decay: str = "cosine"
    precision: str = "float32"


def read_recipe(name: str) -> Recipe:
    """The recipe ml/recipes/<name>.toml.

    Raises:
        DatasetError: there is none of this name.
    """
    path = RECIPES / f"{name}.toml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in RECIPES.glob("*.toml")))
        raise DatasetError(f"No recipe {name!r} in {RECIPES}. Known: {known}.")
    return Recipe(name=name, **tomllib.loads(path.read_text()))
