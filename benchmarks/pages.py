"""Pages of gallery and history on a site with a million predictions: every filter and sort, first page and last.

What is measured is the server's own time: view, queries and template in this process, without the network. One owner
holds half of all, so that nothing is quick because it is small. Quickest and median of TIMES, and how many queries.
The last row is a file of 100,000 rows.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from itertools import product
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.running_site import running_site

if TYPE_CHECKING:
    from django.test import Client

ROWS = 1_000_000
TIMES = 7
LAST = "cursor=cj0x"  # backwards from the end

# Half of all is one owner's, every tenth another's; a fifth is shared, 2 % are flagged, 0.1 % failed, 1 % reviewed.
# Written at once as the triggers and foreign keys would leave it, which is a matter of a minute instead of ten.
PATCHES = """
INSERT INTO predictions_patch (id, uuid, owner_id, sha256, source_width, source_height, original_name, visibility,
    quality, source, reviewers_say, created_at, current_prediction_id, probability, is_positive, doubt, is_flagged)
SELECT n, gen_random_uuid(),
    (%(owners)s::bigint[])[CASE WHEN n %% 2 = 0 THEN 1 WHEN n %% 10 = 1 THEN 2 ELSE 3 + n %% 18 END],
    md5(n::text) || md5(n::text), 50, 50, n || '.png', CASE WHEN n / 10 %% 10 < 2 THEN 'public' ELSE 'private' END,
    '{"notes": []}', 'api',
    CASE WHEN n %% 97 = 5 THEN (ARRAY['positive', 'negative', 'split', 'undecided'])[1 + n / 97 %% 4] ELSE '' END,
    now() - (%(rows)s - n) * interval '10 seconds', n, p, p >= 0.5, abs(p - 0.5),
    CASE WHEN p IS NOT NULL THEN n %% 51 = 3 END
FROM (SELECT n, CASE WHEN n %% 1003 <> 7 THEN random() ^ 2 END AS p FROM generate_series(1, %(rows)s) AS n) AS rows
"""
PREDICTIONS = """
INSERT INTO predictions_prediction (id, uuid, patch_id, model_version_id, purpose, priority, status, attempt,
    attempt_limit, probability, threshold, flags, queued_at, next_attempt_at, started_at, finished_at, error_code,
    error_message)
SELECT id, gen_random_uuid(), id, %(model)s, 'upload', 10,
    CASE WHEN probability IS NULL THEN 'failed' ELSE 'succeeded' END, 1, 3, probability, 0.5,
    CASE WHEN is_flagged THEN '{blurred}'::text[] ELSE '{}' END, created_at, created_at, created_at, created_at,
    CASE WHEN probability IS NULL THEN 'worker_lost' ELSE '' END, ''
FROM predictions_patch
"""
SORTS = ("", "sort=oldest", "sort=likely", "sort=unlikely", "sort=doubtful")
FILTERS = ("label=positive", "label=negative", "min_probability=0.99", "reviewed=yes", "agreed=differs")
OWN = ("status=failed", "flagged=yes", "visibility=public", "until=2026-01-01")


def rows() -> Iterator[tuple[str, str]]:
    """(what, figure) for the table."""
    with running_site():
        yield from _measure()


def _measure() -> Iterator[tuple[str, str]]:
    import django

    django.setup()
    from django.conf import settings
    from django.test import Client

    from accounts.models import User

    settings.ALLOWED_HOSTS = ["*"]
    owners = [User.objects.create_user(f"owner{number}@example.org") for number in range(20)]
    _fill([owner.pk for owner in owners])
    anyone = Client()
    pages = [(sort, end) for sort, end in product(SORTS, ("first", "last"))]
    for name, client, path, filters in (
        ("gallery", anyone, "/gallery/", FILTERS),
        *((f"history of {share}", _signed_in(owner), "/predictions/", (*FILTERS, *OWN))
          for owner, share in ((owners[0], "500,000"), (owners[1], "100,000"))),
    ):  # fmt: skip
        for sort, end in pages:
            query = "&".join(filter(None, (sort, LAST if end == "last" else "")))
            yield f"{name}, {sort or 'newest'}, {end} page", _cell(client, f"{path}?{query}")
        for one, sort in product(filters, ("", "sort=unlikely")):
            yield f"{name}, {one}, {sort or 'newest'}", _cell(client, f"{path}?{one}&{sort}")
    yield _file(_signed_in(owners[1]))


def _fill(owners: list[int]) -> None:
    from django.db import connection

    from predictions.models import ModelVersion

    model = ModelVersion.objects.get(is_active=True).pk
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0; SET session_replication_role = replica")
        cursor.execute(PATCHES, {"owners": owners, "rows": ROWS})
        cursor.execute(PREDICTIONS, {"model": model})
        cursor.execute("SET session_replication_role = origin")
        cursor.execute("VACUUM ANALYZE")


def _signed_in(owner: object) -> Client:
    from django.test import Client

    client = Client()
    client.force_login(owner)  # type: ignore[arg-type]  # a user
    return client


def _cell(client: Client, address: str) -> str:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as queries:
        assert client.get(address).status_code == 200, address
    asked = len(queries)  # before the next request empties the log
    times = []
    for _ in range(TIMES):
        started = time.perf_counter()
        client.get(address)
        times.append(time.perf_counter() - started)
    return f"{1000 * min(times):.0f} ms, {1000 * median(times):.0f} ms, {asked} queries"


def _file(client: Client) -> tuple[str, str]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    size = sum(len(piece) for piece in client.get("/predictions/export.csv"))
    seconds = time.perf_counter() - started
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return (
        "history of 100,000 as CSV: seconds, megabytes, memory more",
        f"{seconds:.1f} s, {size / 1e6:.0f} MB, {grown:.0f} MB",
    )


def main() -> None:
    """Print the table by itself."""
    for what, figure in rows():
        print(f"| {what} | {figure} |", flush=True)


if __name__ == "__main__":
    main()
