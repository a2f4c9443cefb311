"""Files of history and gallery: whole, disarmed, bounded."""

from __future__ import annotations

import csv
import io
import json
from typing import Any
from uuid import uuid4

import pytest
from django.http import HttpRequest
from django.test import Client
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from accounts.models import User
from predictions import exports, services
from predictions.exports import FORMULA, as_csv, as_json, disarmed
from predictions.models import Batch, Patch, Prediction, Visibility
from tests.factories import answer, fail, submit_drawn

PUBLIC_NAMES = ["id", "status", "probability", "label", "threshold", "model", "flags", "reviewers_say", "created_at",
                "finished_at"]  # fmt: skip


@pytest.fixture
def signed_in(client: Client, owner: User) -> Client:
    client.force_login(owner)
    return client


def table(response: Any) -> list[list[str]]:
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    assert response["Cache-Control"] == "private, no-store"
    return list(csv.reader(io.StringIO(response.getvalue().decode())))


def stamp(value: Any) -> str:
    return str(value.isoformat().replace("+00:00", "Z"))


@pytest.mark.usefixtures("model_version")
def test_history_as_csv_and_json_holds_what_its_owner_may_see(signed_in: Client, owner: User, stranger: User) -> None:
    done, failed = submit_drawn(owner, 1, 2)
    submit_drawn(stranger, 3, visibility=Visibility.PUBLIC)
    Patch.objects.filter(pk=done.patch_id).update(original_name='=HYPERLINK("x")')
    answer(done, 0.75)
    fail(failed)
    Prediction.objects.filter(pk=done.pk).update(flags=["blurred", "unlike"])
    model, batch = done.model_version.version, str(Batch.objects.get(owner=owner).uuid)
    response = signed_in.get(reverse("predictions:export-csv"))
    assert response["Content-Disposition"] == 'attachment; filename="idc-history.csv"'
    done.refresh_from_db()
    failed.refresh_from_db()
    sent = stamp(done.patch.created_at)
    assert table(response) == [
        ["name", *PUBLIC_NAMES, "visibility", "batch", "error"],
        ["drawn-2.png", str(failed.uuid), "failed", "", "", "0.5", model, "", "", sent, stamp(failed.finished_at),
         "private", batch, "worker_lost"],
        ["'=HYPERLINK(\"x\")", str(done.uuid), "succeeded", "0.75", "positive", "0.5", model, "blurred unlike", "",
         sent, stamp(done.finished_at), "private", batch, ""],
    ]  # fmt: skip
    rows = json.loads(signed_in.get(reverse("predictions:export-json"), {"status": "succeeded"}).getvalue())
    assert rows == [
        {"name": '=HYPERLINK("x")', "id": str(done.uuid), "status": "succeeded", "probability": 0.75,
         "label": "positive", "threshold": 0.5, "model": model, "flags": "blurred unlike", "reviewers_say": "",
         "created_at": sent, "finished_at": stamp(done.finished_at), "visibility": "private", "batch": batch,
         "error": ""},
    ]  # fmt: skip


@pytest.mark.usefixtures("model_version")
def test_the_gallery_gives_its_public_columns_to_anyone(client: Client, owner: User) -> None:
    shared = answer(submit_drawn(owner, 1, visibility=Visibility.PUBLIC)[0], 0.25)
    answer(submit_drawn(owner, 2)[0])
    head, row = table(client.get(reverse("gallery-csv")))
    assert (head, row[0], len(row)) == (PUBLIC_NAMES, str(shared.uuid), len(PUBLIC_NAMES))
    (only,) = json.loads(client.get(reverse("gallery-json")).getvalue())
    assert list(only) == PUBLIC_NAMES
    assert "drawn-1" not in str(only)


@pytest.mark.usefixtures("model_version")
def test_only_what_is_chosen_of_ones_own_is_in_the_file(signed_in: Client, owner: User, stranger: User) -> None:
    rows = submit_drawn(owner, 1, 2, 3)
    (theirs,) = submit_drawn(stranger, 4, visibility=Visibility.PUBLIC)
    chosen = [str(rows[0].uuid), str(rows[2].uuid), str(theirs.uuid), str(uuid4()), "x\0"]
    found = table(signed_in.get(reverse("predictions:export-csv"), {"selection": "1", "select": chosen}))
    assert [row[1] for row in found[1:]] == [str(rows[2].uuid), str(rows[0].uuid)]
    none = signed_in.get(reverse("predictions:export-csv"), {"selection": "1", "status": "queued"})
    assert (none.status_code, none["Location"]) == (302, "/predictions/?status=queued")
    assert "Tick the patches" in signed_in.get(none["Location"]).content.decode()


