"""Files of history and gallery: whole, disarmed, bounded."""

from __future__ import annotations

import csv
import io
import json
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from accounts.models import User
from predictions import exports, services
from predictions.exports import ANONYMOUS, FORMULA, SIGNED_IN, as_csv, as_json, disarmed
from predictions.models import Batch, Patch, Prediction, Visibility
from tests.factories import answer, fail, make_user, submit_drawn

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
         "label": "positive", "threshold": 0.5, "model": model, "flags": ["blurred", "unlike"], "reviewers_say": "",
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
def test_a_reader_who_has_all_or_who_goes_leaves_a_place(signed_in: Client, owner: User) -> None:
    submit_drawn(owner, 1)
    address = reverse("predictions:export-csv")
    held: list[Any] = [signed_in.get(address) for _ in range(SIGNED_IN.each)]
    refused = signed_in.get(address)
    assert (refused.status_code, refused["Location"]) == (302, "/predictions/")
    assert "several files at the moment" in signed_in.get(refused["Location"]).content.decode()
    for response in held:
        for close in [*response._resource_closers] * 2:  # what the server's close() calls when its reader has gone
            close()
    whole = [signed_in.get(address) for _ in range(SIGNED_IN.each)]
    assert [len(table(response)) for response in whole] == [2] * SIGNED_IN.each
    assert len(table(signed_in.get(address))) == 2


@pytest.mark.usefixtures("model_version")
def test_strangers_take_no_place_of_those_who_are_signed_in(client: Client, owner: User, stranger: User) -> None:
    answer(submit_drawn(owner, 1, visibility=Visibility.PUBLIC)[0])
    held = []

    def got_one(user: User | None = None, address: str = "127.0.0.1") -> bool:
        reader = Client(REMOTE_ADDR=address)
        if user:
            reader.force_login(user)
        held.append(reader.get(reverse("gallery-csv")))
        return held[-1].status_code == 200

    addresses = [f"192.0.2.{number // 2}" for number in range(2 * ANONYMOUS.most + 2)]
    assert [got_one(address=one) for one in addresses] == [True, False] * ANONYMOUS.most + [False, False]
    assert [got_one(owner) for _ in range(3)] == [True, True, False]
    assert [got_one(stranger) for _ in range(2)] == [True, False]  # one place was left
    assert not got_one(make_user("one-more@example.org"))


SEPARATORS = ",;\t"
# What decides where cells begin and end, and one sign that does not.
cells = st.text(st.sampled_from(f"{FORMULA}{SEPARATORS} \r\n\"'a"), max_size=8)


@given(st.tuples(cells, cells, cells), st.sampled_from(SEPARATORS))
def test_no_cell_begins_like_a_formula_by_whatever_it_is_separated(written: tuple[str, ...], separator: str) -> None:
    stream = io.StringIO()
    exports.write_rows(stream, [written])
    for row in csv.reader(io.StringIO(stream.getvalue(), newline=""), delimiter=separator):
        assert not [cell for cell in row if cell.lstrip().startswith(tuple(FORMULA))]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("=1", "'=1"), (" ＝1", "' ＝1"), ("\ta", "'\ta"), ("a;=1+1", "a;'=1+1"), ('a; "-1;', "a;' \"-1;"),
        ("a\n@x", "a\n'@x"), ("a-1, =2; b", "a-1, =2; b"), ("O'Hara", "O'Hara"),
    ],
)  # fmt: skip
def test_only_what_would_run_is_disarmed(text: str, shown: str) -> None:
    assert disarmed(text) == shown


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


def test_every_cell_is_in_quotes_and_a_list_is_its_words() -> None:
    assert b"".join(as_csv([[[1, None, ["a", "b"]]]], ["x", "y", "z"])) == b'"x","y","z"\r\n"1","","a b"\r\n'
