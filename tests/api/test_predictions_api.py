"""The API's answers, whole: nothing more and nothing less than the contract."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client, RequestFactory
from django.test.utils import override_script_prefix
from django.utils import timezone
from pytest_django import Settings
from rest_framework.request import Request
from rest_framework.serializers import Serializer

from accounts.models import ApiToken, Scope, User
from ml.formats import MESSAGES
from predictions import services
from predictions.api.serializers import PredictionSerializer, around_id, serializer_context
from predictions.models import Batch, ModelVersion, Patch, Prediction, Visibility
from tests import pictures
from tests.factories import answer, fail, make_token, submit_drawn
from tests.ml.test_images import REFUSED

pytestmark = pytest.mark.usefixtures("model_version")
URL = "/api/v1/predictions/"
NOT_FOUND = {
    "error": {
        "code": "not_found",
        "message": "There is nothing of this id for you here: it is unknown, deleted or another's.",
    }
}


class Api:
    """A client with a token."""

    def __init__(self, user: User, *scopes: Scope) -> None:
        self.client = Client(headers={"Authorization": f"Bearer {make_token(user, *scopes)}"})

    def post(self, *contents: bytes | tuple[str, bytes], **fields: Any) -> Any:
        pairs = [content if isinstance(content, tuple) else ("patch.png", content) for content in contents]
        return self.client.post(URL, {"image": [SimpleUploadedFile(*pair) for pair in pairs], **fields})

    def get(self, path: str = "", **query: Any) -> Any:
        return self.client.get(URL + path, query)


@pytest.fixture
def api(owner: User) -> Api:
    return Api(owner)


def as_json(prediction: Prediction, **changes: Any) -> dict[str, Any]:
    """A queued prediction as the API gives it."""
    return {
        "id": str(prediction.uuid),
        "patch": str(prediction.patch.uuid),
        "status": "queued",
        "probability": None,
        "label": None,
        "threshold": 0.5,
        "model": prediction.model_version.version,
        "visibility": "private",
        "is_hidden": False,
        "forget": False,
        "pixels_dropped_at": None,
        "image": f"http://testserver/api/v1/predictions/{prediction.uuid}/image.png",
        "notes": [],
        "flags": [],
        "created_at": prediction.queued_at.isoformat().replace("+00:00", "Z"),
        "finished_at": None,
        "error": None,
        "url": f"http://testserver/predictions/{prediction.uuid}/",
    } | changes


def test_one_image_is_accepted(api: Api) -> None:
    response = api.post(pictures.png())
    prediction = Prediction.objects.get()
    assert (response.status_code, response.json()) == (
        202,
        {"batch": str(Batch.objects.get().uuid), "predictions": [as_json(prediction)], "rejected": []},
    )
    assert prediction.patch.source == "api"


def test_good_files_go_on_and_bad_ones_are_named_in_the_order_sent(api: Api) -> None:
    one, three = pictures.png(seed=1), pictures.png(seed=3)
    files = (("1.png", one), ("2.txt", b"text"), ("3.png", three), ("4.png", one))
    response = api.post(*files, visibility="public", um_per_pixel="4")
    first, third = Prediction.objects.order_by("pk")
    shared = [as_json(one, visibility="public") for one in (first, third, first)]
    assert response.json() == {
        "batch": str(Batch.objects.get().uuid),
        "predictions": shared,
        "rejected": [{"name": "2.txt", "code": "not_an_image", "message": MESSAGES["not_an_image"]}],
    }


def test_a_batch_can_be_added_to(api: Api, stranger: User) -> None:
    batch = api.post(pictures.png(seed=1)).json()["batch"]
    assert api.post(pictures.png(seed=2), batch=batch).json()["batch"] == batch
    assert Batch.objects.get().items.count() == 2
    refused = Api(stranger).post(pictures.png(seed=2), batch=batch)
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "not_found")
    assert api.post(pictures.png(seed=2), batch=str(uuid4())).status_code == 404


STATUS = {"too_large": 413, "unsupported_format": 415}


@pytest.mark.parametrize("name", REFUSED)
def test_every_bad_image_is_refused_with_code_and_status(api: Api, name: str) -> None:
    make, code = REFUSED[name]
    response = api.post(("bad.png", make()))
    body = response.json()
    assert (response.status_code, body["error"]["code"]) == (STATUS.get(code, 400), code)
    assert body["rejected"] == [{"name": "bad.png", "code": code, "message": body["error"]["message"]}]
    assert not Patch.objects.exists()


def test_different_reasons_are_a_400_that_lists_them(api: Api) -> None:
    response = api.post(("a.gif", REFUSED["GIF"][0]()), ("b.txt", b"text"))
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "none_accepted"
    assert [file["code"] for file in response.json()["rejected"]] == ["unsupported_format", "not_an_image"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("visibility", "everyone"),
        ("batch", "7"),
        ("um_per_pixel", "-1"),
        ("forget", "perhaps"),
        ("visibility", "pri\x00vate"),
    ],
)
def test_a_bad_field_is_named(api: Api, field: str, value: str) -> None:
    response = api.post(pictures.png(), **{field: value})
    body = response.json()
    assert (response.status_code, set(body), body["error"]["code"], body["error"]["field"]) == (
        400,
        {"error"},
        "invalid",
        field,
    )
    assert not Patch.objects.exists()


def test_a_prediction_once_answered_or_failed(api: Api, owner: User) -> None:
    good, bad = submit_drawn(owner, 1, 2)
    answer(good, 0.5)
    fail(bad)
    for prediction, changes in (
        (good, {"status": "succeeded", "probability": 0.5, "label": "positive"}),
        (bad, {"status": "failed", "error": {"code": "worker_lost", "message": "Lost."}}),
    ):
        assert prediction.finished_at
        finished = prediction.finished_at.isoformat().replace("+00:00", "Z")
        response = api.get(f"{prediction.uuid}/")
        assert response.json() == as_json(prediction, finished_at=finished, **changes)


def test_a_prediction_is_what_the_fields_of_its_schema_give(owner: User, rf: RequestFactory) -> None:
    queued, answered, failed = submit_drawn(owner, 1, 2, 3)
    serializer = PredictionSerializer(context=serializer_context(Request(rf.get("/"))))
    for prediction in (queued, answer(answered, 0.25), fail(failed)):
        prediction.refresh_from_db()
        by_fields = Serializer.to_representation(serializer, prediction)
        assert serializer.to_representation(prediction) == by_fields


def test_the_list_holds_ones_own_newest_first_in_pages(api: Api, owner: User, stranger: User) -> None:
    mine = submit_drawn(owner, *range(5))
    submit_drawn(stranger, 9, visibility=Visibility.PUBLIC)
    first = api.get(limit=3).json()
    assert set(first) == {"results", "next", "previous"}
    assert first["results"] == [as_json(one) for one in (mine[4], mine[3], mine[2])]
    second = api.client.get(first["next"]).json()
    assert ([one["id"] for one in second["results"]], second["next"]) == ([str(mine[1].uuid), str(mine[0].uuid)], None)
    assert api.client.get(second["previous"]).json()["results"] == first["results"]


def test_the_list_can_be_filtered(api: Api, owner: User) -> None:
    answered, waiting = submit_drawn(owner, 1, 2)
    answer(answered)
    assert [one["id"] for one in api.get(status="queued").json()["results"]] == [str(waiting.uuid)]
    refused = api.get(status="lost")
    assert (refused.status_code, refused.json()["error"]["field"]) == (400, "status")
    assert api.get(limit=10**20).status_code == 200


def test_the_image_is_the_stored_png(api: Api, owner: User) -> None:
    (prediction,) = submit_drawn(owner, 1)
    response = api.get(f"{prediction.uuid}/image.png")
    assert (response["Content-Type"], response.content[:4]) == ("image/png", b"\x89PNG")
    assert response["ETag"] == f'"{prediction.patch.sha256}"'
    again = api.client.get(response.request["PATH_INFO"], headers={"If-None-Match": "*"})
    assert (again.status_code, again.content, again["ETag"]) == (304, b"", response["ETag"])


@pytest.mark.parametrize("path", ["", "image.png", "heatmap.png"])
@pytest.mark.parametrize("case", ["unknown", "foreign", "deleted"])
def test_unknown_foreign_and_deleted_are_one_and_the_same(
    api: Api, owner: User, stranger: User, path: str, case: str
) -> None:
    foreign, deleted = submit_drawn(stranger, 1)[0], submit_drawn(owner, 2)[0]
    services.withdraw(patch=deleted.patch, actor=owner)
    ids: dict[str, UUID] = {"unknown": uuid4(), "foreign": foreign.uuid, "deleted": deleted.uuid}
    response = api.get(f"{ids[case]}/{path}")
    assert (response.status_code, response.json()) == (404, NOT_FOUND)
    if not path:
        assert api.client.delete(f"{URL}{ids[case]}/").json() == NOT_FOUND


def test_a_public_patch_of_another_can_be_read_but_not_deleted(api: Api, stranger: User) -> None:
    prediction = answer(submit_drawn(stranger, 1, visibility=Visibility.PUBLIC)[0])
    assert api.get(f"{prediction.uuid}/").status_code == 200
    assert api.client.delete(f"{URL}{prediction.uuid}/").status_code == 404
    assert Patch.objects.count() == 1


def test_a_hidden_patch_says_so_to_its_owner_and_is_unknown_to_others(
    api: Api, owner: User, stranger: User, staff: User
) -> None:
    sent = api.post(pictures.png(), visibility="public").json()["predictions"]
    prediction = Prediction.objects.get()
    services.hide(patch=prediction.patch, actor=staff)
    hidden = as_json(prediction, visibility="public", is_hidden=True)
    assert sent == [hidden | {"is_hidden": False}]
    assert [api.get(f"{prediction.uuid}/").json(), *api.get().json()["results"]] == [hidden, hidden]
    for answered in (Api(stranger).get(f"{prediction.uuid}/"), Client().get(f"/predictions/{prediction.uuid}/")):
        assert answered.status_code == 404
    api.client.delete(f"{URL}{prediction.uuid}/")
    again = api.post(pictures.png(), visibility="public").json()["predictions"]
    assert again == [as_json(Prediction.objects.get(), visibility="public", is_hidden=True)]


def test_delete(api: Api, owner: User) -> None:
    (prediction,) = submit_drawn(owner, 1)
    response = api.client.delete(f"{URL}{prediction.uuid}/")
    assert (response.status_code, response.content) == (204, b"")
    assert not Patch.objects.exists()


SCOPE_TABLE = {
    Scope.READ: {"list", "detail", "image", "heatmap", "receipt"},
    Scope.PREDICT: {"create"},
    Scope.MANAGE: {"delete"},
}


@pytest.mark.parametrize("scope", Scope)
def test_a_scope_opens_what_the_table_says(owner: User, scope: Scope) -> None:
    (prediction,) = submit_drawn(owner, 1)
    answer(prediction)
    limited = Api(owner, scope)
    answers = {
        "list": limited.get(),
        "detail": limited.get(f"{prediction.uuid}/"),
        "image": limited.get(f"{prediction.uuid}/image.png"),
        "heatmap": limited.get(f"{prediction.uuid}/heatmap.png"),
        "receipt": limited.get(f"{prediction.uuid}/receipt/"),
        "create": limited.post(pictures.png()),
        "delete": limited.client.delete(f"{URL}{prediction.uuid}/"),
    }
    assert {name for name, response in answers.items() if response.status_code < 300} == SCOPE_TABLE[scope]
    refused = [response for name, response in answers.items() if name not in SCOPE_TABLE[scope]]
    assert {(response.status_code, response.json()["error"]["code"]) for response in refused} == {
        (403, "permission_denied")
    }


@pytest.mark.parametrize(
    "header",
    [
        None,
        "Bearer",
        "Bearer ",
        "Bearer idc_" + "0" * 64,
        "Bearer idc_" + "g" * 64,
        "Bearer a b",
        "Bearer " + "x" * 10_000,
        "Bearer idc_\xff",
        "Bearer idc_%00" + "0" * 60,
        "Basic dXNlcjpwYXNz",
    ],
)
def test_no_or_a_wrong_token_is_a_401_in_json(db: None, header: str | None) -> None:
    response = Client().get(URL, headers={"Authorization": header} if header is not None else {})
    assert (response.status_code, set(response.json()), response["WWW-Authenticate"]) == (401, {"error"}, "Bearer")


def test_an_expired_token_and_one_of_a_deactivated_user_are_dead(owner: User) -> None:
    api = Api(owner)
    assert api.get().status_code == 200
    ApiToken.objects.update(expiry=timezone.now() - timedelta(seconds=1))
    assert api.get().status_code == 401
    api = Api(owner)
    owner.is_active = False
    owner.save()
    assert api.get().status_code == 401


def test_a_session_needs_the_csrf_token(owner: User) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(owner)
    response = browser.post(URL, {"image": SimpleUploadedFile("a.png", pictures.png())})
    assert (response.status_code, set(response.json())) == (403, {"error"})
    assert not Patch.objects.exists()


def test_the_pages_own_upload_counts_as_web(client: Client, owner: User) -> None:
    client.force_login(owner)
    client.post(URL, {"image": SimpleUploadedFile("a.png", pictures.png())})
    assert Patch.objects.get().source == "web"


def test_refusals_of_services_keep_their_code_and_say_when_to_return(api: Api, settings: Settings) -> None:
    settings.PATCHES_PER_DAY = 1
    response = api.post(pictures.png(seed=1), pictures.png(seed=2))
    assert (response.status_code, response.json()["error"]["code"], response["Retry-After"]) == (
        429,
        "quota_exceeded",
        "3600",
    )
    ModelVersion.objects.update(is_active=False)
    response = api.post(pictures.png())
    assert (response.status_code, response.json()["error"]["code"]) == (503, "no_active_model")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("put", "", 405, "method_not_allowed"),
        ("get", "nothing/", 404, "not_found"),
        ("patch", "", 405, "method_not_allowed"),
    ],
)
def test_wrong_calls_are_answered_in_json(api: Api, method: str, path: str, status: int, code: str) -> None:
    response = getattr(api.client, method)(URL + path)
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)


def test_a_request_too_large_or_with_too_many_files_is_answered_in_json(api: Api, settings: Settings) -> None:
    settings.DATA_UPLOAD_MAX_NUMBER_FILES = 3
    response = api.post(*[pictures.png()] * 4)
    assert (response.status_code, response.json()["error"]["code"]) == (400, "too_many_files")
    settings.REQUEST_MEGABYTES = 1
    response = api.post(bytes(2_000_000))
    assert (response.status_code, response.json()["error"]["code"]) == (413, "too_large")


def test_a_foreign_host_is_refused_in_json(api: Api) -> None:
    response = api.client.get(URL, headers={"Host": "evil.example"})
    assert (response.status_code, response.json()["error"]["code"]) == (400, "bad_request")


def test_lists_need_a_fixed_number_of_queries(api: Api, owner: User, django_assert_max_num_queries: Any) -> None:
    submit_drawn(owner, *range(40))
    with django_assert_max_num_queries(5):
        assert len(api.get(limit=40).json()["results"]) == 40


def test_addresses_follow_the_host_and_the_prefix_of_each_request(rf: RequestFactory, settings: Settings) -> None:
    settings.ALLOWED_HOSTS = ["one.example", "two.example"]
    begins = {}
    for host, prefix in (("one.example", "/"), ("two.example", "/below/"), ("one.example", "/")):
        with override_script_prefix(prefix):
            begins[host, prefix] = around_id("api:image", Request(rf.get("/", headers={"host": host})))
    assert begins == {
        ("one.example", "/"): ("http://one.example/api/v1/predictions/", "/image.png"),
        ("two.example", "/below/"): ("http://two.example/below/api/v1/predictions/", "/image.png"),
    }