@pytest.mark.usefixtures("model_version")
def test_a_filter_that_makes_no_sense_gives_no_file(signed_in: Client, owner: User) -> None:
    refused = signed_in.get(reverse("predictions:export-csv"), {"min_probability": "lots"})
    assert refused.status_code == 302
    assert "One of the filters" in signed_in.get(refused["Location"]).content.decode()


def test_files_need_an_account_where_they_are_ones_own(client: Client, db: None) -> None:
    address = reverse("predictions:export-csv")
    assert client.get(address)["Location"] == f"{reverse('account_login')}?next={address}"


@pytest.mark.usefixtures("model_version")
def test_a_long_file_comes_in_pieces_each_row_once(
    signed_in: Client, owner: User, monkeypatch: pytest.MonkeyPatch, django_assert_max_num_queries: Any
) -> None:
    rows = submit_drawn(owner, *range(12))
    monkeypatch.setattr(exports, "ROWS_READ", 5)
    with django_assert_max_num_queries(6):
        found = table(signed_in.get(reverse("predictions:export-csv")))
    assert [row[1] for row in found[1:]] == [str(row.uuid) for row in reversed(rows)]


@pytest.mark.usefixtures("model_version")
def test_what_is_hidden_meanwhile_is_in_no_later_piece(
    client: Client, owner: User, staff: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [answer(row) for row in submit_drawn(owner, *range(4), visibility=Visibility.PUBLIC)]
    monkeypatch.setattr(exports, "ROWS_READ", 2)
    response: Any = client.get(reverse("gallery-csv"))
    pieces = iter(response.streaming_content)
    first = next(pieces).decode()
    services.hide(patch=rows[0].patch, actor=staff)
    rest = b"".join(pieces).decode()
    assert [str(row.uuid) in first for row in rows] == [False, False, True, True]
    assert [str(row.uuid) in rest for row in rows] == [False, True, False, False]


@pytest.mark.usefixtures("model_version")
def test_too_many_rows_are_refused_and_not_cut_off(
    signed_in: Client, owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit_drawn(owner, 1, 2, 3)
    monkeypatch.setattr(exports, "ROWS_AT_MOST", 2)
    refused = signed_in.get(reverse("predictions:export-csv"))
    assert "A file holds at most 100,000 patches" in signed_in.get(refused["Location"]).content.decode()
    monkeypatch.setattr(exports, "ROWS_AT_MOST", 3)
    assert len(table(signed_in.get(reverse("predictions:export-csv")))) == 4


@pytest.mark.usefixtures("model_version")
def test_few_files_are_made_at_once_and_a_reader_who_goes_leaves_a_place(signed_in: Client, owner: User) -> None:
    submit_drawn(owner, 1)
    address = reverse("predictions:export-csv")
    mine = Patch.objects.filter(owner=owner)
    held: list[Any] = [
        exports.csv_response(HttpRequest(), mine, name="x", is_owners=True) for _ in range(exports.AT_ONCE)
    ]
    refused = signed_in.get(address)
    assert (refused.status_code, refused["Location"]) == (302, "/predictions/")
    assert "Several files are being made" in signed_in.get(refused["Location"]).content.decode()
    for response in held:
        for close in [*response._resource_closers] * 2:  # what the server's close() calls when its reader has gone
            close()
    for _ in range(2 * exports.AT_ONCE):
        assert len(table(signed_in.get(address))) == 2


@given(st.text())
def test_no_cell_begins_like_a_formula(text: str) -> None:
    shown = disarmed(text)
    assert not shown.startswith(FORMULA)
    assert not shown.lstrip().startswith(FORMULA)
    assert shown in (text, f"'{text}")


@given(
    st.lists(
        st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), min_size=2, max_size=2)
    )
)
def test_a_csv_is_read_back_as_it_was_but_for_the_disarming(rows: list[list[str]]) -> None:
    text = b"".join(as_csv([rows], ["a", "b"])).decode()
    head, *found = csv.reader(io.StringIO(text, newline=""))
    assert (head, found) == (["a", "b"], [[disarmed(cell) for cell in row] for row in rows])


@given(st.lists(st.lists(st.lists(st.text() | st.integers() | st.none(), min_size=2, max_size=2), min_size=1)))
def test_json_in_any_pieces_is_one_list(pieces: list[list[list[Any]]]) -> None:
    text = b"".join(chunk for chunk in _encodable(pieces))
    assert json.loads(text) == [dict(zip("ab", row, strict=True)) for rows in pieces for row in rows]


def _encodable(pieces: list[list[list[Any]]]) -> Any:
    return as_json(pieces, ["a", "b"])


def test_numbers_and_nothing_are_left_as_they_are() -> None:
    assert [disarmed(value) for value in (-1.5, None, 0, "")] == [-1.5, None, 0, ""]
