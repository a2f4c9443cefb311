"""The card that travels with a model: what it is, how it was made, how good it is, and which bytes it is."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jsonschema.exceptions import best_match

from ml.schemas import validator

MODELS = Path(__file__).parent / "models"
SCHEMA = Path(__file__).parent / "card.schema.json"
VERSION = re.compile(r"[a-z0-9][a-z0-9.-]{0,79}")  # as card.schema.json has it
KERAS_FILE, LITERT_FILE, CARD_FILE = "model.keras", "model.tflite", "card.json"


class ModelError(Exception):
    """A model cannot be used; the message says why and how to mend it."""


@dataclass(frozen=True)
class ModelCard:
    """What is known of one model version; card.schema.json says which fields the parts have.

    figures: of the validation patients, as `python -m ml evaluate` gives them. threshold: a probability at or
    above it is called positive. sha256 and bytes: digest and size of each artefact, by file name.
    """

    version: str
    architecture: str
    weights: int
    symmetries: int
    created_at: str
    intended_use: str
    limits: list[str]
    data: dict[str, Any]
    members: list[dict[str, Any]]
    threshold: float
    calibration: dict[str, Any]
    figures: dict[str, Any]
    evidence: dict[str, Any]
    likeness: dict[str, Any]
    speed: dict[str, Any]
    bytes: dict[str, int]
    comparison: dict[str, Any] | None
    sha256: dict[str, str]

    @property
    def identity(self) -> str:
        """Digest of the trained network, whichever export answers for it."""
        return self.sha256[KERAS_FILE]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def write(self, folder: Path) -> None:
        """Write card.json. Raises ModelError for a card that could not be read again."""
        card_from_dict(self.as_dict())
        (folder / CARD_FILE).write_text(json.dumps(self.as_dict(), indent=2, ensure_ascii=False) + "\n")


def card_from_dict(values: Any) -> ModelCard:
    """The card that these values are.

    Raises:
        ModelError: they do not fit card.schema.json, or a patient of the evaluation was trained on.
    """
    wrong = best_match(validator(SCHEMA).iter_errors(values))
    if wrong is not None:
        where = ".".join(str(step) for step in wrong.absolute_path) or "the card"
        raise ModelError(f"This is no model card: {where}: {wrong.message[:200]}. Export the model again.")
    trained, evaluated = (set(values["data"][split]["patient_ids"]) for split in ("train", "validation"))
    if both := sorted(trained & evaluated):
        raise ModelError(
            f"The card of {values['version']} evaluates on patients it was trained on ({', '.join(both[:5])}): "
            "its figures mean nothing. Train it by patient and export it again."
        )
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
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is not valid JSON. Export the model again.") from error
    try:
        return card_from_dict(values)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error


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
        ModelError: there is no such file, or no version in it.
    """
    try:
        version = (models / "DEFAULT").read_text().strip()
    except OSError as error:
        raise ModelError(f"{models / 'DEFAULT'} is missing. It names the model version to use.") from error
    if not VERSION.fullmatch(version):
        raise ModelError(f"{models / 'DEFAULT'} says {version[:80]!r}, which is no version. Write one line: a version.")
    return version
