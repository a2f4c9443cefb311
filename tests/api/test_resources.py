"""The API beside predictions themselves: actions, batches, gallery, models, the caller; and who may call what."""

from __future__ import annotations

import csv
import io
from ipaddress import ip_network
from typing import Any
from uuid import uuid4

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db.models.functions import Now
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from accounts.models import ApiToken, Scope, User
from accounts.tokens import create_token
from idc_site import api_urls
from predictions import services
from predictions.models import Batch, Event, ModelVersion, Patch, Prediction, Visibility
from reviews import services as reviews
from reviews.models import Answer
from tests import pictures
from tests.api.test_predictions_api import URL, Api, as_json
from tests.factories import answer, fail, make_token, submit_drawn
from webhooks import services as webhooks
from webhooks.models import Delivery, Webhook

pytestmark = pytest.mark.usefixtures("model_version")
ROOT = "/api/v1/"


@pytest.fixture
def api(owner: User) -> Api:
    return Api(owner)


def post(api: Api, path: str, **body: Any) -> Any:
    return api.client.post(ROOT + path, body, content_type="application/json")


def test_share_and_unshare_take_effect_at_once_and_twice_is_once(api: Api, owner: User) -> None:
    prediction = answer(submit_drawn(owner, 1)[0], 0.25)
    shown = api.get(f"{prediction.uuid}/").json()
    for action, visibility in (("share", "public"), ("share", "public"), ("unshare", "private")):
        response = post(api, f"predictions/{prediction.uuid}/{action}/")
        assert (response.status_code, response.json()) == (200, shown | {"visibility": visibility})
        assert Client().get(f"{ROOT}gallery/").json()["results"] == (
            [response.json()] if visibility == "public" else []
        )
    assert list(Event.objects.filter(actor=owner, kind__in=["shared", "made_private"]).values_list("kind")) == [
        ("shared",),
        ("made_private",),
    ]


def test_a_failed_prediction_is_tried_again_and_no_other(api: Api, owner: User) -> None:
    failed, waiting = submit_drawn(owner, 1, 2)
    fail(failed)
    response = post(api, f"predictions/{failed.uuid}/retry/")
    failed.refresh_from_db()
    assert (response.status_code, response.json()) == (202, as_json(failed))
    assert response["Location"] == f"http://testserver{URL}{failed.uuid}/"
    refused = post(api, f"predictions/{waiting.uuid}/retry/")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "not_retryable")


def test_another_model_is_asked_once(api: Api, owner: User, other_model: ModelVersion) -> None:
    prediction = answer(submit_drawn(owner, 1)[0])
    for _ in range(2):
        response = post(api, f"predictions/{prediction.uuid}/rerun/", model="other-1")
        asked = Prediction.objects.get(model_version=other_model)
        assert (response.status_code, response.json()) == (202, as_json(asked))
        assert response["Location"] == f"http://testserver{URL}{asked.uuid}/"
    assert Prediction.objects.count() == 2


@pytest.mark.parametrize(
    ("prefer", "status", "applied"),
    [
        ("wait=7", 200, "wait=7"),
        ("wait=" + "0" * 5000 + "7", 200, "wait=7"),
        ("wait=9999", 200, "wait=30"),
        ("wait=" + "9" * 5000, 200, "wait=30"),
        ("wait=0", 202, None),
    ],
)
def test_another_models_answer_that_is_there_is_a_200_for_who_would_wait(
    api: Api, owner: User, other_model: ModelVersion, prefer: str, status: int, applied: str | None
) -> None:
    prediction = answer(submit_drawn(owner, 1)[0])
    asked = answer(services.ask(patch=prediction.patch, model_version=other_model, actor=owner))
    api.client.defaults["HTTP_PREFER"] = prefer
    response = post(api, f"predictions/{prediction.uuid}/rerun/", model="other-1")
    assert (response.status_code, response.json()) == (status, api.get(f"{asked.uuid}/").json())
    address = f"http://testserver{URL}{asked.uuid}/"
    assert (response["Location"], response.get("Preference-Applied")) == (address, applied)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "This field is required."),
        ({"model": None}, "This field may not be null."),
        *(
            ({"model": value}, "No model has this version. GET /api/v1/models/ lists those there are.")
            for value in ("none", "", ["other-1"], {"version": "other-1"}, [], {}, 7, True, "x" * 5000)
        ),
    ],
)
def test_what_is_no_model_is_not_asked(api: Api, owner: User, body: dict[str, Any], message: str) -> None:
    card = ModelVersion.objects.get().card
    ModelVersion.objects.create(version="7", sha256="0" * 64, card=card)  # a string in JSON, too
    (prediction,) = submit_drawn(owner, 1)
    refused = post(api, f"predictions/{prediction.uuid}/rerun/", **body)
    error = {"code": "invalid", "message": message, "field": "model"}
    assert (refused.status_code, refused.json()) == (400, {"error": error})
    assert Prediction.objects.count() == 1


