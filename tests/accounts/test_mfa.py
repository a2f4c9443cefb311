from __future__ import annotations

import re

import pytest
from allauth.mfa.models import Authenticator
from django.contrib.auth import get_user
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from accounts.models import User
from predictions.models import Batch, Event, Patch
from tests.accounts.second_factor import code_of, set_up_app, shown_secret
from tests.factories import answer, make_token, make_user, submit_drawn

PASSWORD = "korrekt-pferd-9"
LOGIN = {"login": "helper@example.org", "password": PASSWORD}
pytestmark = pytest.mark.django_db


@pytest.fixture
def helper(settings: Settings) -> User:
    """A member of staff, on a site where these need a second factor."""
    settings.STAFF_NEEDS_MFA = True
    return make_user("helper@example.org", password=PASSWORD, is_staff=True, is_superuser=True)


@pytest.fixture
def signed_in(client: Client, helper: User) -> Client:
    client.post(reverse("account_login"), LOGIN)
    assert get_user(client) == helper
    return client


def test_staff_without_a_second_factor_are_led_to_set_one_up_and_then_come_in(signed_in: Client) -> None:
    page = signed_in.get(reverse("admin:index"), follow=True)
    assert page.redirect_chain[-1][0] == reverse("mfa_index")
    assert "Staff need a second step at sign-in." in page.content.decode()
    set_up_app(signed_in, PASSWORD)
    assert signed_in.get(reverse("admin:index")).status_code == 200


def test_staff_without_a_second_factor_see_what_anybody_sees(
    signed_in: Client, helper: User, owner: User, model_version: object
) -> None:
    prediction = answer(submit_drawn(owner, 1)[0])
    assert not Patch.objects.visible_to(helper).exists()
    assert not Batch.objects.visible_to(helper).exists()
    assert not prediction.may_be_explained_to(helper)
    for address in (
        prediction.get_absolute_url(),
        reverse("predictions:image", args=[prediction.uuid]),
        f"/api/v1/predictions/{prediction.uuid}/",
    ):
        assert signed_in.get(address).status_code == 404
    assert not Event.objects.filter(kind="opened").exists()
    set_up_app(signed_in, PASSWORD)
    assert signed_in.get(prediction.get_absolute_url()).status_code == 200
    assert Event.objects.filter(kind="opened", actor=helper).count() == 1


