"""The real chores process: it dies while it writes an archive or removes an account, and another one goes on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2
import pytest
from django.db import connection
from django.db.models.functions import Now

from accounts.erasure import erase
from accounts.exports import ask_for_export
from accounts.models import Export, User
from predictions.models import Event, Patch
from tests.accounts.own_data import opened
from tests.factories import submit_drawn
from tests.processes import Processes, database_url, wait_for

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("model_version")]


@contextmanager
def held(table: str) -> Iterator[None]:
    """Nobody writes to the table meanwhile."""
    holder = psycopg2.connect(database_url())
    with holder.cursor() as cursor:
        cursor.execute(f"LOCK TABLE {table} IN EXCLUSIVE MODE")
    try:
        yield
    finally:
        holder.close()


def somebody_waits_for(table: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = %s::regclass", [table])
        return bool(cursor.fetchone()[0])


def test_an_archive_is_begun_anew_by_another(processes: Processes, owner: User) -> None:
    submit_drawn(owner, *range(20))
    export = ask_for_export(user=owner)
    with held("accounts_exportchunk"):
        first = processes.start("chores")
        wait_for(lambda: somebody_waits_for("accounts_exportchunk"), what=processes.log("chores"))
        processes.kill(first)
    Export.objects.filter(status="running").update(lease_until=Now())  # a minute later
    processes.start("chores")
    wait_for(lambda: Export.objects.get().is_ready, what=processes.log("chores"))
    export.refresh_from_db()
    assert export.attempt == 2
    assert opened(export).testzip() is None
    assert Patch.objects.filter(owner=owner).count() == 20


def test_an_erasure_goes_on_where_it_was(processes: Processes, owner: User, stranger: User) -> None:
    submit_drawn(owner, *range(20))
    kept = submit_drawn(stranger, 30)[0].patch
    erase(user=owner)
    with held("predictions_patch"):
        first = processes.start("chores")
        wait_for(lambda: somebody_waits_for("predictions_patch"), what=processes.log("chores"))
        processes.kill(first)
        assert Patch.objects.count() == 21
    processes.start("chores")
    wait_for(lambda: User.objects.count() == 1, what=processes.log("chores"))
    assert list(Patch.objects.all()) == [kept]
    assert Event.objects.filter(kind="erased").count() == 1
