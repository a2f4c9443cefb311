"""How long a list is, without reading it: exact where that is cheap, else as PostgreSQL's planner estimates it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from predictions.models import Patch
from predictions.models.patch import PatchQuerySet
from predictions.pagination import Page

COUNTED = 1000  # rows, beyond which a list is long
CHEAP = 3000  # of the planner's units: about 10 ms


@dataclass(frozen=True)
class Counted:
    """is_exact: there are `number`. is_more: there are more than `number`. Neither: there are about so many."""

    number: int
    is_exact: bool = False
    is_more: bool = False


def counted(patches: PatchQuerySet, page: Page[Patch]) -> Counted:
    """How many `patches` there are, of which `page` is one."""
    if not page.next and not page.previous:
        return Counted(len(page.rows), is_exact=True)
    unsorted = patches.order_by()
    if _plan(unsorted[: COUNTED + 1])["Total Cost"] > CHEAP:
        return Counted(_rounded(max(_plan(unsorted)["Plan Rows"], len(page.rows) + 1)))
    number = unsorted[: COUNTED + 1].count()
    return Counted(min(number, COUNTED), is_exact=number <= COUNTED, is_more=number > COUNTED)


def _plan(rows: PatchQuerySet) -> dict[str, Any]:
    plan: dict[str, Any] = json.loads(rows.values("pk").explain(format="json"))[0]["Plan"]
    return plan


def _rounded(number: int) -> int:
    """To two digits: an estimate is no more exact."""
    unit: int = 10 ** max(len(str(number)) - 2, 0)
    return round(number / unit) * unit