def test_another_models_answer_counts_as_a_patch_that_is_sent(
    api: Api, owner: User, other_model: ModelVersion, settings: Settings
) -> None:
    settings.PATCHES_PER_DAY = 3
    first, second = (answer(one) for one in submit_drawn(owner, 1, 2))
    _, secret = create_token(user=owner, name="none", scopes=list(Scope), patches_per_day=0)
    without = Client(headers={"Authorization": f"Bearer {secret}"})

    def ask(prediction: Prediction, client: Client = api.client) -> Any:
        address = f"{URL}{prediction.uuid}/rerun/"
        return client.post(address, {"model": "other-1"}, content_type="application/json")

    def refused(response: Any) -> bool:
        error = response.json()["error"] or {}
        return (response.status_code, error.get("code"), response.get("Retry-After")) == (429, "quota_exceeded", "3600")

    assert refused(ask(first, without))
    assert services.used_today(owner) == 2
    assert ask(first).status_code == 202
    assert services.used_today(owner) == 3
    assert refused(ask(second))
    assert not Prediction.objects.filter(patch=second.patch, model_version=other_model).exists()
    # What is there costs nothing, nor does what staff have asked silently.
    assert (ask(first).status_code, ask(first, without).status_code) == (202, 202)
    services.start_shadow(model_version=other_model)
    services.advance_runs()
    assert ask(second).status_code == 202
    assert services.used_today(owner) == 3


@pytest.fixture
def other_model(model_version: ModelVersion) -> ModelVersion:
    return ModelVersion.objects.create(version="other-1", sha256="0" * 64, card=model_version.card)


def test_a_batch_says_how_far_it_is_and_gives_its_answers_as_csv(api: Api, owner: User) -> None:
    files = (("=1+1.png", pictures.png(seed=1)), ("2.txt", b"text"), ("3.png", pictures.png(seed=3)),
             ("4.png", pictures.png(seed=4)), ("5.png", pictures.png(seed=5)))  # fmt: skip
    sent = api.post(*files)
    batch = Batch.objects.get()
    assert sent["Location"] == f"http://testserver{ROOT}batches/{batch.uuid}/"
    first, third, fourth, fifth = Prediction.objects.order_by("pk")
    answer(first, 0.75)
    fail(third)
    services.withdraw(patch=fourth.patch, actor=owner)
    response = api.client.get(sent["Location"])
    assert response.json() == {
        "id": str(batch.uuid),
        "created_at": batch.created_at.isoformat().replace("+00:00", "Z"),
        "total": 5, "rejected": 1, "deleted": 1, "succeeded": 1, "failed": 1, "waiting": 1, "is_finished": False,
        "url": f"http://testserver/batches/{batch.uuid}/",
        "csv": f"http://testserver{ROOT}batches/{batch.uuid}/predictions.csv",
    }  # fmt: skip
    table = api.client.get(response.json()["csv"])
    assert table["Content-Type"] == "text/csv; charset=utf-8"
    version = first.model_version.version
    assert list(csv.reader(io.StringIO(table.getvalue().decode()))) == [
        ["name", "id", "status", "probability", "label", "threshold", "model", "flags", "error"],
        ["'=1+1.png", str(first.uuid), "succeeded", "0.75", "positive", "0.5", version, "", ""],
        ["2.txt", "", "rejected", "", "", "", "", "", "not_an_image"],
        ["3.png", str(third.uuid), "failed", "", "", "0.5", version, "", "worker_lost"],
        ["4.png", "", "deleted", "", "", "", "", "", ""],
        ["5.png", str(fifth.uuid), "queued", "", "", "0.5", version, "", ""],
    ]


def test_a_long_csv_needs_a_fixed_number_of_queries(api: Api, owner: User, django_assert_max_num_queries: Any) -> None:
    submit_drawn(owner, *range(40))
    with django_assert_max_num_queries(6):
        table = api.client.get(f"{ROOT}batches/{Batch.objects.get().uuid}/predictions.csv")
        assert len(table.getvalue().splitlines()) == 41


def test_models_and_their_cards_need_no_token(model_version: ModelVersion) -> None:
    row = {
        "version": model_version.version,
        "is_active": True,
        "threshold": 0.5,
        "sha256": model_version.sha256,
        "url": f"http://testserver/models/{model_version.version}/",
    }
    assert Client().get(f"{ROOT}models/").json() == {"results": [row]}
    assert Client().get(f"{ROOT}models/{model_version.version}/").json() == row | {"card": model_version.card}
    assert Client().get(f"{ROOT}models/none/").status_code == 404


