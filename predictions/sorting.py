"""The sorts of lists, and where each goes on: by its key and then by id, so that equal keys are told apart."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import isfinite
from typing import Any

from django.db.models import F, Q
from django.db.models.fields.tuple_lookups import Tuple, TupleGreaterThan, TupleLessThan
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from predictions.models import Patch
from predictions.models.patch import PatchQuerySet

ID_DIGITS = 18  # below PostgreSQL's largest bigint
NUMBER = re.compile(r"[0-9]{1,3}(\.[0-9]{1,25})?(e-?[0-9]{1,3})?", re.ASCII)


@dataclass(frozen=True)
class Sort:
    """key: the field that goes before the id, or "" for the id alone. Patches without a key are in no such list."""

    name: str
    label: str | Promise
    key: str = ""
    is_descending: bool = False

    def applied(self, patches: PatchQuerySet, *, backwards: bool = False) -> PatchQuerySet:
        sign = "-" if self.is_descending != backwards else ""
        if not self.key:
            return patches.order_by(f"{sign}pk")
        return patches.filter(probability__isnull=False).order_by(f"{sign}{self.key}", f"{sign}pk")

    def beyond(self, patches: PatchQuerySet, place: tuple[Any, ...], *, backwards: bool = False) -> PatchQuerySet:
        """Those that come after `place` in this order; before it, if backwards."""
        is_less = self.is_descending != backwards
        if not self.key:
            return patches.filter(**{"pk__lt" if is_less else "pk__gt": place[0]})
        compare = TupleLessThan if is_less else TupleGreaterThan
        return patches.filter(Q(compare(Tuple(F(self.key), F("pk")), place)))

    def place_of(self, patch: Patch) -> str:
        """Where a patch stands, as a cursor carries it."""
        return f"{getattr(patch, self.key)!r} {patch.pk}" if self.key else str(patch.pk)

    def read(self, position: str) -> tuple[Any, ...] | None:
        """The place that a cursor carries; None unless a row may stand there in this order."""
        *keys, number = position.split(" ")
        if not (number.isascii() and number.isdecimal() and len(number) <= ID_DIGITS):
            return None
        if not self.key:
            return None if keys else (int(number),)
        if len(keys) != 1 or not NUMBER.fullmatch(keys[0]) or not isfinite(float(keys[0])):
            return None
        return float(keys[0]), int(number)


NEWEST = Sort("newest", _("newest first"), is_descending=True)
SORTS = {
    sort.name: sort
    for sort in (
        NEWEST,
        Sort("oldest", _("oldest first")),
        Sort("likely", _("most likely IDC first"), "probability", is_descending=True),
        Sort("unlikely", _("least likely IDC first"), "probability"),
        Sort("doubtful", _("nearest the threshold first"), "doubt"),
    )
}