def test_a_session_of_the_password_alone_ends_when_a_second_factor_is_added(
    signed_in: Client, helper: User, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    other = Client()
    other.post(reverse("account_login"), LOGIN)
    assert get_user(other) == helper
    with django_capture_on_commit_callbacks(execute=True):
        set_up_app(signed_in, PASSWORD)
    assert (get_user(signed_in).is_authenticated, get_user(other).is_authenticated) == (True, False)


def test_staff_without_a_second_factor_are_no_reviewers(signed_in: Client, helper: User) -> None:
    assert signed_in.get(reverse("reviews:next")).status_code == 403
    set_up_app(signed_in, PASSWORD)
    assert signed_in.get(reverse("reviews:next")).status_code == 200


@pytest.mark.parametrize("path", ["", "predictions/patch/", "accounts/user/", "jsi18n/", "r/1/1/", "nothing/"])
def test_every_page_of_the_admin_asks_for_the_second_factor(signed_in: Client, path: str) -> None:
    answered = signed_in.get(f"{reverse('admin:index')}{path}")
    assert (answered.status_code, answered["Location"].partition("?")[0]) == (302, reverse("admin:login"))
    assert signed_in.post(reverse("admin:index") + path).status_code == 302


def test_the_token_of_staff_sees_what_anybody_sees(
    client: Client, owner: User, staff: User, model_version: object
) -> None:
    prediction = answer(submit_drawn(owner, 1)[0])
    address = f"/api/v1/predictions/{prediction.uuid}/"
    client.force_login(staff)
    assert client.get(address).status_code == 200
    client.logout()
    assert client.get(address, headers={"Authorization": f"Bearer {make_token(staff)}"}).status_code == 404


def test_login_asks_for_the_code_and_takes_each_once(client: Client, signed_in: Client) -> None:
    secret = set_up_app(signed_in, PASSWORD)
    client.post(reverse("account_logout"))
    code = code_of(secret)
    for sent, is_in in (("000000", False), (code, True)):
        assert client.post(reverse("account_login"), LOGIN)["Location"] == reverse("mfa_authenticate")
        assert not get_user(client).is_authenticated
        client.post(reverse("mfa_authenticate"), {"code": sent})
        assert get_user(client).is_authenticated is is_in
    client.post(reverse("account_logout"))
    client.post(reverse("account_login"), LOGIN)
    client.post(reverse("mfa_authenticate"), {"code": code})
    assert not get_user(client).is_authenticated


def test_a_recovery_code_works_once(client: Client, signed_in: Client) -> None:
    set_up_app(signed_in, PASSWORD)
    page = signed_in.get(reverse("mfa_view_recovery_codes")).content.decode()
    codes = re.findall(r"<li>(\d{8})</li>", page)
    assert len(set(codes)) == 10
    for is_in in (True, False):
        client.post(reverse("account_logout"))
        client.post(reverse("account_login"), LOGIN)
        client.post(reverse("mfa_authenticate"), {"code": codes[3]})
        assert get_user(client).is_authenticated is is_in


def test_guesses_of_codes_are_limited(client: Client, signed_in: Client) -> None:
    secret = set_up_app(signed_in, PASSWORD)
    client.post(reverse("account_logout"))
    client.post(reverse("account_login"), LOGIN)
    for number in range(10):
        client.post(reverse("mfa_authenticate"), {"code": f"{number:06}"})
    client.post(reverse("mfa_authenticate"), {"code": code_of(secret)})
    assert not get_user(client).is_authenticated


def test_what_makes_the_codes_is_not_readable_in_the_database(signed_in: Client, helper: User) -> None:
    secret = set_up_app(signed_in, PASSWORD)
    codes = re.findall(r"<li>(\d{8})</li>", signed_in.get(reverse("mfa_view_recovery_codes")).content.decode())
    stored = str(list(Authenticator.objects.filter(user=helper).values_list("data", flat=True)))
    assert [plain for plain in (secret, *codes) if plain in stored] == []


@pytest.mark.parametrize(
    "name", ["mfa_activate_totp", "mfa_add_webauthn", "mfa_generate_recovery_codes", "mfa_deactivate_totp"]
)
def test_changes_ask_for_the_password_again(client: Client, signed_in: Client, helper: User, name: str) -> None:
    set_up_app(signed_in, PASSWORD)
    if name == "mfa_activate_totp":
        Authenticator.objects.filter(user=helper).delete()
    session = signed_in.session
    session["account_authentication_methods"] = []  # as after the ten minutes for which it counts
    session.save()
    assert signed_in.post(reverse(name))["Location"].startswith(reverse("account_reauthenticate"))


def test_the_admin_takes_no_password_itself(client: Client, helper: User) -> None:
    form = {"username": "helper@example.org", "password": PASSWORD}
    client.post(reverse("admin:login"), form)
    assert not get_user(client).is_authenticated
    client.force_login(make_user("someone@example.org"))
    assert client.post(reverse("admin:login"), form).status_code == 403
    assert get_user(client) != helper


def test_reset_mfa_is_the_way_back(
    client: Client, signed_in: Client, capsys: pytest.CaptureFixture[str], helper: User
) -> None:
    set_up_app(signed_in, PASSWORD)
    call_command("reset_mfa", "Helper@example.org")
    assert "no second factor now (2 removed) and is signed out everywhere" in capsys.readouterr().out
    assert not get_user(client).is_authenticated
    event = Event.objects.get(kind="mfa_reset")
    assert (event.actor, event.subject, event.payload) == (None, f"user {helper.pk}", {})
    assert client.post(reverse("account_login"), LOGIN)["Location"] == reverse("predictions:new")
    with pytest.raises(CommandError, match="Nobody is registered"):
        call_command("reset_mfa", "nobody@example.org")


def test_other_sessions_are_listed_and_ended(signed_in: Client) -> None:
    other = Client(headers={"user-agent": "<b>Another browser</b>"})
    other.post(reverse("account_login"), LOGIN)
    page = signed_in.get(reverse("usersessions_list")).content.decode()
    assert "&lt;b&gt;Another browser&lt;/b&gt;" in page
    signed_in.post(reverse("usersessions_list"))
    assert get_user(signed_in).is_authenticated
    assert not get_user(other).is_authenticated


def test_each_set_up_page_shows_another_secret(signed_in: Client) -> None:
    signed_in.post(reverse("account_reauthenticate"), {"password": PASSWORD, "next": reverse("mfa_index")})
    pages = [signed_in.get(reverse("mfa_activate_totp")) for _ in range(2)]
    assert len({shown_secret(page.content.decode()) for page in pages}) == 2
    assert "data:" not in pages[0].content.decode()  # which the policy would not show


@pytest.mark.parametrize(
    "name",
    ["mfa_index", "mfa_activate_totp", "mfa_deactivate_totp", "mfa_view_recovery_codes", "mfa_reauthenticate",
     "mfa_generate_recovery_codes", "mfa_list_webauthn", "mfa_add_webauthn",
     "usersessions_list"],
)  # fmt: skip
def test_every_page_of_second_factors_is_in_the_house_style(signed_in: Client, name: str) -> None:
    if name != "mfa_activate_totp":
        set_up_app(signed_in, PASSWORD)
    signed_in.post(reverse("account_reauthenticate"), {"password": PASSWORD, "next": reverse("mfa_index")})
    page = signed_in.get(reverse(name), follow=True)
    assert (page.status_code, page.redirect_chain) == (200, [])
    assert '<footer class="site-footer">' in page.content.decode()
