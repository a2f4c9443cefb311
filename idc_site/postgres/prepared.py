"""Statements that PostgreSQL parses once a connection, and plans as tables grow, and not at each request.

To understand and plan the statements of a small upload took PostgreSQL nearly half of its time (docs/performance.md).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.db import NotSupportedError
from django.db.backends.utils import CursorWrapper

# A plan that was made for an empty table reads all of it when it is full: with 200,000 rows a claim took three seconds.
# PostgreSQL makes it anew when it has analysed the table, which may take it a minute. What it counts meanwhile, a few
# seconds late, reads otherwise here when one of our tables (objects from 16384 on) has grown or shrunk by a factor of
# about e. Up to a hundred rows it is quick to read all.
LOOK_SECONDS = 2.0
SIZES = """
SELECT array_agg(floor(ln(greatest(pg_stat_get_live_tuples(oid), 100))) ORDER BY oid)
FROM pg_class WHERE relkind = 'r' AND oid >= 16384
"""


@dataclass(frozen=True)
class Prepared:
    """A statement whose best plan is the same for all values: one that goes by keys.

    name: the only one of this name. statement: with %(parameter)s. types: of each parameter, in SQL.
    """

    name: str
    statement: str
    types: Mapping[str, str]

    @cached_property
    def call(self) -> str:
        return f"EXECUTE {self.name}{_in_brackets(f'%({name})s::{kind}' for name, kind in self.types.items())}"

    @cached_property
    def preparation(self) -> str:
        numbered = self.statement % {parameter: f"${number}" for number, parameter in enumerate(self.types, start=1)}
        return f"PREPARE {self.name}{_in_brackets(self.types.values())} AS {numbered}"


def _in_brackets(parts: Iterable[str]) -> str:
    """Empty ones are not SQL."""
    inside = ", ".join(parts)
    return f" ({inside})" if inside else ""


def execute(cursor: CursorWrapper, parameters: Mapping[str, Any], *statements: Prepared) -> None:
    """The statements in one message; the cursor has the result of the last. They may share parameters."""
    prepare(cursor, *statements)
    call = "; ".join(one.call for one in statements)
    try:
        cursor.execute(call, parameters)
    except NotSupportedError:  # a migration has changed the type of a column, and what is prepared cannot follow
        connection: Any = cursor.db
        if connection.in_atomic_block:
            connection.close_at = time.monotonic()  # the next request has a new one
            raise
        _say(connection, "DEALLOCATE ALL")
        connection.prepared.clear()
        prepare(cursor, *statements)
        cursor.execute(call, parameters)


def prepare(cursor: CursorWrapper, *statements: Prepared) -> None:
    """So that whoever executes a `call` on this connection by other means (`raw`) can."""
    connection: Any = cursor.db
    now = time.monotonic()
    if now - connection.looked_at >= LOOK_SECONDS:
        ((sizes,),) = _say(connection, SIZES)
        if sizes != connection.planned_for:
            _say(connection, "DISCARD PLANS")
        connection.planned_for, connection.looked_at = sizes, now
    for one in statements:
        if one.name not in connection.prepared:
            _say(connection, one.preparation)
            connection.prepared.add(one.name)


def _say(connection: Any, statement: str) -> list[tuple[Any, ...]]:
    """Not by Django's cursor, which counts the queries of a request: this is one of the connection's."""
    with connection.wrap_database_errors, connection.connection.cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall()) if cursor.description else []
