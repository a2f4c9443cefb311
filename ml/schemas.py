"""JSON Schemas as they are meant: a `$` ends the text, while Python's lets one more line end pass."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.protocols import Validator
from jsonschema.validators import extend


@cache
def validator(path: Path) -> Validator:
    """Finds what is wrong with a value by the schema in this file."""
    return _Strict(json.loads(path.read_text()))


def _pattern(checking: Any, pattern: str, value: Any, _schema: Any) -> Iterator[ValidationError]:
    """Every pattern of ours is of a whole text, from `^` to `$`."""
    if checking.is_type(value, "string") and not re.fullmatch(pattern, value):
        yield ValidationError(f"{value!r} does not match {pattern!r}")


_Strict: type[Validator] = extend(Draft202012Validator, {"pattern": _pattern})  # type: ignore[no-untyped-call]  # theirs