def test_me_says_what_is_allowed_and_left(api: Api, owner: User, settings: Settings, client: Client) -> None:
    settings.PATCHES_PER_DAY = 3
    submit_drawn(owner, 1, 2)
    token = ApiToken.objects.get()
    expected = {
        "email": "owner@example.org",
        "token": {
            "name": "test",
            "scopes": ["read", "predict", "manage"],
            "expires_at": token.expiry.isoformat().replace("+00:00", "Z"),
            "patches_per_day": None,
        },
        "limits": {
            "image_bytes": 10 * 1024**2,
            "images_per_request": 100,
            "request_bytes": 50 * 1024**2,
            "zip_bytes": 200 * 1024**2,
            "zip_members": 10_000,
            "patches_per_day": 3,
            "reads_per_minute": 6_000,
            "changes_per_minute": 6_000,
            "private_patches_days": None,
        },
        "private_patches_days": None,
        "used_today": 2,
        "left_today": 1,
    }
    assert api.client.get(f"{ROOT}me/").json() == expected
    client.force_login(owner)
    assert client.get(f"{ROOT}me/").json() == expected | {"token": None}


def test_the_gallery_tells_nothing_of_owners(owner: User) -> None:
    prediction = answer(submit_drawn(owner, 1, visibility=Visibility.PUBLIC)[0])
    (row,) = Client().get(f"{ROOT}gallery/").json()["results"]
    assert row["id"] == str(prediction.uuid)
    assert "owner" not in str(row)
    assert prediction.patch.original_name not in str(row)
    assert Client().get(f"{ROOT}gallery/", {"label": "x"}).json()["error"]["field"] == "label"


# Who is answered with success: every address and method, against every kind of caller. The patch is private, or
# public where the name of the row says so. "read" ... are tokens of the owner with this scope alone; "session" is the
# owner's, "staff" a session of staff, "staff_token" a token of theirs, which sees what anybody does.
CALLERS = ("anonymous", "other", "staff", "staff_token", "read", "predict", "manage", "session")
OWNERS = {"session"}
MATRIX: dict[tuple[str, str], set[str]] = {
    ("predictions", "get"): {"other", "staff", "read", "session"},
    ("predictions", "post"): {"other", "staff", "predict", "session"},
    ("prediction", "get"): {"staff", "read", "session"},
    ("prediction", "delete"): {"manage", "session"},
    ("image", "get"): {"staff", "read", "session"},  # and what is shared, anyone: test_shared_pictures.py
    ("heatmap", "get"): {"staff", "read", "session"},
    ("receipt", "get"): {"staff", "read", "session"},
    ("share", "post"): {"manage", "session"},
    ("unshare", "post"): {"manage", "session"},
    ("retry", "post"): {"predict", "session"},
    ("rerun", "post"): {"predict", "session"},
    ("ground-truth", "get"): {"staff", "read", "session"},
    ("ground-truth", "put"): {"manage", "session"},
    ("ground-truth", "delete"): {"manage", "session"},
    # For the role, which staff has; what is one reviewer's is no other's: tests/reviews/test_api.py.
    ("reviews", "get"): {"staff"},
    ("reviews", "post"): {"staff"},
    ("review-next", "get"): {"staff"},
    ("review-image", "get"): {"staff"},
    ("review-skip", "post"): {"staff"},
    ("review", "get"): {"staff"},
    ("review", "patch"): {"staff"},
    ("batch", "get"): {"staff", "read", "session"},
    ("batch-csv", "get"): {"staff", "read", "session"},
    ("gallery", "get"): set(CALLERS),
    ("reports", "post"): {"other", "staff"},
    ("models", "get"): set(CALLERS),
    ("model", "get"): set(CALLERS),
    ("me", "get"): {"other", "staff", "read", "session"},
    ("webhooks", "get"): {"other", "staff", "read", "session"},
    ("webhooks", "post"): {"other", "staff", "manage", "session"},
    ("webhook", "get"): {"read", "session"},
    ("webhook", "patch"): {"manage", "session"},
    ("webhook", "delete"): {"manage", "session"},
    ("webhook-secret", "post"): {"manage", "session"},
    ("webhook-test", "post"): {"manage", "session"},
    ("webhook-deliveries", "get"): {"read", "session"},
    ("webhook-redeliver", "post"): {"manage", "session"},
}
SHARED = {"reports"}  # what others do with a patch that is shared; its owner is told that it is not for them
ROLE = {"reviews", "review-next", "review-image", "review-skip", "review"}  # without it they say 403, not 404
FAILED = {"retry"}  # what these need a prediction to be; the others are given one that is answered


