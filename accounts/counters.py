"""Counters of what happens within a period, in the database, so that processes and parallel requests share them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.db import connection

from idc_site.postgres.prepared import Prepared, execute

MINUTE = timedelta(minutes=1)

# One statement, so that what comes at once is counted one after the other; keys in order, so that two never wait for
# each other in a circle. When the period is over it begins anew.
COUNT = Prepared(
    "count",
    """
INSERT INTO accounts_counter AS counter (key, since, number)
SELECT key, statement_timestamp(), 1 FROM unnest(%(keys)s) AS key
ON CONFLICT (key) DO UPDATE SET
    number = CASE WHEN counter.since <= EXCLUDED.since - %(period)s THEN 1 ELSE counter.number + 1 END,
    since = CASE WHEN counter.since <= EXCLUDED.since - %(period)s THEN EXCLUDED.since ELSE counter.since END
RETURNING key, number, ceil(extract(epoch FROM since + %(period)s - statement_timestamp()))::int
""",
    {"keys": "text[]", "period": "interval"},
)


@dataclass(frozen=True)
class Counted:
    """number: within the period so far, this one included. seconds: until the period is over, at least 1."""

    key: str
    number: int
    seconds: int


def count(keys: Sequence[str], *, period: timedelta) -> list[Counted]:
    """Count one more of each key (at most 200 characters), in the order of the keys' text."""
    with connection.cursor() as cursor:
        execute(cursor, {"keys": sorted(keys), "period": period}, COUNT)
        return [Counted(key, number, max(seconds, 1)) for key, number, seconds in cursor.fetchall()]
