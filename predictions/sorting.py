"""The sorts of lists, and where each goes on: by its key and then by id, so that equal keys are told apart."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db.models import F, Q
from django.db.models.fields.tuple_lookups import Tuple, TupleGreaterThan, TupleLessThan
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from predictions.models import Patch
from predictions.models.patch import IS_ANSWERED, PatchQuerySet

ID_DIGITS = 18  # below PostgreSQL's largest bigint
NUMBER = re.compile(r"[0-9]{1,3}(\.[0-9]{1,25})?(e-[0-9]{1,2})?", re.ASCII)
YEARS = range(1970, 9999)  # PostgreSQL knows more, Python's time zones do not


@dataclass(frozen=True)
class Sort:
    """key: the field that goes before the id. Patches without one, because they have no answer, have no place."""

    name: str
    label: str | Promise
    key: str = "created_at"
    is_descending: bool = False

    def applied(self, patches: PatchQuerySet, *, backwards: bool = False) -> PatchQuerySet:
        sign = "-" if self.is_descending != backwards else ""
        if self.key != "created_at":
            patches = patches.filter(IS_ANSWERED)
        return patches.order_by(f"{sign}{self.key}", f"{sign}pk")

    def beyond(self, patches: PatchQuerySet, place: tuple[Any, ...], *, backwards: bool = False) -> PatchQuerySet:
        """Those that come after `place` in this order; before it, if backwards."""
        is_less = self.is_descending != backwards
        compare = TupleLessThan if is_less else TupleGreaterThan
        return patches.filter(Q(compare(Tuple(F(self.key), F("pk")), place)))

    def place_of(self, patch: Patch) -> str:
        """Where a patch stands, as a cursor carries it."""
        key: datetime | float = getattr(patch, self.key)
        return f"{key.isoformat() if isinstance(key, datetime) else repr(key)} {patch.pk}"

    def read(self, position: str) -> tuple[Any, ...] | None:
        """The place that a cursor carries; None unless a row may stand there in this order."""
        key, _, number = position.partition(" ")
        if not (number.isascii() and number.isdecimal() and len(number) <= ID_DIGITS):
            return None
        read = _time if self.key == "created_at" else _number
        found = read(key)
        return None if found is None else (found, int(number))


def _number(text: str) -> float | None:
    return float(text) if NUMBER.fullmatch(text) else None


def _time(text: str) -> datetime | None:
    """In UTC, for PostgreSQL does not read every offset that Python writes."""
    try:
        found = datetime.fromisoformat(text)
        if found.tzinfo is None:
            return None
        found = found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return found if found.year in YEARS else None


NEWEST = Sort("newest", _("newest first"), is_descending=True)
SORTS = {
    sort.name: sort
    for sort in (
        NEWEST,
        Sort("oldest", _("oldest first")),
        Sort("likely", _("most likely first"), "probability", is_descending=True),
        Sort("unlikely", _("least likely first"), "probability"),
        Sort("doubtful", _("least certain first"), "doubt"),
    )
}