@pytest.fixture
def given_up(owner: User, settings: Settings) -> Delivery:
    """A delivery to a webhook of the owner that can be sent again."""
    settings.WEBHOOK_ALLOWED_NETWORKS = [ip_network("127.0.0.1/32")]
    webhook = webhooks.create_webhook(owner=owner, url="http://127.0.0.1/hook")
    delivery = webhooks.send_test(webhook=webhook, actor=owner)
    Delivery.objects.update(status="failed", error_code="timeout", finished_at=Now())
    return delivery


def test_every_address_of_the_api_is_in_the_matrix() -> None:
    assert {str(pattern.name) for pattern in api_urls.urlpatterns} == {name for name, _ in MATRIX}
    views: dict[str, Any] = {
        str(pattern.name): vars(pattern.callback)["view_class"] for pattern in api_urls.urlpatterns
    }
    methods = ("get", "post", "put", "patch", "delete")
    found = {(name, method) for name, view in views.items() for method in methods if hasattr(view, method)}
    assert set(MATRIX) == found


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize(("name", "method"), MATRIX)
def test_who_may_call_what(
    name: str, method: str, caller: str, owner: User, stranger: User, staff: User, other_model: ModelVersion,
    given_up: Delivery,
) -> None:  # fmt: skip
    (prediction,) = submit_drawn(
        owner, 1, visibility=Visibility.PUBLIC if name in ROLE | SHARED else Visibility.PRIVATE
    )
    fail(prediction) if name in FAILED else answer(prediction)
    reviews.state_truth(patch=prediction.patch, owner=owner, answer=Answer.POSITIVE)
    draw = reviews.next_draws(reviewer=staff)[0] if name in ROLE else None
    review = reviews.answer_draw(draw=draw, reviewer=staff, answer=Answer.UNSURE) if draw and name == "review" else None
    before = (Patch.objects.count(), Prediction.objects.count(), prediction.patch.visibility)
    webhooks_before = (list(Webhook.objects.values()), list(Delivery.objects.values()))
    client = Client()
    if caller in Scope.values:
        client = Client(headers={"Authorization": f"Bearer {make_token(owner, Scope(caller))}"})
    elif caller in ("other", "staff_token"):
        token = make_token(stranger if caller == "other" else staff)
        client = Client(headers={"Authorization": f"Bearer {token}"})
    elif caller in ("session", "staff"):
        client.force_login(owner if caller == "session" else staff)
    subject = {"batch": Batch.objects.get().uuid, "batch-csv": Batch.objects.get().uuid, "model": "other-1",
               **({"review-image": draw.uuid, "review-skip": draw.uuid} if draw else {}),
               **({"review": review.uuid} if review else {})}  # fmt: skip
    whole = {"predictions", "gallery", "models", "me", "reviews", "review-next", "webhooks"}
    more = [given_up.uuid] if name == "webhook-redeliver" else []
    if name.startswith("webhook"):
        subject[name] = given_up.webhook.uuid
    said = {"answer": "positive"}
    bodies: dict[str, dict[str, Any]] = {
        "rerun": {"model": "other-1"}, "ground-truth": said, "review": said, "reports": {"reason": "other"},
        "reviews": said | ({"draw": draw.uuid} if draw else {}),
        "webhooks": {"url": given_up.webhook.url}, "webhook": {"is_active": False},
    }  # fmt: skip
    address = reverse(f"api:{name}", args=[] if name in whole else [subject.get(name, prediction.uuid), *more])
    if (name, method) == ("predictions", "post"):
        response = client.post(address, {"image": SimpleUploadedFile("a.png", pictures.png())})
    elif method in ("post", "put", "patch"):
        response = getattr(client, method)(address, bodies.get(name), content_type="application/json")
    else:
        response = getattr(client, method)(address)
    if caller == "staff_token":
        caller = "other"  # whoever finds a token of staff gets neither their sight nor their part
    if caller in MATRIX[name, method]:
        b"".join(response)  # what is streamed is read, or its place would stay taken
        assert response.status_code in (200, 201, 202, 204)
        return
    not_in_scope = {"anonymous": 401, "read": 403, "predict": 403, "manage": 404 if name in SHARED else 403}
    refusal = not_in_scope.get(caller, 403 if name in ROLE else 404)
    assert (response.status_code, set(response.json())) == (refusal, {"error"})
    prediction.patch.refresh_from_db()
    assert (Patch.objects.count(), Prediction.objects.count(), prediction.patch.visibility) == before
    assert (list(Webhook.objects.values()), list(Delivery.objects.values())) == webhooks_before
    if refusal == 404 and name not in SHARED:
        unknown = reverse(f"api:{name}", args=[uuid4(), *more])
        assert getattr(client, method)(unknown).content == response.content
