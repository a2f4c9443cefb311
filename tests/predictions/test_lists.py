"""Filters, sorts, cursors and counts of gallery, history and API: by what they show."""

from __future__ import annotations

import re
from base64 import b64encode
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db.models import F
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from accounts.models import User
from predictions import counting
from predictions.models import Batch, ModelVersion, Patch, Prediction, Visibility
from predictions.sorting import SORTS
from reviews import services as reviews
from reviews.models import Answer
from tests.factories import answer, fail, make_reviewer, make_token, submit_drawn

pytestmark = pytest.mark.usefixtures("model_version")
HISTORY, GALLERY = "/predictions/", "/gallery/"


@pytest.fixture
def signed_in(client: Client, owner: User) -> Client:
    client.force_login(owner)
    return client


def shown(client: Client, path: str, **query: Any) -> list[str]:
    """The ids of the cards of a page, in their order."""
    page = client.get(path, query)
    assert page.status_code == 200
    return re.findall(r"/predictions/([0-9a-f-]{36})/image", page.content.decode())


def walk(client: Client, path: str, **query: Any) -> list[str]:
    """The ids of all pages of the API, forwards; asserts that the way back shows the same."""
    address: str | None = f"/api/v1{path}"
    pages, data = [], query
    while address:
        page = client.get(address, data).json()
        pages.append([row["id"] for row in page["results"]])
        last, address, data = page, page["next"], {}
    back = [pages[-1]]
    while last["previous"]:
        last = client.get(last["previous"]).json()
        back.append([row["id"] for row in last["results"]])
    assert back == pages[::-1]
    return [one for page in pages for one in page]


def ids(*rows: Prediction) -> list[str]:
    return [str(row.uuid) for row in rows]


@pytest.fixture
def cases(owner: User) -> dict[str, Prediction]:
    """Public patches, and two private ones, of which each differs from the others in something to filter by."""
    names = ("sure", "unsure", "negative", "flagged", "failed", "waiting", "private", "other model")
    rows = dict(zip(names, submit_drawn(owner, *range(len(names)), visibility=Visibility.PUBLIC), strict=True))
    other = ModelVersion.objects.create(version="other-1", sha256="0" * 64, card=ModelVersion.objects.get().card)
    for name, probability in (("sure", 0.95), ("unsure", 0.55), ("negative", 0.1), ("flagged", 0.7), ("private", 0.3),
                              ("other model", 0.2)):  # fmt: skip
        rows[name] = answer(rows[name], probability)
    fail(rows["failed"])
    Prediction.objects.filter(pk=rows["flagged"].pk).update(flags=["blurred"])
    Prediction.objects.filter(pk=rows["other model"].pk).update(model_version=other)
    Patch.objects.filter(pk__in=[rows["private"].patch_id, rows["waiting"].patch_id]).update(visibility="private")
    for name, answers in (("sure", "ppn"), ("unsure", "n"), ("negative", "pn"), ("private", "u")):
        for number, what in enumerate(answers):
            Patch.objects.filter(pk=rows[name].patch_id).update(allows_review=True)
            said = {"p": Answer.POSITIVE, "n": Answer.NEGATIVE, "u": Answer.UNSURE}[what]
            reviewer = make_reviewer(f"r{name[:3]}{number}@example.org")
            reviews.review_patch(patch=rows[name].patch, reviewer=reviewer, answer=said)
    return rows


FILTERS: dict[tuple[tuple[str, str], ...], set[str]] = {
    (("label", "positive"),): {"sure", "unsure", "flagged"},
    (("label", "negative"),): {"negative", "private", "other model"},
    (("min_probability", "0.55"), ("max_probability", "0.7")): {"unsure", "flagged"},
    (("label", "positive"), ("max_probability", "0.6")): {"unsure"},
    (("model", "other-1"),): {"other model"},
    (("reviewed", "yes"),): {"sure", "unsure", "negative", "private"},
    (("reviewed", "no"), ("label", "negative")): {"other model"},
    (("agreed", "same"),): {"sure"},
    (("agreed", "differs"),): {"unsure"},
    (("agreed", "split"),): {"negative"},
    (("agreed", "undecided"),): {"private"},
    (("flagged", "yes"),): {"flagged"},
    (("flagged", "no"), ("label", "positive")): {"sure", "unsure"},
    (("status", "failed"),): {"failed"},
    (("status", "queued"),): {"waiting"},
    (("status", "succeeded"), ("visibility", "private")): {"private"},
}
ONLY_OF_HISTORY = {"flagged", "status", "visibility"}


