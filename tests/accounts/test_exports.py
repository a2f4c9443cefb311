"""The archive of everything of one user's: what is in it, who gets it, and that no process's end loses it."""

from __future__ import annotations

import csv
import hashlib
import io
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from accounts import exports
from accounts.exports import EXPORTS_PER_DAY, Superseded, TooManyExports, ask_for_export, write_next
from accounts.models import ApiToken, Export, ExportChunk, User
from ml.images import decode_patch
from predictions.models import Event, ModelVersion, Patch, Prediction, Purpose
from predictions.services import chores
from tests.accounts.own_data import EMAIL, NAME, full_account, opened, read
from tests.factories import answer, drawn, make_token, submit_drawn
from webhooks.models import Webhook

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("model_version")]


def made(user: User) -> Export:
    export = ask_for_export(user=user)
    assert write_next()
    export.refresh_from_db()
    return export


def test_everything_of_theirs_is_in_it_and_no_secret_and_nobody_else(model_version: ModelVersion) -> None:
    ada = full_account()
    patches = list(Patch.objects.filter(owner=ada).order_by("pk"))
    archive = opened(Export.objects.get())
    assert archive.testzip() is None
    first = Prediction.objects.get(patch=patches[0])
    assert archive.namelist() == [
        "README.txt", "account.json", "predictions.json", "predictions.csv", "batches.json", "files.json",
        "webhooks.json", "reviews.json", "reports.json", "barred.json", "events.json",
        f"images/{patches[0].uuid}.png", f"maps/{first.uuid}.png", f"images/{patches[1].uuid}.png",
        f"images/{patches[2].uuid}.png",
    ]  # fmt: skip
    for seed, patch in zip((1, 2, 3), patches, strict=True):
        png = archive.read(f"images/{patch.uuid}.png")
        assert hashlib.sha256(decode_patch(png).pixels.tobytes()).hexdigest() == drawn(seed).sha256 == patch.sha256
    assert archive.read(f"maps/{first.uuid}.png") == b"PNG"

    account = read(archive, "account.json")
    assert (account["email"], account["is_staff"], account["has_second_factor"]) == (EMAIL, True, True)
    assert account["email_addresses"] == [{"email": EMAIL, "verified": True, "primary": True}]
    assert [token["name"] for token in account["tokens"]] == ["test"]
    assert [used["number"] for used in account["patches_sent"]] == [3]
    rows = read(archive, "predictions.json")
    assert [row["id"] for row in rows] == [str(patch.uuid) for patch in patches]
    assert (rows[0]["original_name"], rows[0]["visibility"], rows[2]["visibility"]) == (NAME, "public", "private")
    (told,) = rows[0]["predictions"]
    times = {name: told.pop(name) for name in ("queued_at", "started_at", "finished_at")}
    assert all(times.values())
    assert told == {
        "id": str(first.uuid), "is_current": True, "model": model_version.version,
        "model_sha256": model_version.sha256, "purpose": "upload", "status": "succeeded", "probability": 0.75,
        "label": "positive", "threshold": first.threshold, "flags": [], "attempt": 0, "error_code": "",
    }  # fmt: skip
    assert rows[0]["ground_truth"]["source"] == "the report of Mrs Smith"
    assert [review["answer"] for review in rows[0]["reviews"]] == ["negative"]
    assert set(rows[0]["reviews"][0]) == {"answer", "date"}
    assert (rows[1]["ground_truth"], rows[1]["reviews"]) == (None, [])
    assert len(read(archive, "batches.json")) == 2
    assert [row["name"] for row in read(archive, "files.json")] == [NAME, "drawn-2.png", "drawn-3.png"]
    hook, delivery = read(archive, "webhooks.json")
    assert (hook["url"], delivery["event"]) == ("https://93.184.216.34/hook", "ping")
    (review,) = read(archive, "reviews.json")
    assert (review["answer"], review["comment"]) == ("positive", f"ask me: {EMAIL}")
    (report,) = read(archive, "reports.json")
    assert (report["reason"], report["comment"]) == ("other", f"I am {EMAIL}")
    assert [row["sha256"] for row in read(archive, "barred.json")] == [drawn(4).sha256]
    kinds = {event["kind"] for event in read(archive, "events.json")}
    assert kinds == set(Event.objects.filter(actor=ada).values_list("kind", flat=True))
    assert EMAIL in archive.read("README.txt").decode()

    everything = "".join(archive.read(name).decode() for name in archive.namelist() if name.endswith(("json", "csv")))
    webhook, token = Webhook.objects.get(), ApiToken.objects.get()
    for secret in (webhook.salt, webhook.secret, token.digest, ada.password):
        assert secret not in everything
    for somebody in ("other-reviewer@example.org", "owner-of-others@example.org", "I doubt it"):
        assert somebody not in everything


