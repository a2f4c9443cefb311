"""New rows of several models at once, in as few statements as there can be.

`bulk_create` compiles each value of each row by itself: for the rows of an upload that takes longer than the model
takes to answer them (docs/performance.md). A few rows go as one text of INSERTs, many by COPY.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from operator import attrgetter
from typing import IO, Any

from django.contrib.postgres.fields import ArrayField
from django.db import connections
from django.db.models import Field, JSONField, Model
from django.db.models.expressions import DatabaseDefault

FEW = 20  # rows of one model, up to which INSERT is cheaper
CHUNK = 1 << 20  # characters or bytes that are sent at once
AT_ONCE = 1000  # rows, so that their text stays within a few megabytes
ESCAPED = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
NULL = "\\N"


def insert(*tables: Sequence[Model]) -> None:
    """Insert the rows of each table, which are of one model. References are checked when the transaction ends.

    A key, or a field with a default in the database, that has no value gets one there.
    """
    statements, parameters = [], []
    # Not the usual `connection`, which looks for this thread's one at each value.
    connection = connections["default"]
    quoted = connection.ops.quote_name
    with connection.cursor() as cursor:
        for rows in filter(None, tables):
            fields = [field for field in rows[0]._meta.concrete_fields if not _is_left_out(rows[0], field)]
            columns = ", ".join(quoted(str(field.column)) for field in fields)
            table = f"{quoted(rows[0]._meta.db_table)} ({columns})"
            if len(rows) > FEW:
                _copy(cursor, table, fields, rows)
                continue
            row = f"({', '.join(['%s'] * len(fields))})"
            statements.append(" ".join(["INSERT INTO", table, "VALUES", ", ".join([row] * len(rows))]))
            parameters += [
                field.get_db_prep_save(getattr(one, field.attname), connection) for one in rows for field in fields
            ]
        if statements:
            cursor.execute("; ".join(statements), parameters)


def copy(cursor: Any, statement: str, stream: IO[Any]) -> None:
    """COPY from or to a stream. Raises Django's errors, in which it wraps all other statements, but not this one."""
    with connections["default"].wrap_database_errors:
        cursor.copy_expert(statement, stream, CHUNK)


def _is_left_out(row: Model, field: Field[Any, Any]) -> bool:
    value = getattr(row, field.attname)
    return isinstance(value, DatabaseDefault) or (field.primary_key and value is None)


def _copy(cursor: Any, table: str, fields: Sequence[Field[Any, Any]], rows: Sequence[Model]) -> None:
    for start in range(0, len(rows), AT_ONCE):
        columns = (_column(field, rows[start : start + AT_ONCE]) for field in fields)
        lines = map("\t".join, zip(*columns, strict=True))
        copy(cursor, f"COPY {table} FROM STDIN", io.StringIO("\n".join(lines)))


def _column(field: Field[Any, Any], rows: Sequence[Model]) -> list[str]:
    """One value of each row. Most columns of an upload hold the same in all."""
    values = list(map(attrgetter(field.attname), rows))
    if values.count(values[0]) == len(values):
        return [_text(field, values[0])] * len(values)
    return [_text(field, value) for value in values]


def _text(field: Field[Any, Any], value: Any) -> str:
    """One value as COPY reads it: https://www.postgresql.org/docs/current/sql-copy.html#SQL-COPY-FILE-FORMATS"""
    if value is None:
        return NULL
    if isinstance(value, bytes):
        return f"\\\\x{value.hex()}"
    if isinstance(field, JSONField):
        value = json.dumps(value)
    elif isinstance(field, ArrayField):
        value = "{" + ",".join(json.dumps(str(item)) for item in value) + "}"
    return str(value).translate(ESCAPED)
