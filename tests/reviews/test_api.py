"""Reviews over the API: whole bodies, and who may do what with which scope."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.test import Client

from accounts.models import Scope, User
from predictions import services as prediction_services
from predictions.models import Prediction, Visibility
from reviews import services
from reviews.models import Answer, Draw, GroundTruth, Review
from tests.api.test_predictions_api import NOT_FOUND
from tests.factories import make_reviewer, make_token
from tests.reviews.people import answered, asked, say

pytestmark = pytest.mark.usefixtures("model_version")
URL = "/api/v1/reviews/"


def with_token(user: User, *scopes: Scope) -> Client:
    return Client(headers={"Authorization": f"Bearer {make_token(user, *scopes)}"})


@pytest.fixture
def api(reviewer: User) -> Client:
    return with_token(reviewer)


def send(api: Client, method: str, path: str, **body: Any) -> Any:
    return getattr(api, method)(path, body, content_type="application/json")


def moment(time: Any) -> str | None:
    return time.isoformat().replace("+00:00", "Z") if time else None


def as_json(review: Review, **changes: Any) -> dict[str, Any]:
    return {
        "id": str(review.uuid),
        "patch": str(review.patch.uuid),
        "prediction": str(review.prediction.uuid) if review.prediction else None,
        "answer": "positive",
        "first_answer": "positive",
        "comment": "",
        "is_blind": True,
        "created_at": moment(review.created_at),
        "changed_at": moment(review.changed_at),
        "url": f"http://testserver/reviews/mine/{review.uuid}/",
    } | changes


def test_the_queue_gives_the_picture_and_nothing_else_until_the_answer(api: Client, owner: User) -> None:
    (patch,) = answered(owner, 0.8765)
    for _ in range(2):
        response = api.get(f"{URL}next/")
        draw = Draw.objects.get()
        image = f"http://testserver{URL}draws/{draw.uuid}/image.png"
        expected = {"draw": str(draw.uuid), "image": image, "drawn_at": moment(draw.drawn_at)}
        assert (response.status_code, response.json()) == (200, expected)
    picture = api.get(image)
    assert (picture.content, picture["ETag"]) == (patch.image.png(), f'"{draw.uuid}"')
    assert picture["Cache-Control"] == "private, no-cache"
    for _ in range(2):
        response = send(api, "post", URL, draw=str(draw.uuid), answer="positive")
        review = Review.objects.get()
        assert (response.status_code, response.json()) == (201, as_json(review))
        assert response["Location"] == f"http://testserver{URL}{review.uuid}/"
    empty = api.get(f"{URL}next/")
    assert (empty.status_code, empty.content) == (204, b"")


def test_a_skipped_draw_is_not_answered(api: Client, owner: User, reviewer: User) -> None:
    answered(owner, 0.9)
    draw = asked(reviewer)
    for _ in range(2):
        assert send(api, "post", f"{URL}draws/{draw.uuid}/skip/").status_code == 204
    refused = send(api, "post", URL, draw=str(draw.uuid), answer="positive")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "not_open")


def test_a_patch_of_ones_choice_is_reviewed_once_and_is_not_blind(api: Client, owner: User, reviewer: User) -> None:
    (patch,) = answered(owner, 0.9)
    sent = {"patch": str(patch.uuid), "answer": "not_a_patch", "comment": "ink"}
    response = send(api, "post", URL, **sent)
    expected = {"answer": "not_a_patch", "first_answer": "not_a_patch", "comment": "ink", "is_blind": False}
    assert (response.status_code, response.json()) == (201, as_json(Review.objects.get(), **expected))
    refused = send(api, "post", URL, **sent)
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "already_reviewed")
    (own,) = answered(reviewer, 0.9, first_seed=5)
    prediction_services.set_visibility(patch=patch, actor=owner, visibility=Visibility.PRIVATE)
    for unknown in (own.uuid, patch.uuid, uuid4()):
        refused = send(api, "post", URL, patch=str(unknown), answer="positive")
        assert (refused.status_code, refused.json()) == (404, NOT_FOUND)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "answer"),
        ({"answer": "positive"}, "draw"),
        ({"answer": "positive", "draw": str(uuid4()), "patch": str(uuid4())}, "draw"),
        ({"answer": "cancer", "draw": str(uuid4())}, "answer"),
        ({"answer": ["positive"], "draw": str(uuid4())}, "answer"),
        ({"answer": "positive", "draw": "x"}, "draw"),
        ({"answer": "positive", "draw": str(uuid4()), "comment": "x" * 1001}, "comment"),
        ({"answer": "positive", "draw": str(uuid4()), "comment": "a\x00"}, "comment"),
        ({"answer": "positive", "draw": str(uuid4()), "comment": 5}, "comment"),
    ],
)
def test_what_is_wrong_is_named(api: Client, body: dict[str, Any], field: str) -> None:
    response = send(api, "post", URL, **body)
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["field"]) == (400, "invalid", field)


def test_reviews_are_listed_newest_first_read_and_changed(api: Client, owner: User, reviewer: User) -> None:
    answered(owner, *[0.9] * 3)
    first, second, third = (say(reviewer) for _ in range(3))
    page = api.get(URL, {"limit": 2}).json()
    assert (page["results"], page["previous"]) == ([as_json(third), as_json(second)], None)
    assert api.get(page["next"]).json()["results"] == [as_json(first)]
    address = f"{URL}{first.uuid}/"
    assert api.get(address).json() == as_json(first)
    response = send(api, "patch", address, answer="unsure")
    first.refresh_from_db()
    assert first.changed_at
    assert (response.status_code, response.json()) == (200, as_json(first, answer="unsure"))
    assert send(api, "patch", address, comment="late").json() == as_json(
        Review.objects.get(pk=first.pk), answer="unsure", comment="late"
    )
    assert send(api, "patch", address, answer="none").status_code == 400
    assert api.get(URL, {"cursor": "cD1hYmM="}).status_code == 400


def test_one_page_needs_a_fixed_number_of_queries(
    api: Client, owner: User, reviewer: User, django_assert_max_num_queries: Any
) -> None:
    answered(owner, *[0.5] * 20)
    for _ in range(20):
        say(reviewer)
    with django_assert_max_num_queries(5):
        assert len(api.get(URL).json()["results"]) == 20


# Who is answered with success. "read" ... are tokens of the reviewer whose draw and review it is.
CALLERS = ("anonymous", "stranger", "other", "read", "predict", "manage", "session")
ROWS: dict[tuple[str, str], set[str]] = {
    ("get", ""): {"other", "read", "session"},
    ("post", ""): {"manage", "session"},
    ("get", "next/"): {"other", "read", "session"},
    ("get", "draws/{draw}/image.png"): {"read", "session"},
    ("post", "draws/{draw}/skip/"): {"manage", "session"},
    ("get", "{review}/"): {"read", "session"},
    ("patch", "{review}/"): {"manage", "session"},
}


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize(("method", "path"), ROWS)
def test_who_may_call_what(method: str, path: str, caller: str, owner: User, reviewer: User, stranger: User) -> None:
    answered(owner, 0.9, 0.8)
    review, draw = say(reviewer), asked(reviewer)
    client = Client()
    if caller in Scope.values:
        client = with_token(reviewer, Scope(caller))
    elif caller == "session":
        client.force_login(reviewer)
    elif caller != "anonymous":
        client = with_token(stranger if caller == "stranger" else make_reviewer("other@example.org"))
    address = URL + path.format(draw=draw.uuid, review=review.uuid)
    body = {"answer": "negative"} | ({"draw": str(draw.uuid)} if method == "post" else {})
    response = client.get(address) if method == "get" else send(client, method, address, **body)
    if caller in ROWS[method, path]:
        assert response.status_code in (200, 201, 204)
        return
    assert response.status_code == {"anonymous": 401, "other": 404}.get(caller, 403)
    if caller == "other":
        assert response.json() == NOT_FOUND
    if caller == "stranger":
        assert response.json()["error"]["message"] == "This is for reviewers alone: with a token nobody acts as staff."
    review.refresh_from_db()
    draw.refresh_from_db()
    assert (review.answer, draw.outcome) == ("positive", "open")


def test_owners_state_change_and_withdraw_the_truth(owner: User, stranger: User, staff: User) -> None:
    answered(owner, 0.9)
    address = f"/api/v1/predictions/{Prediction.objects.get().uuid}/ground-truth/"
    mine, theirs = with_token(owner), with_token(stranger)
    nothing = {"error": {"code": "not_found", "message": "Nothing is stated of this patch."}}
    assert (mine.get(address).status_code, mine.get(address).json()) == (404, nothing)
    unknown = mine.get(f"/api/v1/predictions/{uuid4()}/ground-truth/")
    assert (unknown.status_code, unknown.json()) == (404, NOT_FOUND)
    for answer in ("positive", "negative"):
        response = send(mine, "put", address, answer=answer, source="biopsy")
        truth = GroundTruth.objects.get()
        shown = {"answer": answer, "created_at": moment(truth.created_at), "changed_at": moment(truth.changed_at)}
        assert (response.status_code, response.json()) == (200, shown | {"source": "biopsy"})
    assert theirs.get(address).json() == shown
    assert with_token(staff).get(address).json() == shown  # a token of theirs sees what anybody does
    session = Client()
    session.force_login(staff)
    assert session.get(address).json() == shown | {"source": "biopsy"}
    for body in ({"answer": "unsure"}, {}, {"answer": "positive", "source": "x" * 201}):
        assert send(mine, "put", address, **body).status_code == 400
    for client in (theirs, with_token(staff)):
        assert send(client, "put", address, answer="positive").json() == NOT_FOUND
        assert client.delete(address).json() == NOT_FOUND
    for _ in range(2):
        assert mine.delete(address).status_code == 204
    assert not GroundTruth.objects.exists()
    assert services.state_truth(patch=Prediction.objects.get().patch, owner=owner, answer=Answer.POSITIVE)
