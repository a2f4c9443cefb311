"""What caches and browsers may keep: what is for one person is asked for anew, what shows a secret is never kept."""

from __future__ import annotations

import pytest
from django.contrib.staticfiles.storage import staticfiles_storage
from django.test import Client
from django.urls import reverse

from accounts.models import User
from predictions.models import ModelVersion, Visibility
from tests.accounts.second_factor import set_up_app
from tests.factories import answer, make_token, make_user, submit_drawn

PRIVATE = "private, no-cache"
API = "/api/v1/"
PASSWORD = "heavy-green-ladder"  # of a person in a test


@pytest.fixture
def result(owner: User, model_version: ModelVersion) -> str:
    """The path of a shared answer."""
    return answer(submit_drawn(owner, 1, visibility=Visibility.PUBLIC)[0]).get_absolute_url()


def test_what_a_signed_in_person_gets_is_theirs_alone(client: Client, owner: User, result: str) -> None:
    pages = ["/", "/gallery/", "/models/", "/predictions/", "/predictions/new/", result, "/batches/nothing/",
             f"{API}predictions/", f"{API}me/", f"{API}gallery/", f"{API}nothing/"]  # fmt: skip
    client.force_login(owner)
    assert {path: client.get(path).headers.get("Cache-Control") for path in pages} == dict.fromkeys(pages, PRIVATE)
    assert client.post("/predictions/new/", {"visibility": "odd"})["Cache-Control"] == PRIVATE


def test_what_a_token_gets_is_its_users_alone(client: Client, owner: User, result: str) -> None:
    token = make_token(owner)
    for path, sent, status in (("me/", token, 200), ("gallery/", token, 200), ("me/", "idc_wrong", 401)):
        got = client.get(API + path, headers={"Authorization": f"Bearer {sent}"})
        assert (got.status_code, got["Cache-Control"]) == (status, PRIVATE)


def test_an_answer_that_sets_a_cookie_is_for_one_reader(client: Client, db: None) -> None:
    told = client.get("/gallery/export.csv", {"min_probability": "lots"})
    assert (told.status_code, "messages" in told.cookies, told["Cache-Control"]) == (302, True, PRIVATE)
    assert client.get(told["Location"])["Cache-Control"] == PRIVATE


def test_strangers_pages_say_nothing_but_that_a_session_would_change_them(client: Client, result: str) -> None:
    for path in ("/", "/gallery/", result, f"{API}gallery/"):
        got = client.get(path)
        assert (got.status_code, "Cache-Control" in got, "Cookie" in got["Vary"]) == (200, False, True), path


def test_what_says_itself_how_long_it_is_kept_is_left_alone(
    client: Client, owner: User, result: str, model_version: ModelVersion
) -> None:
    client.force_login(owner)
    for path, kept in (
        ("/examples/0.png", "public, max-age=86400"),
        (f"/models/{model_version.version}/card.json", "public, max-age=3600"),
        (f"{result}image/", PRIVATE),
        (staticfiles_storage.url("css/base.css"), "max-age=315360000, public, immutable"),
        (reverse("tokens"), "max-age=0, no-cache, no-store, must-revalidate, private"),
    ):
        got = client.get(path)
        got.getvalue()  # closes a file
        assert got["Cache-Control"] == kept, path


def test_pages_of_second_factors_that_show_secrets_are_never_kept(client: Client, db: None) -> None:
    client.force_login(make_user("ada@example.org", password=PASSWORD))
    address = reverse("mfa_activate_totp")
    client.post(reverse("account_reauthenticate"), {"password": PASSWORD, "next": address})
    assert "no-store" in client.get(address)["Cache-Control"]
    set_up_app(client, PASSWORD)
    for name in ("mfa_view_recovery_codes", "mfa_download_recovery_codes"):
        codes = client.get(reverse(name))
        assert (codes.status_code, "no-store" in codes["Cache-Control"]) == (200, True), name
