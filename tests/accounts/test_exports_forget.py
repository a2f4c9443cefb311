"""No archive keeps pixels that are to be forgotten: neither one that is ready, nor one that is being made."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection, transaction
from django.db.models.functions import Now
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts import exports
from accounts.archive import write_archive
from accounts.exports import Superseded, ask_for_export, write_next
from accounts.models import Export, ExportChunk, User
from predictions import services
from predictions.models import Explanation, Patch
from tests.accounts.own_data import opened, read
from tests.accounts.test_exports import made
from tests.factories import make_user, submit_drawn
from tests.predictions.test_forget import send, sent_to_be_forgotten
from tests.processes import somebody_waits_for_a_row, wait_for

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("model_version")]


def pictures_in(export: Export) -> list[str]:
    return [name for name in opened(export).namelist() if name.startswith(("images/", "maps/"))]


def image(patch: Patch) -> str:
    return f"images/{patch.uuid}.png"


def test_an_archive_that_holds_what_is_to_be_forgotten_goes_with_the_wish_and_says_why(
    owner: User, stranger: User, client: Client
) -> None:
    (patch,) = send(owner, 1, forget=False).accepted
    (other,) = submit_drawn(stranger, 1)
    services.drain()
    export, of_another = made(owner), made(stranger)
    assert pictures_in(export) == [image(patch)]
    send(owner, 1)
    for one in (export, of_another):
        one.refresh_from_db()
    assert (export.is_ready, export.size, export.error_code) == (False, None, "forgotten")
    assert list(ExportChunk.objects.values_list("export", flat=True).distinct()) == [of_another.pk]
    assert pictures_in(of_another) == [image(other.patch)]
    client.force_login(owner)
    assert (
        "a picture in it was deleted since, or is to be forgotten" in client.get(reverse("data:home")).content.decode()
    )
    assert client.get(reverse("data:download", args=[export.uuid])).status_code == 404
    newer = made(owner)
    assert pictures_in(newer) == []
    export.refresh_from_db()
    assert export.is_forgotten


def test_what_is_to_be_forgotten_is_in_none_and_takes_none_away(owner: User) -> None:
    (kept,) = send(owner, 1, forget=False).accepted
    waiting = sent_to_be_forgotten(owner, 2)
    Explanation.objects.create(prediction=waiting, status="succeeded", png=b"PNG", finished_at=kept.created_at)
    export = made(owner)
    assert pictures_in(export) == [image(kept)]
    rows = read(opened(export), "predictions.json")
    assert [row["is_to_be_forgotten"] for row in rows] == [False, True]
    running = ask_for_export(user=owner)
    list(Export.objects.raw(exports.CLAIM, {"lease": exports.LEASE}))
    sent_to_be_forgotten(owner, 2)
    sent_to_be_forgotten(owner, 3)
    with CaptureQueriesContext(connection) as found:
        assert services.drain() == 3
    assert not [query for query in found if "accounts_export" in query["sql"]]
    export.refresh_from_db()
    running.refresh_from_db()
    assert (export.is_ready, running.status) == (True, "running")


def test_what_was_sent_after_an_archive_was_made_takes_it_not_away(owner: User) -> None:
    send(owner, 1, forget=False)
    export = made(owner)
    send(owner, 2, forget=False)
    send(owner, 2)
    export.refresh_from_db()
    assert export.is_ready


def test_one_that_is_being_made_begins_anew_without_it(owner: User) -> None:
    kept, changed = send(owner, 1, 2, forget=False).accepted
    export = ask_for_export(user=owner)
    (running,) = Export.objects.raw(exports.CLAIM, {"lease": exports.LEASE})
    file = exports.ArchiveFile(running)
    file.write(b"x" * exports.CHUNK_BYTES)
    send(owner, 2)
    assert not ExportChunk.objects.exists()
    with pytest.raises(Superseded):
        file.write(b"x" * exports.CHUNK_BYTES)
    with pytest.raises(Superseded):
        exports.finish(running, size=1)
    assert not write_next()  # others have their turn
    Export.objects.update(next_attempt_at=Now())
    assert write_next()
    export.refresh_from_db()
    assert (export.is_ready, export.error_code, pictures_in(export)) == (True, "", [image(kept)])
    assert Patch.objects.get(pk=changed.pk).is_to_be_forgotten


def apart(call: Callable[[], object]) -> Callable[[], object]:
    """For a thread of its own, whose connection ends with it."""

    def run() -> object:
        try:
            return call()
        finally:
            connection.close()

    return run


@pytest.mark.django_db(transaction=True)
def test_one_that_begins_in_the_moment_of_the_wish_is_left_for_later() -> None:
    owner = make_user("owner@example.org")
    send(owner, 1, forget=False)
    export = ask_for_export(user=owner)
    with ThreadPoolExecutor(1) as pool, transaction.atomic():
        send(owner, 1)
        assert pool.submit(apart(write_next)).result(30) is False
    Export.objects.update(next_attempt_at=Now())
    assert write_next()
    export.refresh_from_db()
    assert pictures_in(export) == []


@pytest.mark.django_db(transaction=True)
def test_one_that_is_finished_in_the_moment_of_the_wish_goes() -> None:
    owner = make_user("owner@example.org")
    send(owner, 1, forget=False)
    export = ask_for_export(user=owner)
    (running,) = Export.objects.raw(exports.CLAIM, {"lease": exports.LEASE})
    file = exports.ArchiveFile(running)
    write_archive(owner, file)
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            exports.finish(running, size=file.close_and_measure())
            sending = pool.submit(apart(lambda: send(owner, 1)))
            wait_for(lambda: sending.done() or somebody_waits_for_a_row(), what="the submission")
        sending.result(30)
    export.refresh_from_db()
    assert (export.is_forgotten, export.size, ExportChunk.objects.exists()) == (True, None, False)


@pytest.mark.django_db(transaction=True)
def test_one_that_would_finish_after_the_wish_does_not() -> None:
    owner = make_user("owner@example.org")
    send(owner, 1, forget=False)
    ask_for_export(user=owner)
    (running,) = Export.objects.raw(exports.CLAIM, {"lease": exports.LEASE})
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            send(owner, 1)
            finishing = pool.submit(apart(lambda: exports.finish(running, size=1)))
            wait_for(lambda: finishing.done() or somebody_waits_for_a_row(), what="the other process")
        with pytest.raises(Superseded):
            finishing.result(30)
    assert Export.objects.get().status == "queued"


def test_deleting_takes_the_archive_away_so_that_the_same_can_be_forgotten_later(owner: User, stranger: User) -> None:
    (patch,) = send(owner, 1, forget=False).accepted
    submit_drawn(stranger, 1)
    services.drain()
    export, of_another = made(owner), made(stranger)
    assert pictures_in(export) == [image(patch)]
    services.withdraw(patch=patch, actor=owner)
    for one in (export, of_another):
        one.refresh_from_db()
    assert (export.is_ready, export.is_forgotten, of_another.is_ready) == (False, True, True)
    (later,) = send(owner, 2, forget=False).accepted
    services.drain()
    services.withdraw(patch=later, actor=owner)
    assert pictures_in(made(owner)) == []


def test_an_archive_from_before_what_is_deleted_stays(owner: User) -> None:
    submit_drawn(owner, 1)
    export = made(owner)
    (prediction,) = submit_drawn(owner, 2)
    Patch.objects.filter(pk=prediction.patch_id).update(created_at=Now())
    services.withdraw(patch=prediction.patch, actor=owner)
    export.refresh_from_db()
    assert export.is_ready
