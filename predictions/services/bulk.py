"""Many new rows at once, by COPY.

`bulk_create` compiles each value of each row by itself: for the rows of an upload that takes longer than the model
takes to answer them (docs/performance.md). COPY takes the same rows as text.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db import connection
from django.db.models import Field, JSONField, Model
from django.db.models.expressions import DatabaseDefault

AT_ONCE = 1000  # rows, so that their text stays within a few megabytes
ESCAPED = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
NULL = "\\N"


def next_keys(*wanted: tuple[type[Model], int]) -> list[list[int]]:
    """So many keys of each model, from the sequences: rows that name each other can then be made together."""
    one = "ARRAY(SELECT nextval(pg_get_serial_sequence(%s, 'id')) FROM generate_series(1, %s))"
    parameters = [value for model, number in wanted for value in (model._meta.db_table, number)]
    with connection.cursor() as cursor:
        cursor.execute("SELECT " + ", ".join([one] * len(wanted)), parameters)
        return [list(keys) for keys in cursor.fetchone()]


def insert(rows: Sequence[Model]) -> None:
    """Insert rows of one model. A key, or a field with a default in the database, that has no value gets one there."""
    if not rows:
        return
    fields = [field for field in rows[0]._meta.concrete_fields if not _is_left_out(rows[0], field)]
    columns = ", ".join(connection.ops.quote_name(str(field.column)) for field in fields)
    statement = f"COPY {connection.ops.quote_name(rows[0]._meta.db_table)} ({columns}) FROM STDIN"
    with connection.cursor() as cursor:
        for start in range(0, len(rows), AT_ONCE):
            lines = ["\t".join(_text(field, row) for field in fields) for row in rows[start : start + AT_ONCE]]
            cursor.copy_expert(statement, io.StringIO("\n".join(lines)))


def _is_left_out(row: Model, field: Field[Any, Any]) -> bool:
    value = getattr(row, field.attname)
    return isinstance(value, DatabaseDefault) or (field.primary_key and value is None)


def _text(field: Field[Any, Any], row: Model) -> str:
    """One value as COPY reads it: https://www.postgresql.org/docs/current/sql-copy.html#SQL-COPY-FILE-FORMATS"""
    value = getattr(row, field.attname)
    if value is None:
        return NULL
    if isinstance(value, bytes):
        return f"\\\\x{value.hex()}"
    if isinstance(field, JSONField):
        value = json.dumps(value)
    elif isinstance(field, ArrayField):
        value = "{" + ",".join(json.dumps(str(item)) for item in value) + "}"
    return str(value).translate(ESCAPED)
