"""Statements that PostgreSQL parses once a connection, and plans as tables grow, and not at each request.

To understand and plan the statements of a small upload took PostgreSQL nearly half of its time (docs/performance.md).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, TypeVar

from django.db import NotSupportedError, connections
from django.db.backends.utils import CursorWrapper
from django.db.models import Model

# A plan that was made for an empty table reads all of it when it is full: with 200,000 rows a claim took three seconds.
# PostgreSQL makes it anew when it has analysed the table, which may take it a minute. What it counts meanwhile, a few
# seconds late, reads otherwise here when one of our tables (objects from 16384 on) has grown or shrunk by a factor of
# about e. Up to a hundred rows it is quick to read all.
LOOK_SECONDS = 2.0
SIZES = """
SELECT array_agg(floor(ln(greatest(pg_stat_get_live_tuples(oid), 100))) ORDER BY oid)
FROM pg_class WHERE relkind = 'r' AND oid >= 16384
"""

AnyModel = TypeVar("AnyModel", bound=Model)


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
    _prepare(cursor, statements)
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
        _prepare(cursor, statements)
        cursor.execute(call, parameters)


def read(kind: type[AnyModel], parameters: Mapping[str, Any], statement: Prepared) -> list[AnyModel]:
    """The rows as models, as `Manager.raw` gives them: eight in 0.19 ms instead of 0.31, the statement's 0.14 included.

    A column that is no field's is an attribute beside; a field that is no column is read when it is asked for.

    Raises:
        TypeError: Django makes the value of a field from what the database gives (JSON), which is not done here.
    """
    with connections["default"].cursor() as cursor:
        execute(cursor, parameters, statement)
        fields, others = _places(kind, tuple(column.name for column in cursor.description))
        rows = cursor.fetchall()
    models = []
    for row in rows:
        model: AnyModel = kind.from_db("default", fields.keys(), [row[place] for place in fields.values()])
        for name, place in others.items():
            setattr(model, name, row[place])
        models.append(model)
    return models


@cache
def _places(kind: type[Model], columns: tuple[str, ...]) -> tuple[dict[str, int], dict[str, int]]:
    """Where in a row the values of fields are, in the order of the fields, and where others."""
    fields = [field for field in kind._meta.concrete_fields if field.column in columns]
    made = [field.name for field in fields if hasattr(field, "from_db_value")]
    if made:
        raise TypeError(f"Read {', '.join(made)} of {kind.__name__} by its manager: the database gives it otherwise.")
    others = set(columns) - {field.column for field in fields}
    return (
        {field.attname: columns.index(str(field.column)) for field in fields},
        {name: columns.index(name) for name in others},
    )


def _prepare(cursor: CursorWrapper, statements: Iterable[Prepared]) -> None:
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
