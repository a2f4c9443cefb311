"""Statements that are planned once for each connection."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from django.db import connection, transaction

from idc_site.prepared import Prepared, execute

SHOW = Prepared(
    "show_what_came",
    {"number": "bigint", "words": "text[]", "id": "uuid", "span": "interval"},
    "SELECT %(number)s + 1, %(words)s, %(id)s, %(span)s, %(number)s",
)
ONE = Prepared("one", {}, "SELECT 1")


def shown(number: int | None, words: list[str], key: UUID | None, span: timedelta) -> tuple[object, ...]:
    with connection.cursor() as cursor:
        execute(cursor, ONE, SHOW, values={"number": number, "words": words, "id": key, "span": span})
        (row,) = cursor.fetchall()
        return tuple(row)


def prepared() -> list[tuple[str, int]]:
    """What this connection's server process knows, and how often it was run."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT name, (generic_plans + custom_plans)::int FROM pg_prepared_statements ORDER BY name")
        return [(name, number) for name, number in cursor.fetchall() if name in (ONE.name, SHOW.name)]


@pytest.mark.django_db(transaction=True)
def test_a_statement_is_prepared_once_for_each_connection() -> None:
    key = uuid4()
    assert shown(1, ["a", "b'%s"], key, timedelta(hours=1)) == (2, ["a", "b'%s"], key, timedelta(hours=1), 1)
    assert shown(None, [], None, timedelta()) == (None, [], None, timedelta(), None)
    assert prepared() == [(ONE.name, 2), (SHOW.name, 2)]
    connection.close()
    assert prepared() == []
    shown(1, [], None, timedelta())
    assert prepared() == [(ONE.name, 1), (SHOW.name, 1)]


@pytest.mark.django_db(transaction=True)
def test_what_was_prepared_outlives_a_rollback() -> None:
    connection.close()
    with transaction.atomic():
        shown(1, [], None, timedelta())
        transaction.set_rollback(True)
    shown(2, [], None, timedelta())
    assert prepared() == [(ONE.name, 2), (SHOW.name, 2)]