@pytest.mark.parametrize("query", FILTERS)
def test_a_filter_shows_what_it_says(
    signed_in: Client, owner: User, cases: dict[str, Prediction], query: tuple[tuple[str, str], ...]
) -> None:
    expected = {str(cases[name].uuid) for name in FILTERS[query]}
    assert set(shown(signed_in, HISTORY, **dict(query))) == expected
    api = Client(headers={"Authorization": f"Bearer {make_token(owner)}"})
    assert set(walk(api, HISTORY, **dict(query))) == expected
    if not ONLY_OF_HISTORY & set(dict(query)):
        public = expected - set(ids(cases["private"], cases["flagged"], cases["waiting"], cases["failed"]))
        assert set(shown(Client(), GALLERY, **dict(query))) == public
        assert set(walk(Client(), GALLERY, **dict(query))) == public


def test_dates_are_whole_days_of_utc(signed_in: Client, owner: User) -> None:
    rows = submit_drawn(owner, 1, 2, 3)
    midnight = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    for row, moment in zip(rows, (midnight - timedelta(microseconds=1), midnight, midnight + timedelta(days=1)),
                           strict=True):  # fmt: skip
        Patch.objects.filter(pk=row.patch_id).update(created_at=moment)
    day = midnight.date().isoformat()
    assert shown(signed_in, HISTORY, since=day) == ids(rows[2], rows[1])
    assert shown(signed_in, HISTORY, until=day) == ids(rows[1], rows[0])
    assert shown(signed_in, HISTORY, since=day, until=day) == ids(rows[1])
    assert len(shown(signed_in, HISTORY, until="9999-12-31", since="0001-01-01")) == 3


def test_a_batch_can_be_singled_out_and_each_card_leads_to_its_batch(
    signed_in: Client, owner: User, stranger: User
) -> None:
    (first,), (second,) = submit_drawn(owner, 1), submit_drawn(owner, 2)
    (theirs,) = submit_drawn(stranger, 3, visibility=Visibility.PUBLIC)
    of_first = Batch.objects.get(items__patch=first.patch_id)
    assert shown(signed_in, HISTORY, batch=of_first.uuid) == ids(first)
    assert shown(signed_in, HISTORY, batch=Batch.objects.get(items__patch=theirs.patch_id).uuid) == []
    assert shown(signed_in, HISTORY, batch=uuid4()) == []
    page = signed_in.get(HISTORY).content.decode()
    assert [page.count(reverse("batch", args=[batch.uuid])) for batch in Batch.objects.filter(owner=owner)] == [1, 1]
    assert second


def test_sorts_and_their_ties(signed_in: Client, cases: dict[str, Prediction]) -> None:
    by_name = {name: str(row.uuid) for name, row in cases.items()}
    order = {
        "newest": ["other model", "private", "waiting", "failed", "flagged", "negative", "unsure", "sure"],
        "likely": ["sure", "flagged", "unsure", "private", "other model", "negative"],
        "doubtful": ["unsure", "flagged", "private", "other model", "negative", "sure"],
    }
    order |= {"oldest": order["newest"][::-1], "unlikely": order["likely"][::-1]}
    assert set(order) == set(SORTS)
    for sort, names in order.items():
        assert shown(signed_in, HISTORY, sort=sort) == [by_name[name] for name in names], sort


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("limit", [1, 3, 5])
def test_however_many_are_alike_none_is_shown_twice_or_left_out(owner: User, sort: str, limit: int) -> None:
    rows = submit_drawn(owner, *range(12), visibility=Visibility.PUBLIC)
    for number, row in enumerate(rows):
        answer(row, (0.5, 0.1 + 0.2, 1.0)[number % 3])
    api = Client(headers={"Authorization": f"Bearer {make_token(owner)}"})
    found = walk(api, HISTORY, sort=sort, limit=limit)
    assert sorted(found) == sorted(ids(*rows))
    assert walk(Client(), GALLERY, sort=sort, limit=limit) == found


