"""The map of an answer: who may ask, and what is shown until it is there."""

from __future__ import annotations

import io
import threading
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import connection
from django.db.models.functions import Now
from django.test import Client
from django.urls import reverse
from PIL import Image
from redis import Redis

from accounts.models import User
from predictions import services
from predictions.exceptions import NotAnswered
from predictions.models import Event, Explanation, ModelVersion, Prediction, Status, Visibility
from tests.api.test_shared_pictures import NO_MAP
from tests.factories import answer, fail, make_token, submit_drawn

pytestmark = pytest.mark.usefixtures("model_version")
READERS = ("owner", "stranger", "anonymous", "staff")
LEASE = timedelta(seconds=30)
PNG = b"\x89PNG"


@pytest.fixture
def readers(owner: User, stranger: User, staff: User) -> dict[str, User | AnonymousUser]:
    return {"owner": owner, "stranger": stranger, "staff": staff, "anonymous": AnonymousUser()}


@pytest.fixture
def prediction(owner: User) -> Prediction:
    """An answered, public one."""
    return answer(submit_drawn(owner, 1, visibility=Visibility.PUBLIC)[0])


@pytest.fixture
def signed_in(client: Client, owner: User) -> Client:
    client.force_login(owner)
    return client


def client_of(reader: User | AnonymousUser) -> Client:
    client = Client()
    if isinstance(reader, User):
        client.force_login(reader)
    return client


def address(name: str, prediction: Prediction) -> str:
    return reverse(f"predictions:{name}", args=[prediction.uuid])


def put(prediction: Prediction, status: Status, **fields: Any) -> Explanation:
    """A map in this state, without a worker."""
    states: dict[Status, dict[str, Any]] = {
        Status.QUEUED: {},
        Status.RUNNING: {"attempt": 1, "lease_until": Now() + LEASE},
        Status.SUCCEEDED: {"attempt": 1, "png": PNG, "finished_at": Now()},
        Status.FAILED: {"attempt": 3, "error_code": "explanation_failed", "error_message": "No map.",
                        "finished_at": Now()},
    }  # fmt: skip
    return Explanation.objects.create(prediction=prediction, status=status, **states[status] | fields)


# Asking


