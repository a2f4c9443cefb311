"""The receipt of one answer: what was asked, what answered, and what it said. Nothing of who asked.

Site and command line share it: the site writes receipts, `python -m ml verify` computes them again. A receipt is
text from anywhere, so it is bounded and checked before anything is done with it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

from jsonschema.exceptions import best_match

from ml.card import KERAS_FILE, LITERT_FILE
from ml.schemas import validator

SCHEMA = Path(__file__).parent / "receipt.schema.json"
FORMAT, FORMAT_VERSION = "idc-finder-receipt", 1
TIMES = ("queued_at", "started_at", "finished_at")  # in their order
MAX_BYTES = 64 * 1024  # a real one has about 1 KB
ENGINE_FILES = {"litert": LITERT_FILE, "keras": KERAS_FILE}
USE = "A probability from a model, for research and teaching. It is no diagnosis."
MESSAGES = {
    "too_large": "The receipt is larger than %(kilobytes)d KB. Use the file as the site gave it.",
    "not_json": "The receipt is not JSON. Use the file as the site gave it.",
    "not_a_receipt": "This is no receipt of IDC Finder: %(reason)s. Use the file as the site gave it.",
    "unknown_version": "The receipt is of another version than %(version)d. Use the program of the site that gave it.",
}


class ReceiptError(Exception):
    """A text that is no receipt. code: a key of MESSAGES."""

    def __init__(self, code: str, **params: Any) -> None:
        self.code = code
        super().__init__(MESSAGES[code] % params)


@dataclass(frozen=True)
class ReceiptModel:
    """version, sha256: as of its card, where the latter is its identity. card_created_at: which edition of the card."""

    version: str
    sha256: str
    card_created_at: str


@dataclass(frozen=True)
class ReceiptEngine:
    """name: a key of ENGINE_FILES. sha256: of the file that it runs."""

    name: str
    file: str
    sha256: str


@dataclass(frozen=True)
class Receipt:
    """One answer; receipt.schema.json says what each field may hold.

    pixels_sha256: of the 7,500 bytes of 50x50 RGB pixels that the model saw (DecodedPatch.sha256). flags: codes of
    ml.gate.FLAGS. notes: what the decoder did. Times are UTC, ISO 8601.
    """

    prediction: str
    patch: str
    pixels_sha256: str
    model: ReceiptModel
    engine: ReceiptEngine
    probability: float
    threshold: float
    label: str
    flags: tuple[str, ...]
    notes: tuple[str, ...]
    queued_at: str
    started_at: str | None
    finished_at: str

    def as_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        values = asdict(self) | {"flags": [*self.flags], "notes": [*self.notes]}
        return {"format": FORMAT, "format_version": FORMAT_VERSION, **values, "use": USE}


def label_of(probability: float, threshold: float) -> str:
    return "positive" if probability >= threshold else "negative"


def utc(moment: datetime) -> str:
    """ISO 8601, in UTC."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def parse_receipt(content: bytes) -> Receipt:
    """The receipt that these bytes of JSON are.

    Raises:
        ReceiptError: with one of the codes of MESSAGES; never anything else.
    """
    if len(content) > MAX_BYTES:
        raise ReceiptError("too_large", kilobytes=MAX_BYTES // 1024)
    try:
        values = json.loads(content.decode(), parse_constant=_refuse, object_pairs_hook=_without_twins)
    # Among them JSONDecodeError and UnicodeDecodeError; a number of 5,000 digits; brackets in brackets without end.
    except (ValueError, RecursionError) as error:
        raise ReceiptError("not_json") from error
    try:
        return _receipt(values)
    except (ValueError, RecursionError) as error:
        raise ReceiptError("not_a_receipt", reason="a value in it makes no sense") from error


def _receipt(values: Any) -> Receipt:
    if isinstance(values, dict) and values.get("format") == FORMAT and values.get("format_version") != FORMAT_VERSION:
        raise ReceiptError("unknown_version", version=FORMAT_VERSION)
    wrong = best_match(validator(SCHEMA).iter_errors(values))
    if wrong is not None:
        where = ".".join(str(step) for step in wrong.absolute_path) or "as a whole"
        raise ReceiptError("not_a_receipt", reason=f"{where}: {wrong.message[:200]}")
    for moment in (*(values[name] for name in TIMES), values["model"]["card_created_at"]):
        if moment is not None:
            datetime.fromisoformat(moment)
    if ENGINE_FILES[values["engine"]["name"]] != values["engine"]["file"]:
        raise ReceiptError("not_a_receipt", reason="its engine does not run this file")
    for name in ("flags", "notes"):  # by the schema, a long list of mixed kinds would take half a minute
        if len({*values[name]}) != len(values[name]):
            raise ReceiptError("not_a_receipt", reason=f"{name}: a code in it comes twice")
    fields = {name: value for name, value in values.items() if name not in ("format", "format_version", "use")}
    fields |= {"model": ReceiptModel(**values["model"]), "engine": ReceiptEngine(**values["engine"])}
    fields |= {name: float(values[name]) for name in ("probability", "threshold")}
    return Receipt(**fields | {name: tuple(values[name]) for name in ("flags", "notes")})


def _refuse(constant: str) -> NoReturn:
    """NaN and Infinity, which are no JSON: no comparison with them means anything."""
    raise ValueError(constant)


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object that names a field once: of two, readers would not agree which counts."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a field comes twice")
    return found