def test_the_table_has_a_line_for_each_answer_and_runs_no_formula() -> None:
    ada = full_account()
    text = opened(Export.objects.get()).read("predictions.csv").decode()
    assert text.startswith('"patch","name",')
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [(row["name"], row["status"], row["label"]) for row in rows] == [
        (f"'{NAME}", "succeeded", "positive"), ("drawn-2.png", "queued", ""), ("drawn-3.png", "queued", "")
    ]  # fmt: skip
    assert {row["patch"] for row in rows} == {str(uuid) for uuid in ada.patches.values_list("uuid", flat=True)}


def test_an_account_without_anything_has_an_archive_too(owner: User) -> None:
    archive = opened(made(owner))
    assert archive.testzip() is None
    assert read(archive, "predictions.json") == read(archive, "events.json")[1:] == []


def test_silent_answers_and_dropped_pixels_are_not_in_it(owner: User) -> None:
    prediction = submit_drawn(owner, 1)[0]
    Prediction.objects.update(purpose=Purpose.SHADOW)
    prediction.patch.image.delete()
    Patch.objects.update(pixels_dropped_at=Now())
    archive = opened(made(owner))
    (row,) = read(archive, "predictions.json")
    assert (row["predictions"], bool(row["pixels_dropped_at"])) == ([], True)
    assert [name for name in archive.namelist() if name.startswith("images/")] == []


