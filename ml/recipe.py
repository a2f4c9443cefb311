"""How a network is trained: the TOML files in recipes/, whose comments say what each value means."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from ml.dataset import DatasetError
from ml.networks import NAMES

RECIPES = Path(__file__).parent / "recipes"

_COUNT = {"type": "integer", "minimum": 1}
_SHARE = {"type": "number", "minimum": 0, "maximum": 1}
_BELOW_1 = {"type": "number", "minimum": 0, "exclusiveMaximum": 1}
_AMOUNT = {"type": "number", "minimum": 0}
_PROPERTIES = {
    "network": {"enum": list(NAMES)},
    "dropout": _BELOW_1,
    "seed": {"type": "integer", "minimum": 0, "maximum": 2**31},
    "epochs": _COUNT,
    "batch_size": _COUNT,
    "learning_rate": {"type": "number", "exclusiveMinimum": 0},
    "warmup_epochs": _AMOUNT,
    "weight_decay": _AMOUNT,
    "label_smoothing": _BELOW_1,
    "averaging": _BELOW_1,
    "patient_exponent": _SHARE,
    "balance_classes": {"type": "boolean"},
    "augment": {
        "type": "object",
        "properties": {
            "flips": {"type": "boolean"},
            "dihedral": {"type": "boolean"},
            "rotation": _AMOUNT,
            "zoom": _BELOW_1,
            "shift": _SHARE,
            "stain_gain": _BELOW_1,
            "stain_offset": _AMOUNT,
        },
        "additionalProperties": False,
    },
    "split": {"enum": ["patient", "patch"]},
    "decay": {"enum": ["cosine", "constant"]},
    "precision": {"enum": ["float32", "mixed_bfloat16"]},
}
SCHEMA = {
    "type": "object",
    "properties": _PROPERTIES,
    "required": [name for name in _PROPERTIES if name not in ("split", "decay", "precision")],
    "additionalProperties": False,
}


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
        DatasetError: there is none of this name, or it says something that is no recipe.
    """
    known = sorted(file.stem for file in RECIPES.glob("*.toml"))
    if name not in known:
        raise DatasetError(f"No recipe {name!r} in {RECIPES}. Known: {', '.join(known)}.")
    path = RECIPES / f"{name}.toml"
    try:
        values = tomllib.loads(path.read_text())
    except ValueError as error:  # no TOML, no UTF-8
        raise DatasetError(f"{path} is not TOML: {error}. Correct it.") from error
    wrong = best_match(Draft202012Validator(SCHEMA).iter_errors(values))
    if wrong is not None:
        where = ".".join(str(step) for step in wrong.absolute_path) or "the recipe"
        raise DatasetError(f"{path}: {where}: {wrong.message[:200]}. Correct it; {RECIPES} has examples.")
    return Recipe(name=name, **values)
