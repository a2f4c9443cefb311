"""The card that travels with a model: what it is, how it was made, how good it is, and which bytes it is."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

MODELS = Path(__file__).parent / "models"
KERAS_FILE, LITERT_FILE, CARD_FILE = "model.keras", "model.tflite", "card.json"


class ModelError(Exception):
    """A model cannot be used; the message says why and how to mend it."""


@dataclass(frozen=True)
class ModelCard:
    """What is known of one model version.

    sha256: hex digest of each artefact, by file name. figures: of the 29 validation patients, as
    `python -m ml evaluate` gives them. threshold: a probability at or above it is called positive.
    """

    version: str
    architecture: str
    weights: int
    created_at: str
    intended_use: str
    limits: list[str]
    data: dict[str, Any]
    recipe: dict[str, Any]
    figures: dict[str, Any]
    threshold: float
    sha256: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 < self.threshold < 1:
            raise ModelError(f"The card of {self.version} has threshold {self.threshold}, not within 0..1.")

    @property
    def identity(self) -> str:
        """Digest of the trained network, whichever export answers for it."""
        return self.sha256[KERAS_FILE]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def write(self, folder: Path) -> None:
        (folder / CARD_FILE).write_text(json.dumps(self.as_dict(), indent=2, ensure_ascii=False) + "\n")


def card_from_dict(values: dict[str, Any]) -> ModelCard:
    """Raises ModelError when a field is missing or unknown."""
    known = {item.name for item in fields(ModelCard)}
    if set(values) != known:
        odd = ", ".join(sorted(set(values) ^ known))
        raise ModelError(f"The model card does not have the fields it must have: {odd}.")
    return ModelCard(**values)


def read_card(folder: Path) -> ModelCard:
    """The card in a model's folder.

    Raises:
        ModelError: it is missing or not a card.
    """
    path = folder / CARD_FILE
    try:
        values = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise ModelError(f"{path} is missing. Export a model there with `python -m ml export`.") from error
    except ValueError as error:
        raise ModelError(f"{path} is not valid JSON. Export the model again.") from error
    if not isinstance(values, dict):
        raise ModelError(f"{path} is not a model card. Export the model again.")
    return card_from_dict(values)


def read_artefact(folder: Path, name: str, expected_sha256: str) -> bytes:
    """The bytes of an artefact, proved to be the ones that were registered.

    Raises:
        ModelError: the file is missing, or is not the one whose digest is expected.
    """
    path = folder / name
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}. Restore the file.") from error
    if hashlib.sha256(content).hexdigest() != expected_sha256:
        raise ModelError(f"{path} is not the file that was registered (its sha256 differs). Restore the file.")
    return content


def default_version(models: Path = MODELS) -> str:
    """The version that `models/DEFAULT` names.

    Raises:
        ModelError: there is no such file.
    """
    try:
        return (models / "DEFAULT").read_text().strip()
    except OSError as error:
        raise ModelError(f"{models / 'DEFAULT'} is missing. It names the model version to use.") from error