def test_rows_that_come_and_go_while_one_pages_shift_nothing(owner: User) -> None:
    rows = [answer(row, number / 10) for number, row in enumerate(submit_drawn(owner, *range(6)))]
    api = Client(headers={"Authorization": f"Bearer {make_token(owner)}"})
    first = api.get("/api/v1/predictions/", {"sort": "likely", "limit": "2"}).json()
    Patch.objects.filter(pk=rows[4].patch_id).delete()  # the last of the first page
    answer(submit_drawn(owner, 9)[0], 0.99)
    second = api.get(first["next"]).json()
    assert [row["id"] for row in second["results"]] == ids(rows[3], rows[2])


WORDS = st.sampled_from(["", "0.5", "1e-9", "nan", "inf", "-1", "1e400", "2026-11-24T00:00:00+00:00", "2026-11-24",
                         "9999-12-31T23:59:59+00:00", "0001-01-01T00:00:00+14:00"])  # fmt: skip
OFFSETS = st.integers(-1439, 1439).map(timezone.get_fixed_timezone)  # minutes
TIMES = st.datetimes(timezones=OFFSETS).map(datetime.isoformat)
POSITIONS = st.one_of(
    st.text(max_size=40),
    st.builds(
        lambda key, number: f"{key} {number}", WORDS | TIMES | st.floats().map(repr), st.integers().map(str) | WORDS
    ),
    st.builds(lambda time, number: f"{time} {number}", TIMES, st.integers(0, 9)),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
@given(position=POSITIONS, sort=st.sampled_from([*SORTS, "x\0"]), is_reverse=st.booleans(), is_raw=st.booleans())
@example(position="1970-01-01T00:00:00+23:59 5", sort="newest", is_reverse=False, is_raw=False)
@example(position="1970-01-01T00:00:00+23:59 5", sort="oldest", is_reverse=True, is_raw=False)
@example(position="9998-12-31T23:59:59-23:59 5", sort="newest", is_reverse=False, is_raw=False)
@example(position="0001-01-01T00:00:00+23:59 5", sort="newest", is_reverse=False, is_raw=False)
def test_no_cursor_breaks_a_list(signed_in: Client, position: str, sort: str, is_reverse: bool, is_raw: bool) -> None:
    packed = f"p={position}{'&r=1' if is_reverse else ''}".encode("utf-8", "surrogatepass")
    cursor = position if is_raw else b64encode(packed).decode()
    for path in (HISTORY, GALLERY, "/predictions/export.csv"):
        response = signed_in.get(path, {"cursor": cursor, "sort": sort})
        b"".join(response)  # a file that is not read would keep its place
        assert response.status_code in (200, 302, 404)
    for path in (HISTORY, GALLERY):
        assert signed_in.get(f"/api/v1{path}", {"cursor": cursor, "sort": sort}).status_code in (200, 400)


def test_a_cursor_of_another_sort_is_refused(owner: User) -> None:
    for number, row in enumerate(submit_drawn(owner, *range(3))):
        answer(row, number / 4)
    api = Client(headers={"Authorization": f"Bearer {make_token(owner)}"})
    following = api.get("/api/v1/predictions/", {"limit": 1}).json()["next"]
    refused = api.get(following + "&sort=likely")
    assert (refused.status_code, refused.json()["error"]["field"]) == (400, "cursor")


def test_short_lists_are_counted_and_long_ones_are_not(
    signed_in: Client, owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def said() -> str:
        found = re.search(r'id="counted"[^>]*>(.*?)</p>', signed_in.get(HISTORY).content.decode(), re.DOTALL)
        return " ".join(found[1].split()) if found else ""

    assert said() == ""
    submit_drawn(owner, *range(30))
    assert said() == "30 patches"
    monkeypatch.setattr(counting, "COUNTED", 20)
    assert said() == "more than 20 patches"
    monkeypatch.setattr(counting, "CHEAP", -1)
    assert re.fullmatch(r"about \d+ patches", said())


def test_what_is_set_can_be_taken_away_one_by_one(signed_in: Client, owner: User) -> None:
    submit_drawn(owner, 1)
    query = {"label": "positive", "min_probability": "0.5", "since": "2026-01-02", "sort": "likely", "model": "",
             "cursor": "x"}  # fmt: skip
    page = signed_in.get(HISTORY, {name: value for name, value in query.items() if name != "cursor"}).content.decode()
    chips = re.findall(r'class="chip"\s+href="([^"]*)">.*?</span>\s*(.*?)\s*<span', page, re.DOTALL)
    assert [text for _, text in chips] == [
        "Answer: IDC positive", "Probability from: 0.5", "Order: most likely first", "Sent since: Jan. 2, 2026"
    ]  # fmt: skip
    assert chips[0][0] == "?min_probability=0.5&amp;since=2026-01-02&amp;sort=likely"
    assert "None of your patches matches." in page


def test_history_and_gallery_need_few_queries(
    signed_in: Client, cases: dict[str, Prediction], django_assert_max_num_queries: Any
) -> None:
    for path in (HISTORY, GALLERY):
        for query in ({}, {"label": "positive", "model": "other-1", "sort": "doubtful", "limit": "1"}):
            with django_assert_max_num_queries(8):
                signed_in.get(path, query)


def test_the_gallery_says_what_reviewers_say_and_names_nobody(cases: dict[str, Prediction]) -> None:
    page = Client().get(GALLERY).content.decode()
    tags = re.findall(r'tag-reviewed">\s*(.*?)\s*</span>', page)
    assert tags == ["reviewers are split", "reviewers: no IDC", "reviewers: IDC"]
    assert "@example.org" not in page


def test_what_reviewers_say_follows_a_changed_review(cases: dict[str, Prediction]) -> None:
    from reviews.models import Review

    review = Review.objects.get(patch=cases["unsure"].patch_id)
    assert review.reviewer
    reviews.change_review(review=review, reviewer=review.reviewer, answer=Answer.POSITIVE)
    assert Patch.objects.get(pk=cases["unsure"].patch_id).reviewers_say == "positive"


def test_the_answer_stands_beside_the_patch_whatever_writes_it(owner: User, model_version: ModelVersion) -> None:
    def beside(prediction: Prediction) -> tuple[Any, ...]:
        patch = Patch.objects.get(pk=prediction.patch_id)
        return patch.probability, patch.is_positive, patch.is_flagged, patch.doubt

    first, second = submit_drawn(owner, 1, 2)
    assert beside(first) == (None, None, None, None)
    answer(first, 0.75)
    assert (beside(first), beside(second)) == ((0.75, True, False, 0.25), (None, None, None, None))
    Prediction.objects.filter(pk=first.pk).update(flags=["blurred"], threshold=F("threshold") + 0.375)
    assert beside(first) == (0.75, False, True, 0.125)
    other = ModelVersion.objects.create(version="other-1", sha256="0" * 64, card=model_version.card)
    made = Prediction.objects.create(patch=first.patch, model_version=other, threshold=0.5)
    answer(made, 0.125)
    assert beside(first) == (0.75, False, True, 0.125)  # it is not the current one
    Patch.objects.filter(pk=first.patch_id).update(current_prediction=made)
    assert beside(first) == (0.125, False, False, 0.375)
    made.delete()
    assert beside(first) == (None, None, None, None)


def test_the_fields_beside_the_patch_are_those_of_its_answer_after_a_real_run(owner: User) -> None:
    from predictions import services

    submit_drawn(owner, 1, 2, 3)
    services.drain()
    for patch in Patch.objects.select_related("current_prediction"):
        said = patch.current_prediction
        assert said
        assert said.probability is not None
        assert (patch.probability, patch.is_positive, patch.is_flagged, patch.doubt) == (
            said.probability, said.label == "positive", bool(said.flags), abs(said.probability - said.threshold)
        )  # fmt: skip
