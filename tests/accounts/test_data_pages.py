"""The page of one's own data, without scripts: what it says before it does anything."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.contrib.auth import get_user
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries, Settings

from accounts import exports
from accounts.forms import PASSWORDS_PER_MINUTE
from accounts.models import Export, Scope, User
from predictions.exceptions import TooManyExports
from predictions.models import Patch
from tests.accounts.own_data import EMAIL, PASSWORD
from tests.factories import make_token, make_user, submit_drawn
from tests.predictions.test_retain import aged

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("model_version")]
HOME, RETENTION, ERASE = "/accounts/data/", "/accounts/data/retention/", "/accounts/data/erase/"


@pytest.fixture
def ada(client: Client) -> User:
    user = make_user(EMAIL, password=PASSWORD)
    client.force_login(user)
    return user


def shown(client: Client, url: str = HOME) -> str:
    return client.get(url).content.decode().partition("<main")[2]


def test_the_pages_are_for_their_owner_and_no_token_opens_them(client: Client, owner: User) -> None:
    bearer = {"Authorization": f"Bearer {make_token(owner, Scope.MANAGE)}"}
    for visitor in (client, Client(headers=bearer)):
        answers = [visitor.get(HOME), visitor.get(ERASE)]
        answers += [visitor.post(url, {"email": owner.email}) for url in (ERASE, RETENTION, reverse("data:ask"))]
        assert all(answer["Location"].startswith(reverse("account_login")) for answer in answers)
    assert User.objects.get().is_active
    assert not Export.objects.exists()


@pytest.mark.usefixtures("ada")
def test_the_account_page_leads_there(client: Client) -> None:
    assert f'href="{HOME}"' in shown(client, reverse("account_email"))


def test_the_page_asks_the_database_little(
    client: Client, ada: User, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    submit_drawn(ada, *range(5))
    Export.objects.bulk_create(
        [Export(owner=ada, status="succeeded", finished_at=ada.date_joined, size=5) for _ in range(9)]
    )
    with django_assert_max_num_queries(4):
        assert shown(client).count("data-export") == 9


def test_a_shorter_time_says_first_how_many_patches_would_go(client: Client, ada: User) -> None:
    for seed, days in enumerate((10, 40, 100)):
        aged(ada, seed, days)
    page = client.post(RETENTION, {"days": "30"}).content.decode()
    assert "<strong>2 patches</strong> are older than 30 days" in page
    assert "Save it and delete them" in page
    assert User.objects.get().private_patches_days is None
    # Confirmed is what was shown, nothing shorter.
    page = client.post(RETENTION, {"days": "30", "confirmed": "90"}).content.decode()
    assert "<strong>2 patches</strong>" in page
    assert client.post(RETENTION, {"days": "30", "confirmed": "30"})["Location"] == HOME
    ada.refresh_from_db()
    assert ada.private_patches_days == 30
    assert Patch.objects.count() == 3  # chores do it, not the page


def test_a_time_that_nothing_is_older_than_is_saved_at_once(client: Client, ada: User) -> None:
    aged(ada, 1, 10)
    for days, saved in (("365", 365), ("", None), ("90", 90)):
        assert client.post(RETENTION, {"days": days})["Location"] == HOME
        ada.refresh_from_db()
        assert ada.private_patches_days == saved
    assert 'value="90"' in shown(client).split("checked")[0].rpartition("<input")[2]


@pytest.mark.usefixtures("ada")
@pytest.mark.parametrize("days", ["31", "-1", "x", "99999999999", "0"])
def test_other_times_are_refused(client: Client, days: str) -> None:
    response = client.post(RETENTION, {"days": days})
    assert response.status_code == 400
    assert "There is a problem" in response.content.decode()
    assert User.objects.get().private_patches_days is None


def test_the_sites_limit_is_said_and_bounds_the_choice(client: Client, ada: User, settings: Settings) -> None:
    assert "never" in shown(client)
    settings.PRIVATE_PATCHES_DAYS = 60
    page = shown(client)
    assert "This site keeps no private patch longer than 60 days." in page
    assert "after 60 days, as this site does" in page
    assert "after 90 days" not in page
    settings.PRIVATE_PATCHES_DAYS = 1
    assert "after 1 day, as this site does" in shown(client)
    settings.PRIVATE_PATCHES_DAYS = 60
    assert client.post(RETENTION, {"days": "90"}).status_code == 400
    me = client.get("/api/v1/me/").json()
    assert (me["private_patches_days"], me["limits"]["private_patches_days"]) == (60, 60)
    client.post(RETENTION, {"days": "30"})
    assert client.get("/api/v1/me/").json()["private_patches_days"] == 30
    assert ada.email == me["email"]


def test_erasing_asks_for_password_and_address(client: Client, ada: User) -> None:
    submit_drawn(ada, 1, 2)
    assert "2 patches disappear" in shown(client, ERASE)
    for given, said in (
        ({"email": "other@example.org", "password": PASSWORD}, "not the address of this account"),
        ({"email": EMAIL, "password": "wrong"}, "not your password"),
        ({"email": EMAIL}, "required"),
    ):
        response = client.post(ERASE, given)
        assert response.status_code == 400
        assert said in response.content.decode()
    ada.refresh_from_db()
    assert ada.is_active
    page = client.post(ERASE, {"email": " ADA@example.org ", "password": PASSWORD}).content.decode()
    assert "Your account is erased" in page
    assert not get_user(client).is_authenticated
    ada.refresh_from_db()
    assert (ada.is_active, ada.email.endswith("@erased.invalid")) == (False, True)


def test_passwords_are_not_guessed_there(client: Client, ada: User) -> None:
    for _ in range(PASSWORDS_PER_MINUTE):
        client.post(ERASE, {"email": EMAIL, "password": "wrong"})
    page = client.post(ERASE, {"email": EMAIL, "password": PASSWORD}).content.decode()
    assert "Too many tries" in page
    ada.refresh_from_db()
    assert ada.is_active


def test_the_last_superuser_is_told_why_not(client: Client) -> None:
    last = make_user("root@example.org", password=PASSWORD, is_superuser=True)
    client.force_login(last)
    response = client.post(ERASE, {"email": last.email, "password": PASSWORD})
    assert response.status_code == 400
    assert "the only superuser of the site" in response.content.decode()
    assert get_user(client) == last


def test_a_download_that_is_refused_again_and_again_says_so_once(client: Client, ada: User) -> None:
    exports.ask_for_export(user=ada)
    assert exports.write_next()
    address = reverse("data:download", args=[Export.objects.get().uuid])
    reader = f"user {ada.pk}"
    exports.PLACES.take(reader)
    try:
        answers = [client.get(address) for _ in range(3)]
    finally:
        exports.PLACES.leave(reader)
    assert [(one.status_code, one["Location"]) for one in answers] == [(302, HOME)] * 3
    page, again = (client.get(HOME).content.decode() for _ in range(2))
    assert (page.count(str(TooManyExports.message)), again.count(str(TooManyExports.message))) == (1, 0)


def test_archives_say_when_they_were_asked_for(client: Client, ada: User) -> None:
    made = exports.ask_for_export(user=ada)
    Export.objects.filter(pk=made.pk).update(queued_at=datetime(2026, 11, 24, 12, 30, tzinfo=UTC))
    assert "<h3> Asked for on Nov. 24, 2026, 12:30 p.m. UTC </h3>" in " ".join(shown(client).split())
