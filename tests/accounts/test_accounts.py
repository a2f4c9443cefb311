from __future__ import annotations

import re

import pytest
from django.contrib.auth import get_user
from django.core import mail
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from accounts.models import ApiToken, User
from tests.factories import make_user

PASSWORD = "korrekt-pferd-9"
SIGN_UP = {"email": "New@Example.org", "password1": PASSWORD}


@pytest.fixture
def with_mail(settings: Settings) -> None:
    """A site that sends mail: Django's test runner keeps it in memory, all else is as in production."""
    settings.MAIL_IS_CONFIGURED = True
    settings.ACCOUNT_EMAIL_VERIFICATION = "mandatory"


def is_signed_in(client: Client) -> bool:
    return get_user(client).is_authenticated


@pytest.mark.django_db
def test_without_mail_signing_up_asks_for_two_fields_and_logs_in_at_once(client: Client) -> None:
    page = client.get(reverse("account_signup")).content.decode()
    fields = set(re.findall(r'name="(\w+)"', page.partition("<main")[2])) - {"csrfmiddlewaretoken"}
    assert fields == {"email", "password1"}
    response = client.post(reverse("account_signup"), SIGN_UP)
    assert response["Location"] == reverse("predictions:new")
    assert is_signed_in(client)
    assert User.objects.get().email == "new@example.org"
    assert mail.outbox == []


@pytest.mark.django_db
@pytest.mark.usefixtures("with_mail")
def test_with_mail_the_address_is_confirmed_first(client: Client) -> None:
    client.post(reverse("account_signup"), SIGN_UP)
    assert not is_signed_in(client)
    assert (len(mail.outbox), mail.outbox[0].to) == (1, ["new@example.org"])
    link = re.search(r"http\S+(/accounts/confirm-email/\S+/)", str(mail.outbox[0].body))
    assert link
    page = client.get(link[1]).content.decode()
    assert "<strong>new@example.org</strong>" in page
    assert not is_signed_in(client)  # a mail scanner that opens the link confirms nothing
    client.post(link[1])
    assert is_signed_in(client)


@pytest.mark.django_db
@pytest.mark.usefixtures("with_mail")
def test_a_forgotten_password_is_reset_by_mail(client: Client) -> None:
    user = make_user("someone@example.org", password="an-old-password-1")
    client.post(reverse("account_reset_password"), {"email": user.email})
    link = re.search(r"http\S+(/accounts/password/reset/key/\S+/)", str(mail.outbox[0].body))
    assert link
    form = client.get(link[1])["Location"]
    response = client.post(form, {"password1": PASSWORD, "password2": PASSWORD})
    assert response["Location"] == reverse("account_reset_password_from_key_done")
    user.refresh_from_db()
    assert user.check_password(PASSWORD)


@pytest.mark.django_db
def test_without_mail_the_reset_page_says_whom_to_ask(client: Client) -> None:
    page = client.get(reverse("account_reset_password")).content.decode()
    assert "This site cannot send mail" in page
    assert "<form" not in page.partition("<main")[2]


@pytest.mark.django_db
def test_login_logout_and_change_of_password(client: Client) -> None:
    make_user("someone@example.org", password="an-old-password-1")
    wrong = client.post(reverse("account_login"), {"login": "someone@example.org", "password": "wrong"})
    assert "This e-mail address and password do not belong together." in wrong.content.decode()
    client.post(reverse("account_login"), {"login": "SOMEONE@example.org", "password": "an-old-password-1"})
    assert is_signed_in(client)
    change = {"oldpassword": "an-old-password-1", "password1": PASSWORD, "password2": PASSWORD}
    client.post(reverse("account_change_password"), change)
    assert User.objects.get().check_password(PASSWORD)
    client.post(reverse("account_logout"))
    assert not is_signed_in(client)


@pytest.mark.django_db
@pytest.mark.parametrize("target", ["//evil.example/", "https://evil.example/", "javascript:alert(1)"])
def test_a_foreign_next_address_is_ignored(client: Client, target: str) -> None:
    make_user("someone@example.org", password=PASSWORD)
    sent = {"login": "someone@example.org", "password": PASSWORD, "next": target}
    assert client.post(reverse("account_login"), sent)["Location"] == reverse("predictions:new")


@pytest.mark.django_db
def test_a_known_address_cannot_sign_up_again(client: Client) -> None:
    make_user("new@example.org")
    client.post(reverse("account_signup"), SIGN_UP)
    assert User.objects.count() == 1
    assert not is_signed_in(client)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "name",
    ["account_login", "account_signup", "account_reset_password", "account_email", "account_change_password",
     "account_logout", "account_reauthenticate", "account_inactive", "account_email_verification_sent",
     "account_reset_password_done", "account_reset_password_from_key_done"],
)  # fmt: skip
def test_every_account_page_is_in_the_house_style(client: Client, name: str) -> None:
    for user in (None, make_user("someone@example.org", password=PASSWORD)):
        if user:
            client.force_login(user)
        response = client.get(reverse(name), follow=True)
        assert response.status_code == 200
        assert '<footer class="site-footer">' in response.content.decode()


@pytest.mark.django_db
def test_without_mail_nobody_can_claim_another_address(client: Client) -> None:
    make_user("other@example.org")
    client.post(reverse("account_signup"), SIGN_UP)
    client.post(reverse("account_email"), {"action_add": "", "email": "other@example.org"})
    page = client.get(reverse("account_email")).content.decode()
    assert "other@example.org" not in page
    assert "Add this address" not in page


@pytest.mark.django_db
def test_create_token_prints_a_token_once_and_stores_a_digest(owner: User, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("create_token", "Owner@example.org", "my script")
    printed = capsys.readouterr().out.strip()
    token = ApiToken.objects.get()
    assert re.fullmatch(r"idc_[0-9a-f]{64}", printed)
    assert (token.name, token.user, token.scopes) == ("my script", owner, ["read", "predict"])
    assert printed not in str(ApiToken.objects.values())
    call_command("create_token", owner.email, "all", "--scopes", "read", "manage")
    assert ApiToken.objects.get(name="all").scopes == ["read", "manage"]


@pytest.mark.django_db
def test_create_token_says_what_is_wrong(owner: User) -> None:
    with pytest.raises(CommandError, match=r"Nobody is registered as nobody@example\.org"):
        call_command("create_token", "nobody@example.org", "x")
    with pytest.raises(CommandError, match="at most 80 characters"):
        call_command("create_token", owner.email, "x" * 81)
    assert not ApiToken.objects.exists()
