"""The pictures of what is shared need no token: who reads the gallery over the API sees what its pages show anybody."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.db.models.functions import Now
from django.test import Client
from django.urls import reverse

from accounts.models import Scope, User
from predictions import services
from predictions.models import Explanation, Patch, Prediction, Status, Visibility
from tests.api.test_predictions_api import Api
from tests.factories import answer, make_user, submit_drawn

pytestmark = pytest.mark.usefixtures("model_version")
PICTURES = ("image", "heatmap")
NO_TOKEN = {
    "error": {
        "code": "not_authenticated",
        "message": "Send a token as “Authorization: Bearer idc_…”, from the page “API tokens” of the account.",
    }
}
NO_SCOPE = {
    "error": {
        "code": "permission_denied",
        "message": "This needs a token with the scope “read”. The one that was sent has: predict.",
    }
}
NO_MAP = {"error": {"code": "not_found", "message": "No map of this patch was made. Its owner can ask for one."}}


def address(name: str, prediction: Prediction) -> str:
    return reverse(f"api:{name}", args=[prediction.uuid])


def drawn_for(owner: User, visibility: Visibility = Visibility.PUBLIC, seed: int = 1) -> Prediction:
    """Answered, with its map."""
    prediction = answer(submit_drawn(owner, seed, visibility=visibility)[0])
    done = {"status": Status.SUCCEEDED, "png": b"\x89PNG map", "finished_at": Now()}
    Explanation.objects.create(prediction=prediction, **done)
    return prediction


def told(response: Any) -> tuple[int, Any]:
    return response.status_code, response.json()


@pytest.mark.parametrize("name", PICTURES)
def test_anyone_sees_what_is_shared_with_any_token_or_none(owner: User, stranger: User, name: str) -> None:
    shared = drawn_for(owner)
    callers = (Client(), Api(stranger, Scope.PREDICT).client, Api(stranger).client, Api(owner).client)
    answers = [client.get(address(name, shared)) for client in callers]
    assert {(one.status_code, one["Content-Type"], one["Cache-Control"]) for one in answers} == {
        (200, "image/png", "private, no-cache")
    }
    expected = {"image": bytes(shared.patch.image.png()), "heatmap": b"\x89PNG map"}
    assert {one.content for one in answers} == {expected[name]}
    again = Client().get(address(name, shared), headers={"If-None-Match": answers[0]["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_the_link_of_the_gallery_leads_to_a_picture_without_a_token(owner: User) -> None:
    drawn_for(owner)
    (row,) = Client().get("/api/v1/gallery/").json()["results"]
    assert Client().get(row["image"]).content.startswith(b"\x89PNG")


@pytest.mark.parametrize("name", PICTURES)
def test_what_is_not_shared_is_for_anyone_else_as_what_is_not(owner: User, staff: User, name: str) -> None:
    private, hidden, closed = (
        drawn_for(owner, Visibility.PRIVATE),
        drawn_for(owner, seed=2),
        drawn_for(make_user("c@x.org")),
    )
    services.hide(patch=hidden.patch, actor=staff)
    User.objects.filter(pk=closed.patch.owner_id).update(is_active=False)
    addresses = [*(address(name, one) for one in (private, hidden, closed)), reverse(f"api:{name}", args=[uuid4()])]
    assert [told(Client().get(one)) for one in addresses] == [(401, NO_TOKEN)] * 4
    limited = Api(owner, Scope.PREDICT).client
    assert [told(limited.get(one)) for one in addresses] == [(403, NO_SCOPE)] * 4
    assert {Client().get(one)["WWW-Authenticate"] for one in addresses} == {"Bearer"}


@pytest.mark.parametrize("name", PICTURES)
def test_it_ends_with_the_sharing_for_those_who_have_it_too(owner: User, name: str) -> None:
    shared = drawn_for(owner)
    etag = Client().get(address(name, shared))["ETag"]
    services.set_visibility(patch=shared.patch, actor=owner, visibility=Visibility.PRIVATE)
    assert told(Client().get(address(name, shared), headers={"If-None-Match": etag})) == (401, NO_TOKEN)


def test_a_map_is_shown_to_anyone_and_asked_for_by_its_owner_alone(owner: User) -> None:
    (shared,) = submit_drawn(owner, 1, visibility=Visibility.PUBLIC)
    answer(shared)
    assert told(Client().get(address("heatmap", shared))) == (404, NO_MAP)
    assert not Explanation.objects.exists()


def test_a_token_that_may_not_read_starts_no_map_of_its_owner_either(owner: User) -> None:
    shared = answer(submit_drawn(owner, 1, visibility=Visibility.PUBLIC)[0])
    assert told(Api(owner, Scope.PREDICT).client.get(address("heatmap", shared))) == (404, NO_MAP)
    assert not Explanation.objects.exists()
    assert Api(owner, Scope.READ).client.get(address("heatmap", shared)).status_code == 202


def test_a_wrong_token_is_told_even_there(owner: User) -> None:
    wrong = Client(headers={"Authorization": "Bearer idc_" + "0" * 64})
    assert wrong.get(address("image", drawn_for(owner))).status_code == 401
    assert Patch.objects.count() == 1


@pytest.mark.parametrize("name", ["prediction", "receipt"])
def test_the_rest_of_what_is_shared_needs_a_token_as_before(owner: User, name: str) -> None:
    assert told(Client().get(address(name, drawn_for(owner)))) == (401, NO_TOKEN)
