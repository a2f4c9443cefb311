"""API tokens: made, shown once, used, revoked; and how many guesses a stranger has."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.contrib.auth.hashers import check_password
from django.db import connection
from django.db.models.functions import Now
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import ApiToken, Counter, Scope, User
from accounts.tokens import GUESSES_PER_MINUTE, TOKENS_PER_USER, TooManyTokens, count_wrong_guess, create_token
from predictions.services import chores
from tests.factories import make_token, make_user

URL = "/api/v1/predictions/"
FORM = {"name": "my <script>", "scopes": ["read", "predict"], "days": "30"}
WRONG = "idc_" + "0" * 64


def status(token: str) -> int:
    return Client(headers={"Authorization": f"Bearer {token}"}).get(URL).status_code


def test_a_token_is_shown_once_and_stored_as_a_digest(client: Client, owner: User) -> None:
    client.force_login(owner)
    response = client.post(reverse("tokens"), FORM)
    found = re.search(r"idc_[0-9a-f]{64}", response.content.decode())
    assert found
    assert "no-store" in response["Cache-Control"]
    stored = ApiToken.objects.values().get()
    assert all(found[0] not in str(value) for value in stored.values())
    assert (stored["user_id"], stored["name"], stored["scopes"]) == (owner.pk, "my <script>", ["read", "predict"])
    assert abs(stored["expiry"] - timezone.now() - timedelta(days=30)) < timedelta(minutes=1)
    page = client.get(reverse("tokens")).content.decode()
    assert found[0] not in page
    assert "my &lt;script&gt;" in page
    for scope in Scope:  # in the form; what the token opens stands beside it, too
        assert page.count(str(scope.label)) == (2 if scope in FORM["scopes"] else 1)
    assert status(found[0]) == 200


def test_staff_are_told_that_a_token_never_acts_as_staff(client: Client, owner: User, staff: User) -> None:
    for user, is_told in ((owner, False), (staff, True)):
        client.force_login(user)
        assert ("A token never acts as staff" in client.get(reverse("tokens")).content.decode()) == is_told


@pytest.mark.parametrize(
    "wrong", [{"name": ""}, {"name": "x" * 81}, {"scopes": []}, {"scopes": ["admin"]}, {"days": "3650"}, {"days": "x"}]
)
def test_a_form_with_a_mistake_makes_no_token(client: Client, owner: User, wrong: dict[str, object]) -> None:
    client.force_login(owner)
    page = client.post(reverse("tokens"), FORM | wrong).content.decode()
    assert "There is a problem" in page
    assert not ApiToken.objects.exists()


def test_only_the_owner_revokes_and_what_is_revoked_is_refused_at_once(
    client: Client, owner: User, stranger: User
) -> None:
    token, kept = make_token(owner), make_token(owner)
    address = reverse("revoke-token", args=[ApiToken.objects.order_by("created")[0].uuid])
    assert client.post(address)["Location"].startswith(reverse("account_login"))
    client.force_login(stranger)
    assert client.post(address).status_code == 404
    client.force_login(owner)
    assert client.get(address).status_code == 405
    assert client.post(address)["Location"] == reverse("tokens")
    assert client.post(address).status_code == 404
    assert (status(token), status(kept)) == (401, 200)


@pytest.mark.parametrize("path", ["tokens", "account_email", "account_change_password"])
def test_a_token_opens_neither_tokens_nor_the_account(owner: User, path: str) -> None:
    client = Client(headers={"Authorization": f"Bearer {make_token(owner)}"})
    assert client.get(reverse(path))["Location"].startswith(reverse("account_login"))


@pytest.mark.django_db
def test_a_new_password_revokes_every_token_and_a_stronger_hash_none() -> None:
    user = make_user("someone@example.org", password="first-korrekt-9")
    token = make_token(user)

    def rehash(raw: str) -> None:  # as Django does at a login, when a hash is out of date
        user.set_password(raw)
        user._password = None  # type: ignore[attr-defined]  # the stubs leave it out
        user.save(update_fields=["password"])

    assert check_password("first-korrekt-9", user.password, rehash)
    rehash("first-korrekt-9")
    assert status(token) == 200
    client = Client()
    client.post(reverse("account_login"), {"login": user.email, "password": "first-korrekt-9"})
    passwords = {"oldpassword": "first-korrekt-9", "password1": "second-korrekt-9", "password2": "second-korrekt-9"}
    client.post(reverse("account_change_password"), passwords)
    assert status(token) == 401
    assert not ApiToken.objects.exists()


def test_a_token_ends_when_it_expires_or_its_user_is_shut_out(owner: User) -> None:
    token = make_token(owner)
    assert status(token) == 200
    User.objects.update(is_active=False)
    assert status(token) == 401
    User.objects.update(is_active=True)
    ApiToken.objects.update(expiry=Now())
    assert status(token) == 401
    chores.tidy()
    assert not ApiToken.objects.exists()


def test_its_last_use_is_noted_at_most_once_a_minute(
    owner: User, django_assert_num_queries: pytest.FixtureRequest
) -> None:
    token = make_token(owner)
    assert ApiToken.objects.get().last_used_at is None
    status(token)
    first = ApiToken.objects.get().last_used_at
    assert first
    status(token)
    assert ApiToken.objects.get().last_used_at == first
    ApiToken.objects.update(last_used_at=first - timedelta(seconds=61))
    status(token)
    again = ApiToken.objects.get().last_used_at
    assert again
    assert again > first


def test_a_user_has_a_bounded_number_of_tokens(owner: User) -> None:
    for number in range(TOKENS_PER_USER):
        create_token(user=owner, name=str(number), scopes=[Scope.READ])
    with pytest.raises(TooManyTokens):
        create_token(user=owner, name="one more", scopes=[Scope.READ])
    ApiToken.objects.filter(name="3").update(expiry=Now())
    create_token(user=owner, name="one more", scopes=[Scope.READ])
    assert ApiToken.objects.count() == TOKENS_PER_USER


@pytest.mark.django_db(transaction=True)
def test_fifty_parallel_guesses_are_all_counted() -> None:
    def guess(number: int) -> int:
        try:
            return status(WRONG[:-2] + f"{number:02}")
        finally:
            connection.close()

    with ThreadPoolExecutor(16) as pool:
        statuses = sorted(pool.map(guess, range(50)))
    assert statuses == [401] * GUESSES_PER_MINUTE + [429] * (50 - GUESSES_PER_MINUTE)
    refused = Client(headers={"Authorization": "Bearer nonsense"}).get(URL)
    message = "Too many wrong tokens from this address. Expected available in 60 seconds."
    assert (refused.status_code, refused["Retry-After"], refused.json()) == (
        429,
        "60",
        {"error": {"code": "throttled", "message": message}},
    )  # fmt: skip
    assert status(make_token(make_user("someone@example.org"))) == 200


@pytest.mark.django_db
def test_a_minute_later_the_count_begins_anew_and_addresses_do_not_share_it() -> None:
    assert [count_wrong_guess("192.0.2.1") for _ in range(3)] == [1, 2, 3]
    assert count_wrong_guess("2001:db8::1") == 1
    Counter.objects.filter(key="wrong tokens from 192.0.2.1").update(since=timezone.now() - timedelta(seconds=61))
    assert count_wrong_guess("192.0.2.1") == 1
    Counter.objects.update(since=timezone.now() - timedelta(days=2))
    chores.tidy()
    assert not Counter.objects.exists()
