"""The backend: a connection that ended is noticed without a question, and statements are prepared once on each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import (
    DatabaseError,
    NotSupportedError,
    ProgrammingError,
    close_old_connections,
    connection,
    transaction,
)
from django.test.utils import CaptureQueriesContext
from pytest_django import DjangoAssertNumQueries

from accounts.models import User
from idc_site.postgres import prepared
from idc_site.postgres.prepared import Prepared, execute, read
from predictions.models import ModelVersion

pytestmark = pytest.mark.django_db(transaction=True)
ADD = Prepared("add_up", "SELECT %(first)s + %(second)s", {"first": "int", "second": "int"})
DOUBLE = Prepared("double_it", "SELECT 2 * %(first)s", {"first": "int"})
PREPARED = "SELECT count(*) FROM pg_prepared_statements WHERE name = 'add_up'"


def value(statement: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchone()[0]


def added(first: int, second: int, *statements: Prepared) -> object:
    with connection.cursor() as cursor:
        execute(cursor, {"first": first, "second": second}, *(statements or [ADD]))
        return cursor.fetchone()[0]


def end_connection() -> None:
    """As a server does that is stopped: it closes them all, and says so."""
    process = value("SELECT pg_backend_pid()")
    other = connection.copy()
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [process])
        assert cursor.fetchone() == (True,)
    other.close()


def test_a_connection_that_the_server_ended_is_replaced_before_the_next_request_uses_it() -> None:
    connection.ensure_connection()
    assert connection.is_usable()
    end_connection()
    assert not connection.is_usable()
    close_old_connections()  # as each request begins
    assert value("SELECT 1") == 1


def test_a_connection_with_something_to_read_is_asked() -> None:
    with connection.cursor() as cursor:
        cursor.execute("LISTEN something")
    other = connection.copy()
    with other.cursor() as cursor:
        cursor.execute("NOTIFY something")
    other.close()
    assert connection.is_usable()
    connection.close()
    assert not connection.is_usable()


def test_a_statement_is_prepared_once_on_each_connection_and_is_one_query() -> None:
    connection.close()
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert [added(1, 2), added(40, 2), added(3, 4, ADD, DOUBLE)] == [3, 42, 6]
    assert [query["sql"] for query in queries] == [
        "EXECUTE add_up (1::int, 2::int)",
        "EXECUTE add_up (40::int, 2::int)",
        "EXECUTE add_up (3::int, 4::int); EXECUTE double_it (3::int)",
    ]
    assert value(PREPARED) == 1
    connection.close()
    assert value(PREPARED) == 0
    assert added(5, 6) == 11


def test_it_stays_prepared_when_the_transaction_that_did_it_is_undone() -> None:
    connection.close()
    with pytest.raises(DatabaseError), transaction.atomic():
        added(2**30, 2**30)  # out of range
    assert added(1, 1) == 2


def test_what_cannot_be_prepared_is_tried_again_and_an_error_of_djangos() -> None:
    odd = Prepared("odd", "SELECT no_such_column", {})
    for _ in range(2):
        with connection.cursor() as cursor, pytest.raises(ProgrammingError):
            execute(cursor, {}, odd)


def test_a_plan_does_not_outlive_the_size_of_its_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepared, "LOOK_SECONDS", 0.0)
    find = Prepared("find_number", "SELECT id FROM numbers WHERE id = ANY(%(ids)s)", {"ids": "int[]"})
    wrapper: Any = connection
    with connection.cursor() as cursor:

        def plan() -> str:
            for _ in range(8):  # the first five are planned for their values
                execute(cursor, {"ids": [1, 2]}, find)
            cursor.execute("EXPLAIN EXECUTE find_number (ARRAY[1, 2])")
            return str(cursor.fetchone()[0]).split(" on ")[0].split(" using ")[0]

        def add(first: int, last: int) -> None:
            cursor.execute("INSERT INTO numbers SELECT * FROM generate_series(%s, %s)", [first, last])
            cursor.execute("SELECT pg_stat_force_next_flush()")  # else the rows are counted a second later

        cursor.execute("CREATE TEMP TABLE numbers (id int PRIMARY KEY)")
        cursor.execute("ANALYZE numbers")
        assert plan() == "Seq Scan"
        add(1, 20_000)
        assert plan() != "Seq Scan"
        planned_for = wrapper.planned_for
        add(20_001, 20_100)
        assert plan() != "Seq Scan"
        assert wrapper.planned_for == planned_for  # a few more are no reason to plan anew
        cursor.execute("TRUNCATE numbers; CREATE TEMP TABLE others AS SELECT generate_series(1, 20100)")
        cursor.execute("SELECT pg_stat_force_next_flush()")
        plan()
        *rest, numbers, others = wrapper.planned_for  # of which one fell as far as the other rose
        assert ([*rest, others], numbers < others) == (planned_for, True)
        cursor.execute("DROP TABLE numbers, others")


def test_rows_are_read_as_models_with_what_stands_beside(
    owner: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    find = Prepared("find_user", "SELECT id + %(more)s AS later, email, id FROM accounts_user", {"more": "bigint"})
    (found,) = read(User, {"more": 7}, find)
    with django_assert_num_queries(0):
        assert (found, found.email, vars(found)["later"]) == (owner, owner.email, owner.pk + 7)
    with django_assert_num_queries(1):  # as it was left out
        assert found.is_staff is False


def test_what_django_makes_of_a_value_is_not_read_so() -> None:
    with pytest.raises(TypeError, match="Read card of ModelVersion by its manager"):
        read(ModelVersion, {}, Prepared("find_card", "SELECT id, card FROM predictions_modelversion", {}))


@pytest.fixture
def a_changed_column() -> Iterator[Prepared]:
    """A statement that was prepared when its column was shorter."""
    read = Prepared("read_word", "SELECT word FROM words", {})
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE words (word varchar(4)); INSERT INTO words VALUES ('abcd')")
        execute(cursor, {}, read)
        cursor.execute("ALTER TABLE words ALTER COLUMN word TYPE varchar(9)")
    yield read
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE words")


def test_a_statement_follows_a_migration_that_changes_a_columns_type(a_changed_column: Prepared) -> None:
    with connection.cursor() as cursor:
        execute(cursor, {}, a_changed_column)
        assert cursor.fetchall() == [("abcd",)]


def test_in_a_transaction_it_follows_with_the_next_request(a_changed_column: Prepared) -> None:
    with pytest.raises(NotSupportedError), transaction.atomic(), connection.cursor() as cursor:
        execute(cursor, {}, a_changed_column)
    close_old_connections()  # as each request ends
    with connection.cursor() as cursor:
        execute(cursor, {}, a_changed_column)
        assert cursor.fetchall() == [("abcd",)]
