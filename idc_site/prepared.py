"""Statements that every request needs, planned once for each connection: to plan one takes longer than to run it.

psycopg2 prepares nothing by itself, so this says PREPARE and EXECUTE:
https://www.postgresql.org/docs/current/sql-prepare.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from django.db.backends.utils import CursorWrapper

# By connection of psycopg2: the names that its server process knows. A rollback leaves them there.
_known: WeakKeyDictionary[Any, set[str]] = WeakKeyDictionary()


@dataclass(frozen=True)
class Prepared:
    """One statement. name: no other has it. types: PostgreSQL's, by parameter. text: with `%(parameter)s` in it."""

    name: str
    types: Mapping[str, str]
    text: str

    @property
    def call(self) -> str:
        values = f"({', '.join(f'%({parameter})s' for parameter in self.types)})" if self.types else ""
        return f"EXECUTE {self.name} {values}"

    def prepare(self, raw_connection: Any) -> None:
        known = _known.setdefault(raw_connection, set())
        if self.name in known:
            return
        places = {parameter: f"${place}" for place, parameter in enumerate(self.types, start=1)}
        types = f"({', '.join(self.types.values())})" if self.types else ""
        with raw_connection.cursor() as cursor:
            cursor.execute(f"PREPARE {self.name} {types} AS {self.text % places}")
        known.add(self.name)


def execute(cursor: CursorWrapper, *statements: Prepared, values: Mapping[str, Any]) -> None:
    """Run the statements one after the other, sent as one message. The cursor then has the rows of the last."""
    for statement in statements:
        statement.prepare(cursor.connection)
    cursor.execute("; ".join(statement.call for statement in statements), values)