def test_asking_queues_one_map_and_one_event_however_often(
    owner: User, prediction: Prediction, broker: Redis, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        first = services.explain(prediction=prediction, actor=owner)
        assert (first.status, first.attempt, first.attempt_limit) == ("queued", 0, 3)
        assert services.explain(prediction=prediction, actor=owner) == first
    assert Explanation.objects.get() == first
    assert Event.objects.get(kind="explained").subject == str(prediction.uuid)
    assert broker.llen("idc:predictions") == 1


def test_without_an_answer_there_is_nothing_to_explain(owner: User) -> None:
    waiting, failed = submit_drawn(owner, 1, 2)
    for one in (waiting, fail(failed)):
        with pytest.raises(NotAnswered):
            services.explain(prediction=one, actor=owner)
    assert not Explanation.objects.exists()
    assert not Event.objects.filter(kind="explained").exists()


@pytest.mark.parametrize(
    ("status", "becomes"),
    [
        (Status.QUEUED, ("queued", 0, 3)),
        (Status.RUNNING, ("running", 1, 3)),
        (Status.SUCCEEDED, ("succeeded", 1, 3)),
        (Status.FAILED, ("queued", 3, 6)),
    ],
)
def test_asking_again_changes_a_failed_map_only(
    owner: User, prediction: Prediction, status: Status, becomes: tuple[str, int, int]
) -> None:
    put(prediction, status)
    found = services.explain(prediction=prediction, actor=owner)
    assert (found.status, found.attempt, found.attempt_limit) == becomes
    assert (found.error_code, found.error_message) == ("", "")


@pytest.mark.django_db(transaction=True)
def test_many_who_ask_at_once_get_one_map(owner: User, prediction: Prediction) -> None:
    found: list[int] = []
    start = threading.Barrier(8)

    def ask() -> None:
        start.wait()
        found.append(services.explain(prediction=prediction, actor=owner).pk)
        connection.close()

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [Explanation.objects.get().pk] * 8
    assert Event.objects.filter(kind="explained").count() == 1


# Pages


@pytest.mark.parametrize("reader", READERS)
def test_owner_and_staff_may_ask(reader: str, readers: dict[str, User | AnonymousUser], prediction: Prediction) -> None:
    client, asking = client_of(readers[reader]), address("explain", prediction)
    may = reader in ("owner", "staff")
    assert client.get(asking).status_code == 405
    assert ("Show what mattered" in client.get(prediction.get_absolute_url()).content.decode()) == may
    response = client.post(asking)
    assert Explanation.objects.exists() == may
    if may:
        assert (response.status_code, response["Location"]) == (302, prediction.get_absolute_url())
        assert Event.objects.get(kind="explained").actor == readers[reader]
    elif reader == "anonymous":
        assert response["Location"] == f"{reverse('account_login')}?next={asking}"
    else:
        assert response.status_code == 404


HEATMAP: dict[str, dict[Status | None, int]] = {
    # None: nobody has asked yet.
    "owner": {None: 202, Status.QUEUED: 202, Status.RUNNING: 202, Status.SUCCEEDED: 200, Status.FAILED: 404},
    "staff": {None: 202, Status.QUEUED: 202, Status.RUNNING: 202, Status.SUCCEEDED: 200, Status.FAILED: 404},
    "stranger": {None: 404, Status.QUEUED: 202, Status.RUNNING: 202, Status.SUCCEEDED: 200, Status.FAILED: 404},
    "anonymous": {None: 404, Status.QUEUED: 202, Status.RUNNING: 202, Status.SUCCEEDED: 200, Status.FAILED: 404},
}


@pytest.mark.parametrize("state", [None, *Status])
@pytest.mark.parametrize("reader", READERS)
def test_the_picture_of_a_public_patch(
    reader: str, state: Status | None, readers: dict[str, User | AnonymousUser], prediction: Prediction
) -> None:
    if state:
        put(prediction, state)
    response = client_of(readers[reader]).get(address("heatmap", prediction))
    assert response.status_code == HEATMAP[reader][state]
    assert Explanation.objects.exists() == (state is not None or reader in ("owner", "staff"))
    if response.status_code == 202:
        assert (response["Retry-After"], response["Cache-Control"], response.content) == ("1", "no-store", b"")


@pytest.mark.parametrize("name", ["heatmap", "explanation"])
@pytest.mark.parametrize("reader", READERS)
def test_a_private_map_is_an_unknown_address_to_others(
    name: str, reader: str, readers: dict[str, User | AnonymousUser], prediction: Prediction, owner: User
) -> None:
    put(prediction, Status.SUCCEEDED)
    services.set_visibility(patch=prediction.patch, actor=owner, visibility=Visibility.PRIVATE)
    client = client_of(readers[reader])
    unknown = client.get("/predictions/00000000-0000-4000-8000-000000000000/heatmap.png")
    response = client.get(address(name, prediction))
    if reader in ("owner", "staff"):
        assert response.status_code == 200
    else:
        assert (response.status_code, response.content) == (404, unknown.content)


def test_the_picture_is_shown_by_no_cache_unasked_and_by_no_other_page(
    signed_in: Client, prediction: Prediction, model_version: ModelVersion
) -> None:
    put(prediction, Status.SUCCEEDED)
    first = signed_in.get(address("heatmap", prediction))
    assert (first.content, first["Content-Type"], first["Cache-Control"]) == (PNG, "image/png", "private, no-cache")
    assert first["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert first["X-Model-SHA256"] == model_version.sha256
    again = signed_in.get(address("heatmap", prediction), headers={"If-None-Match": first["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_the_page_polls_until_the_map_is_there_and_then_says_how_to_read_it(
    signed_in: Client, owner: User, prediction: Prediction
) -> None:
    asked = signed_in.post(address("explain", prediction), headers={"HX-Request": "true"}).content.decode()
    part = address("explanation", prediction)
    assert f'hx-get="{part}?look=1" hx-trigger="load delay:500ms"' in asked
    assert "The map is being made." in asked
    assert f'hx-get="{part}?look=1"' in signed_in.get(prediction.get_absolute_url()).content.decode()
    assert 'look=6" hx-trigger="load delay:5000ms"' in signed_in.get(part, {"look": "99"}).content.decode()
    services.drain()
    done = signed_in.get(part).content.decode()
    assert "hx-" not in done
    assert f'src="{address("heatmap", prediction)}"' in done
    assert "This shows where the model looked, not where the cancer is." in done
    assert "Blue stripes: without it, IDC would be more likely." in done
    assert "not where the cancer is" in Client().get(prediction.get_absolute_url()).content.decode()


def test_a_failed_map_says_so_and_can_be_asked_for_again(signed_in: Client, prediction: Prediction) -> None:
    put(prediction, Status.FAILED)
    page = signed_in.get(prediction.get_absolute_url()).content.decode()
    assert "No map." in page
    assert "Show what mattered" in page
    assert "No map." not in Client().get(prediction.get_absolute_url()).content.decode()
    signed_in.post(address("explain", prediction))
    assert Explanation.objects.get().status == Status.QUEUED


def test_asking_too_early_is_refused_with_words(signed_in: Client, owner: User) -> None:
    (waiting,) = submit_drawn(owner, 1)
    page = signed_in.post(address("explain", waiting), follow=True).content.decode()
    assert "There is no answer to explain." in page
    assert "Show what mattered" not in page


# API


def api(user: User) -> Client:
    return Client(headers={"Authorization": f"Bearer {make_token(user)}"})


def heatmap_of(prediction: Prediction) -> str:
    return f"/api/v1/predictions/{prediction.uuid}/heatmap.png"


def test_a_program_asks_and_asks_again_until_the_map_is_there(owner: User, model_version: ModelVersion) -> None:
    (mine,) = submit_drawn(owner, 1)
    client = api(owner)
    for _ in range(2):  # the answer itself is awaited
        response = client.get(heatmap_of(mine))
        assert (response.status_code, response["Retry-After"], response.content) == (202, "1", b"")
        assert "Content-Type" not in response
    assert not Explanation.objects.exists()
    services.drain()
    assert client.get(heatmap_of(mine)).status_code == 202
    assert services.drain() == 1
    response = client.get(heatmap_of(mine))
    assert (response.status_code, response["Content-Type"]) == (200, "image/png")
    assert response["X-Model-SHA256"] == model_version.sha256
    assert Image.open(io.BytesIO(response.content)).size == (400, 400)
    again = client.get(heatmap_of(mine), headers={"If-None-Match": response["ETag"]})
    assert again.status_code == 304


def test_a_program_that_owns_nothing_of_it_sees_the_map_but_does_not_ask(
    stranger: User, prediction: Prediction
) -> None:
    client = api(stranger)
    refused = client.get(heatmap_of(prediction))
    assert (refused.status_code, refused.json()) == (404, NO_MAP)
    assert not Explanation.objects.exists()
    put(prediction, Status.SUCCEEDED)
    assert client.get(heatmap_of(prediction)).content == PNG


def test_a_program_is_told_why_there_will_be_no_map(owner: User, prediction: Prediction) -> None:
    put(prediction, Status.FAILED)
    unanswered = fail(submit_drawn(owner, 2)[0])
    for one, code in ((prediction, "explanation_failed"), (unanswered, "not_answered")):
        response = api(owner).get(heatmap_of(one))
        assert (response.status_code, response.json()["error"]["code"]) == (409, code)
