"""Under /api/ every refusal has the one JSON form, whoever gives it: view, REST framework, middleware or Django."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import DatabaseError, IntegrityError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import include, path
from pytest_django import Settings

from accounts.models import ApiToken, User
from accounts.tokens import revoke_token
from tests import pictures
from tests.api.test_predictions_api import URL, Api
from tests.factories import answer, submit_drawn

pytestmark = pytest.mark.usefixtures("model_version")
WEBHOOKS = "/api/v1/webhooks/"


@pytest.fixture
def api(owner: User) -> Api:
    return Api(owner)


def error(response: Any) -> dict[str, str]:
    """The error of an answer that is nothing but one."""
    assert response["Content-Type"] == "application/json"
    body: dict[str, dict[str, str]] = response.json()
    assert set(body) == {"error"}
    assert {"code", "message"} <= set(body["error"]) <= {"code", "message", "field"}
    assert all(isinstance(value, str) and value for value in body["error"].values())
    return body["error"]


@pytest.mark.parametrize(
    ("method", "address", "options", "status", "code"),
    [
        ("post", WEBHOOKS, {"data": b"{", "content_type": "application/json"}, 400, "parse_error"),
        ("post", WEBHOOKS, {"data": b"x", "content_type": "text/plain"}, 415, "unsupported_media_type"),
        ("post", WEBHOOKS, {"data": b"[1]", "content_type": "application/json"}, 400, "invalid"),
        ("post", URL, {"data": b"x", "content_type": "text/plain"}, 415, "unsupported_media_type"),
        ("post", URL, {"data": b"x", "content_type": "multipart/form-data"}, 400, "parse_error"),
        ("put", URL, {}, 405, "method_not_allowed"),
        ("trace", URL, {}, 405, "method_not_allowed"),
        ("post", "/api/schema/", {}, 405, "method_not_allowed"),
        ("post", "/api/docs/", {}, 405, "method_not_allowed"),
        ("get", URL, {"headers": {"Host": "evil.example"}}, 400, "bad_request"),
        ("get", "/api/", {}, 404, "not_found"),
        ("get", "/api/v2/predictions/", {}, 404, "not_found"),
        ("get", URL.rstrip("/"), {}, 404, "not_found"),
        ("post", URL.rstrip("/"), {"data": {"image": "x"}}, 404, "not_found"),
        ("get", "/api/docs", {}, 404, "not_found"),
        ("get", "/api/v1/models/%00/", {}, 400, "bad_request"),
        ("get", f"{URL}7/", {}, 404, "not_found"),
    ],
)
def test_a_wrong_call(api: Api, method: str, address: str, options: Any, status: int, code: str) -> None:
    response = getattr(api.client, method)(address, **options)
    assert (response.status_code, error(response)["code"]) == (status, code)
    assert status != 405 or "GET" in response["Allow"]


@pytest.mark.parametrize(
    "query",
    [
        {"limit": "-1"},
        {"limit": "0"},
        {"limit": "ten"},
        {"limit": ""},
        {"limit": "٣"},
        {"cursor": "x"},
        {"cursor": ""},
        {"cursor": "\0"},
        {"cursor": "AAAA"},
        {"cursor": "bz01"},  # o=5
        {"cursor": "cj0x"},  # r=1
        {"cursor": "cD0tMQ=="},  # p=-1
        {"status": "lost"},
        {"status": ""},
        {"label": "\x00"},
        {"min_probability": "NaN"},
        {"max_probability": "9" * 5000},
        {"since": "yesterday"},
        {"since": "12/11/2026"},
        {"until": "Jan 2 2026"},
        {"until": "99999-01-01"},
    ],
)
def test_a_query_that_makes_no_sense_is_named(api: Api, query: dict[str, str]) -> None:
    response = api.get(**query)
    assert (response.status_code, error(response)["code"], error(response)["field"]) == (400, "invalid", *query)


@pytest.mark.parametrize(
    "query",
    [
        {"limit": str(10**20)},
        {"page": "-1"},
        {"ordering": "owner__password"},
        {"search": "x" * 8000},
        {"format": "7"},
    ],
)
def test_a_query_that_means_nothing_here_changes_nothing(api: Api, owner: User, query: dict[str, str]) -> None:
    submit_drawn(owner, 1, 2)
    assert api.get(**query).json() == api.get().json()


HOSTILE_JSON = {
    "deep": b"[" * 100_000,
    "deep in a field": b'{"model":' + b"[" * 100_000,
    "a lone surrogate": b'{"model": "\\ud800"}',
    "NUL": b'{"model": "a\\u0000b"}',
    "NaN": b'{"model": NaN}',
    "Infinity": b'{"model": -Infinity}',
    "5,000 digits": b'{"model":' + b"9" * 5000 + b"}",
    "a name twice": b'{"model": "other-1", "model": "resnet18-1"}',
    "an infinite number": b'{"model": 1e999}',
    "no object": b"null",
    "a list": b'["resnet18-1"]',
    "no UTF-8": b'{"model": "\xff"}',
    "a list in the field": b'{"model": [{"a": 1}]}',
    "empty": b"",
}


@pytest.mark.parametrize("name", HOSTILE_JSON)
def test_hostile_json(api: Api, owner: User, name: str) -> None:
    prediction = answer(submit_drawn(owner, 1)[0])
    response = api.client.post(f"{URL}{prediction.uuid}/rerun/", HOSTILE_JSON[name], content_type="application/json")
    assert response.status_code == 400
    found = error(response)
    assert found["code"] in ("parse_error", "invalid")
    assert found.get("field") in (None, "model")


@pytest.mark.parametrize("accept", ["image/png", "application/xml", "text/html", "nonsense", "a/" + "b" * 9000])
def test_whatever_is_accepted_each_address_has_its_one_form(api: Api, owner: User, accept: str) -> None:
    (prediction,) = submit_drawn(owner, 1)
    headers = {"Accept": accept}
    assert api.client.get(f"{URL}{prediction.uuid}/image.png", headers=headers)["Content-Type"] == "image/png"
    assert api.client.get(URL, headers=headers)["Content-Type"] == "application/json"
    assert error(api.client.get(f"{URL}{uuid4()}/image.png", headers=headers))["code"] == "not_found"
    assert error(Client().get(URL, headers=headers))["code"] == "not_authenticated"


def test_too_much_and_too_many(api: Api, settings: Settings) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    response = api.client.post(WEBHOOKS, b" " * 2000, content_type="application/json")
    assert (response.status_code, error(response)["code"]) == (413, "too_large")
    settings.DATA_UPLOAD_MAX_NUMBER_FIELDS = 3
    response = api.post(pictures.png(), **{f"field{number}": "x" for number in range(9)})
    told = {"code": "bad_request", "message": "At most 3 fields can be sent at once."}
    assert (response.status_code, error(response)) == (400, told)


def test_a_session_without_the_csrf_token(owner: User) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(owner)
    response = browser.post(URL, {"image": SimpleUploadedFile("a.png", pictures.png())})
    assert (response.status_code, error(response)["code"]) == (403, "permission_denied")


def test_a_revoked_token_and_one_of_10_kb_are_401_and_say_how_to_sign_in(api: Api, owner: User) -> None:
    revoke_token(user=owner, token_id=ApiToken.objects.get().uuid)
    for client in (api.client, Client(headers={"Authorization": "Bearer idc_" + "0" * 10_000})):
        response = client.get(URL)
        assert (response.status_code, error(response)["code"]) == (401, "authentication_failed")
        assert response["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("header", ["Bearer", "Bearer a b", "Bearer idc_", "Bearer " + "idc_" + "0" * 64])
def test_whatever_is_no_token_is_told_in_one_sentence(header: str) -> None:
    response = Client(headers={"Authorization": header}).get(URL)
    message = "This token is unknown, expired or revoked. Make one on the page “API tokens” of the account."
    told = {"code": "authentication_failed", "message": message}
    assert (response.status_code, error(response)) == (401, told)


def test_head_and_options_tell_no_more_than_get(api: Api, owner: User, stranger: User) -> None:
    (prediction,) = submit_drawn(owner, 1)
    address = f"{URL}{prediction.uuid}/"
    head, get = api.client.head(address), api.client.get(address)
    assert (head.status_code, head.content, head["Content-Length"]) == (200, b"", get["Content-Length"])
    assert Api(stranger).client.head(address).status_code == 404
    options = api.client.options(address)
    methods = ["GET", "DELETE", "HEAD", "OPTIONS"]
    assert (options.status_code, options.json(), options["Allow"]) == (200, {"methods": methods}, ", ".join(methods))
    assert Client().options(address).status_code == 401


class Boom:
    """Addresses that fail in every way that a view can."""

    failures = {
        "bug": (RuntimeError("secret"), 500, "server_error"),
        "database": (OperationalError("secret"), 503, "unavailable"),
        "cut_off": (DatabaseError("secret: server closed the connection unexpectedly"), 503, "unavailable"),
        "broken_rule": (IntegrityError("secret"), 500, "server_error"),
        "permission": (PermissionDenied("secret"), 403, "permission_denied"),
        "suspicious": (SuspiciousOperation("secret"), 400, "bad_request"),
    }

    @staticmethod
    def view(request: HttpRequest, kind: str) -> HttpResponse:
        raise Boom.failures[kind][0]


urlpatterns = [path("api/boom/<str:kind>/", Boom.view), path("", include("idc_site.urls"))]
handler400, handler403, handler404, handler500 = (
    f"idc_site.errors.{name}" for name in ("bad_request", "permission_denied", "not_found", "server_error")
)


@pytest.mark.urls(__name__)
@pytest.mark.parametrize("kind", Boom.failures)
def test_a_failure_outside_rest_framework(kind: str) -> None:
    client = Client(raise_request_exception=False)
    response = client.get(f"/api/boom/{kind}/")
    _, status, code = Boom.failures[kind]
    assert (response.status_code, error(response)["code"]) == (status, code)
    assert b"secret" not in response.content
    assert ("Retry-After" in response) == (status == 503)


def test_a_failure_inside_a_view_of_the_api(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **options: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr("predictions.services.used_today", fail)
    api.client.raise_request_exception = False
    response = api.client.get("/api/v1/me/")
    assert (response.status_code, error(response)["code"]) == (500, "server_error")
    assert b"secret" not in response.content
