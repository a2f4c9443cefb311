"""New rows of several models at once, in as few statements as there can be.

`bulk_create` compiles each value of each row by itself: for the rows of an upload that takes longer than the model
takes to answer them (docs/performance.md). A few rows go as one text of INSERTs, many by COPY.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from functools import cache
from operator import attrgetter
from typing import IO, Any, NamedTuple, TypeVar

from django.contrib.postgres.fields import ArrayField
from django.db import connection, connections
from django.db.models import NOT_PROVIDED, JSONField, Model
from django.db.models.base import ModelState
from django.db.models.expressions import DatabaseDefault
from psycopg2.extras import Json

FEW = 20  # rows of one model, up to which INSERT is cheaper
CHUNK = 1 << 20  # characters or bytes that are sent at once
AT_ONCE = 1000  # rows, so that their text stays within a few megabytes
ESCAPED = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
NULL = "\\N"

AnyModel = TypeVar("AnyModel", bound=Model)


class Column(NamedTuple):
    """attribute: of a row, which holds the value. name: in SQL."""

    attribute: str
    name: str
    is_key: bool
    is_json: bool
    is_array: bool


def new(kind: type[AnyModel], /, **values: Any) -> AnyModel:
    """What `kind(**values)` makes. A constructor looks at every field each time, which takes four times as long."""
    blank: AnyModel = _blank(kind)
    return alike(blank, **values)


def alike(pattern: AnyModel, /, **values: Any) -> AnyModel:
    """Another new row, which holds what `pattern` holds, except for these values and what a default makes for each row.

    Raises:
        AttributeError: the model has no such attribute.
    """
    kind = type(pattern)
    row: AnyModel = kind.__new__(kind)
    vars(row).update(vars(pattern), _state=ModelState())
    row._state.fields_cache = pattern._state.fields_cache.copy()
    for attribute, default in _made_for_each(kind):
        setattr(row, attribute, default())
    for name, value in values.items():
        getattr(kind, name)  # else a misspelt name would be an attribute of its own
        setattr(row, name, value)
    return row


def insert(*tables: Sequence[Model]) -> None:
    """Insert the rows of each table, which are of one model. References are checked when the transaction ends.

    A key, or a field with a default in the database, that has no value gets one there.
    """
    statements, parameters = [], []
    # Not the usual `connection`, which looks for this thread's one at each value.
    with connections["default"].cursor() as cursor:
        for rows in filter(None, tables):
            columns = [column for column in _columns(type(rows[0])) if not _is_left_out(rows[0], column)]
            table = f"{rows[0]._meta.db_table} ({', '.join(column.name for column in columns)})"
            if len(rows) > FEW:
                _copy(cursor, table, columns, rows)
                continue
            row = f"({', '.join(['%s'] * len(columns))})"
            statements.append(" ".join(["INSERT INTO", table, "VALUES", ", ".join([row] * len(rows))]))
            parameters += [_parameter(column, getattr(one, column.attribute)) for one in rows for column in columns]
        if statements:
            cursor.execute("; ".join(statements), parameters)


def copy(cursor: Any, statement: str, stream: IO[Any]) -> None:
    """COPY from or to a stream. Raises Django's errors, in which it wraps all other statements, but not this one."""
    with connections["default"].wrap_database_errors:
        cursor.copy_expert(statement, stream, CHUNK)


@cache
def _blank(kind: type[AnyModel]) -> AnyModel:
    return kind()


@cache
def _columns(kind: type[Model]) -> list[Column]:
    return [
        Column(
            attribute=field.attname,
            name=connection.ops.quote_name(str(field.column)),
            is_key=field.primary_key,
            is_json=isinstance(field, JSONField),
            is_array=isinstance(field, ArrayField),
        )
        for field in kind._meta.concrete_fields
    ]


@cache
def _made_for_each(kind: type[Model]) -> list[tuple[str, Callable[[], Any]]]:
    """The fields whose default is a function, and it."""
    fields = ((field.attname, field.default) for field in kind._meta.concrete_fields)
    return [(name, default) for name, default in fields if callable(default) and default is not NOT_PROVIDED]


def _is_left_out(row: Model, column: Column) -> bool:
    value = getattr(row, column.attribute)
    return isinstance(value, DatabaseDefault) or (column.is_key and value is None)


def _parameter(column: Column, value: Any) -> Any:
    return Json(value) if column.is_json and value is not None else value


def _copy(cursor: Any, table: str, columns: Sequence[Column], rows: Sequence[Model]) -> None:
    for start in range(0, len(rows), AT_ONCE):
        texts = (_texts(column, rows[start : start + AT_ONCE]) for column in columns)
        lines = map("\t".join, zip(*texts, strict=True))
        copy(cursor, f"COPY {table} FROM STDIN", io.StringIO("\n".join(lines)))


def _texts(column: Column, rows: Sequence[Model]) -> list[str]:
    """One value of each row. Most columns of an upload hold the same in all."""
    values = list(map(attrgetter(column.attribute), rows))
    if values.count(values[0]) == len(values):
        return [_text(column, values[0])] * len(values)
    return [_text(column, value) for value in values]


def _text(column: Column, value: Any) -> str:
    """One value as COPY reads it: https://www.postgresql.org/docs/current/sql-copy.html#SQL-COPY-FILE-FORMATS"""
    if value is None:
        return NULL
    if isinstance(value, bytes):
        return f"\\\\x{value.hex()}"
    if column.is_json:
        value = json.dumps(value)
    elif column.is_array:
        value = "{" + ",".join(json.dumps(str(item)) for item in value) + "}"
    return str(value).translate(ESCAPED)
