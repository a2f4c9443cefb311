"""Pages of long lists: a user's 100,000 predictions over the API, first page and last, with and without filters."""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.api import Caller
from benchmarks.running_site import running_site

if TYPE_CHECKING:
    from tests.processes import Processes

ROWS = 100_000
OTHERS = 100_000  # rows of somebody else, in between
PAGES = 40
LIMIT = 100
LAST = "cj0x"  # backwards from the end

QUERIES = {
    "newest": "",
    "positive, private": "&label=positive&visibility=private",
    "above 99 %": "&min_probability=0.99",
    "matching none": "&status=failed",
}


def rows() -> list[tuple[str, str]]:
    """(what, figure) for the table."""
    with running_site() as processes:
        return _measure(processes)


def _measure(processes: Processes) -> list[tuple[str, str]]:
    import django

    django.setup()
    from accounts.models import Scope, User
    from accounts.tokens import create_token

    owner, other = (User.objects.create_user(f"{name}@example.org") for name in ("owner", "other"))
    _fill(owner.pk, other.pk)
    _, token = create_token(user=owner, name="bench", scopes=list(Scope))
    caller = Caller(processes.start_web(), token)
    found = []
    for name, query in QUERIES.items():
        times = _walk(caller, f"/api/v1/predictions/?limit={LIMIT}{query}")
        found.append((f"list of {ROWS:,}, {name}: p50, p95, slowest of {len(times)} pages of {LIMIT}", _cells(times)))
    last = f"/api/v1/predictions/?limit={LIMIT}&cursor={LAST}"
    assert len(caller.get(last)["results"]) > 0
    times = [_timed(caller, last) for _ in range(10)]
    return [*found, (f"list of {ROWS:,}, the last page: p50, p95, slowest", _cells(times))]


def _fill(owner: int, other: int) -> None:
    from django.db import transaction

    from predictions.services import seed

    with transaction.atomic():
        seed.fill(owners=[owner, other], rows=ROWS + OTHERS, public=0.2, failed=0, flagged=0)
    seed.settle()


def _walk(caller: Caller, path: str) -> list[float]:
    """Seconds of each of the first pages."""
    times: list[float] = []
    address: str | None = path
    while address and len(times) < PAGES:
        started = time.perf_counter()
        page: dict[str, Any] = caller.get(address)
        times.append(time.perf_counter() - started)
        address = page["next"]
    return times


def _timed(caller: Caller, path: str) -> float:
    started = time.perf_counter()
    caller.get(path)
    return time.perf_counter() - started


def _cells(times: list[float]) -> str:
    return f"{1000 * median(times):.0f} ms, {1000 * np.quantile(times, 0.95):.0f} ms, {1000 * max(times):.0f} ms"


def main() -> None:
    """Print the table by itself."""
    for what, figure in rows():
        print(f"| {what} | {figure} |")


if __name__ == "__main__":
    main()