def test_many_rows_come_in_steps_and_in_pieces(owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("accounts.archive.AT_ONCE", 3)
    monkeypatch.setattr(exports, "CHUNK_BYTES", 1000)
    submit_drawn(owner, *range(10))
    export = made(owner)
    lengths = [len(bytes(data)) for data in export.chunks.order_by("position").values_list("data", flat=True)]
    assert set(lengths[:-1]) == {1000}
    assert sum(lengths) == export.size
    archive = opened(export)
    assert archive.testzip() is None
    assert len([name for name in archive.namelist() if name.startswith("images/")]) == 10
    assert len(read(archive, "predictions.json")) == 10
    assert (export.patches, export.patches_done) == (10, 10)


def test_a_download_holds_a_place_of_its_own_kind(
    client: Client, owner: User, stranger: User, staff: User, settings: Settings
) -> None:
    addresses = {user: reverse("data:download", args=[made(user).uuid]) for user in (owner, stranger, staff)}

    def asked(user: User) -> Any:
        client.force_login(user)
        return client.get(addresses[user])

    held = [asked(owner), asked(owner), asked(stranger), asked(staff)]
    assert [response.status_code for response in held] == [200, 302, 200, 302]
    page = client.get(held[3]["Location"]).content.decode()
    assert "several files at the moment" in page
    # Not `download`: the page that says so would be saved as a file.
    assert f'href="{addresses[staff]}">' in page
    assert client.get(reverse("predictions:export-csv")).status_code == 200
    for close in held[0]._resource_closers:  # what the server's close() calls when its reader has gone
        close()
    settings.EXPORT_SECONDS = 0
    with pytest.raises(TimeoutError):
        b"".join(asked(staff).streaming_content)


@pytest.mark.parametrize(("megabytes", "seconds"), [(0.001, 120), (10, 120), (10.001, 240), (623, 63 * 120)])
def test_a_larger_archive_has_more_time(megabytes: float, seconds: int) -> None:
    assert exports.seconds_for(int(megabytes * 1024 * 1024)) == seconds


def test_one_is_made_at_a_time_and_three_a_day(owner: User) -> None:
    first = ask_for_export(user=owner)
    assert ask_for_export(user=owner) == first
    write_next()
    for _ in range(EXPORTS_PER_DAY - 1):
        made(owner)
    with pytest.raises(TooManyExports):
        ask_for_export(user=owner)
    Export.objects.filter(pk=first.pk).update(queued_at=Now() - timedelta(days=1))
    made(owner)
    assert Event.objects.filter(kind="export_asked", actor=owner).count() == 4


@pytest.mark.django_db(transaction=True)
def test_pressing_ten_times_at_once_makes_one(owner: User) -> None:
    def press(_: int) -> int:
        try:
            return ask_for_export(user=owner).pk
        finally:
            connection.close()

    with ThreadPoolExecutor(10) as pool:
        assert len(set(pool.map(press, range(10)))) == 1
    assert Event.objects.filter(kind="export_asked").count() == 1


def test_a_newer_archive_takes_the_place_of_the_one_before(owner: User) -> None:
    first, second = made(owner), made(owner)
    first.refresh_from_db()
    assert (first.size, first.chunks.count(), first.is_ready) == (None, 0, False)
    assert second.is_ready


def test_after_three_days_it_is_gone(owner: User) -> None:
    made(owner)
    chores.tidy()
    assert Export.objects.exists()
    Export.objects.update(finished_at=Now() - Export.KEPT)
    chores.tidy()
    assert not Export.objects.exists()
    assert not ExportChunk.objects.exists()


def test_a_process_that_died_is_followed_by_another(owner: User) -> None:
    submit_drawn(owner, 1)
    export = ask_for_export(user=owner)
    (dead,) = Export.objects.raw(exports.CLAIM, {"lease": exports.LEASE})
    file = exports.ArchiveFile(dead)
    file.write(b"x" * exports.CHUNK_BYTES)
    assert not write_next()  # it may be alive
    Export.objects.update(lease_until=Now())
    assert write_next()
    with pytest.raises(Superseded):
        file.write(b"x" * exports.CHUNK_BYTES)
    with pytest.raises(Superseded):
        exports.finish(dead, size=1)
    export.refresh_from_db()
    assert (export.status, export.attempt) == ("succeeded", 2)
    assert opened(export).testzip() is None


def test_what_cannot_be_written_is_tried_three_times_and_then_said(
    owner: User, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit_drawn(owner, 1)
    monkeypatch.setattr("accounts.archive.COLUMNS", None)  # as if there were a mistake in the code
    export = ask_for_export(user=owner)
    for attempt in range(1, 4):
        assert write_next()
        export.refresh_from_db()
        assert export.attempt == attempt
        assert not write_next()  # it pauses
        Export.objects.update(next_attempt_at=Now())
    assert (export.status, export.error_code, export.size) == ("failed", "interrupted", None)
    client.force_login(owner)
    assert "could not be made" in client.get(reverse("data:home")).content.decode()


def test_an_account_that_goes_takes_its_half_written_archive_along(owner: User) -> None:
    ask_for_export(user=owner)
    (running,) = Export.objects.raw(exports.CLAIM, {"lease": exports.LEASE})
    file = exports.ArchiveFile(running)
    file.write(b"x" * exports.CHUNK_BYTES)
    Export.objects.all().delete()
    with pytest.raises(Superseded):
        file.write(b"x" * exports.CHUNK_BYTES)
    assert not ExportChunk.objects.exists()


def test_only_its_owner_downloads_it(owner: User, stranger: User, staff: User, client: Client) -> None:
    answer(submit_drawn(owner, 1)[0])
    export = made(owner)
    urls = [reverse("data:download", args=[export.uuid]), reverse("data:progress", args=[export.uuid])]
    unknown = [reverse("data:download", args=[owner.patches.get().uuid])]
    for url in urls:
        assert client.get(url)["Location"].startswith(reverse("account_login"))
        bearer = {"Authorization": f"Bearer {make_token(owner)}"}
        assert Client().get(url, headers=bearer)["Location"].startswith(reverse("account_login"))
    for person in (stranger, staff):
        client.force_login(person)
        for url in urls:
            assert client.get(url).status_code == 404
            assert client.get(url).content == client.get(unknown[0]).content
    client.force_login(owner)
    response = client.get(urls[0])
    assert response.getvalue() == b"".join(exports.pieces(export))
    assert (response["Content-Length"], response["Content-Type"]) == (str(export.size), "application/zip")
    assert response["Content-Disposition"].startswith('attachment; filename="idc-finder-')
    assert "no-store" in response["Cache-Control"]
    assert client.post(urls[0]).status_code == 405
    Export.objects.update(size=None)
    assert client.get(urls[0]).status_code == 404


def test_progress_is_asked_for_until_it_is_there(owner: User, client: Client) -> None:
    client.force_login(owner)
    assert client.get(reverse("data:ask")).status_code == 405
    assert client.post(reverse("data:ask"))["Location"] == reverse("data:home")
    export = Export.objects.get()
    address = reverse("data:progress", args=[export.uuid])
    page = client.get(reverse("data:home")).content.decode()
    assert f'hx-get="{address}"' in page
    assert '<meta http-equiv="refresh"' in page
    Export.objects.update(status="running", lease_until=Now(), patches=2000, patches_done=1500)
    assert "1,500 of 2,000 patches" in client.get(address).content.decode()
    Export.objects.update(lease_until=Now() - timedelta(seconds=1))
    assert write_next()
    part = client.get(address).content.decode()
    assert "hx-get" not in part
    assert reverse("data:download", args=[export.uuid]) in part


def test_a_slow_process_writes_nothing_into_what_another_has_begun_anew(owner: User) -> None:
    ask_for_export(user=owner)
    (slow,) = Export.objects.raw(exports.CLAIM, {"lease": exports.LEASE})
    Export.objects.update(lease_until=Now())
    assert exports.sweep() == 1
    (other,) = Export.objects.raw(exports.CLAIM, {"lease": exports.LEASE})
    with pytest.raises(Superseded):
        exports.ArchiveFile(slow).write(b"x" * exports.CHUNK_BYTES)
    with pytest.raises(Superseded):
        exports.finish(slow, size=1)
    exports.give_up(slow)
    exports.ArchiveFile(other).write(b"y" * exports.CHUNK_BYTES)
    assert bytes(ExportChunk.objects.get().data) == b"y" * exports.CHUNK_BYTES
    assert Export.objects.get().status == "running"
