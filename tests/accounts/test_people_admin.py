"""Accounts in the admin: what staff may do to other people, each through a service and with an event."""

from __future__ import annotations

import pytest
from django.contrib.auth import get_user
from django.contrib.auth.models import Group, Permission
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries, Settings

from accounts import people
from accounts.models import REVIEWERS, ApiToken, User
from predictions import services
from predictions.exceptions import QuotaExceeded
from predictions.models import Event
from tests.factories import make_token, make_user, submit_drawn

pytestmark = pytest.mark.django_db
USERS, TOKENS = "accounts_user", "accounts_apitoken"


def act(client: Client, model: str, action: str, *keys: object, confirmed: bool = True) -> str:
    sent = {"action": action, "_selected_action": [str(key) for key in keys]}
    address = reverse(f"admin:{model}_changelist")
    return client.post(address, sent | ({"confirmed": "yes"} if confirmed else {}), follow=True).content.decode()


def events(actor: User) -> list[tuple[str, str]]:
    return list(Event.objects.filter(actor=actor).order_by("pk").values_list("kind", "subject"))


@pytest.fixture
def signed_in(client: Client, staff: User) -> Client:
    client.force_login(staff)
    return client


@pytest.fixture
def helper(db: None) -> User:
    """A member of staff who may look at users and tokens, and change them."""
    helper = make_user("helper@example.org", is_staff=True)
    names = ["view_user", "change_user", "view_apitoken", "change_apitoken"]
    helper.user_permissions.set(Permission.objects.filter(codename__in=names))
    return helper


def form_of(user: User, **values: object) -> dict[str, object]:
    roles = {name: "on" for name in ("is_staff", "is_superuser") if getattr(user, name)}
    return {"patches_per_day": "", "groups": [], "user_permissions": [], **roles, **values}


def test_a_closed_account_is_out_at_once_and_stays_out_of_what_it_had(signed_in: Client, staff: User) -> None:
    someone = make_user("someone@example.org", password="korrekt-pferd-9")
    theirs, token = Client(), make_token(someone)
    theirs.post(reverse("account_login"), {"login": someone.email, "password": "korrekt-pferd-9"})
    asked = act(signed_in, USERS, "close", someone.pk, confirmed=False)
    assert "These people are signed out" in asked
    assert someone.email in asked
    assert get_user(theirs).is_authenticated
    for _ in range(2):
        act(signed_in, USERS, "close", someone.pk)
    assert not get_user(theirs).is_authenticated
    act(signed_in, USERS, "open_again", someone.pk)
    assert not get_user(theirs).is_authenticated
    assert theirs.get("/api/v1/me/", headers={"Authorization": f"Bearer {token}"}).status_code == 401
    assert events(staff) == [("user_closed", f"user {someone.pk}"), ("user_opened", f"user {someone.pk}")]


def test_nobody_closes_their_own_account_nor_helpers_that_of_staff(client: Client, helper: User, staff: User) -> None:
    client.force_login(helper)
    assert "Only a superuser changes the account of staff" in act(client, USERS, "close", helper.pk, staff.pk)
    assert User.objects.filter(is_active=True).count() == 2
    assert events(helper) == []


def test_a_quota_of_ones_own_is_kept_at_every_door(
    signed_in: Client, staff: User, owner: User, model_version: object
) -> None:
    address = reverse(f"admin:{USERS}_change", args=[owner.pk])
    for number, left in (("2", 2), ("0", 0), ("", 20_000)):
        assert signed_in.post(address, form_of(owner, patches_per_day=number)).status_code == 302
        owner.refresh_from_db()
        assert services.left_today(owner) == left
        theirs = Client()
        theirs.force_login(owner)
        me = theirs.get("/api/v1/me/").json()
        assert (me["limits"]["patches_per_day"], me["left_today"]) == (left, left)
        assert f"{left:,} patches a day" in theirs.get(reverse("predictions:new")).content.decode()
    kinds = list(Event.objects.filter(actor=staff).order_by("pk").values_list("kind", "payload"))
    assert kinds == [("quota_set", {"patches_per_day": number}) for number in (2, 0, None)]
    people.set_quota(user=owner, actor=staff, patches_per_day=2)
    submit_drawn(owner, 1, 2)
    with pytest.raises(QuotaExceeded):
        submit_drawn(owner, 3)


def test_a_quota_may_be_more_than_what_everybody_has(
    owner: User, staff: User, settings: Settings, model_version: object
) -> None:
    settings.PATCHES_PER_DAY = 1
    people.set_quota(user=owner, actor=staff, patches_per_day=2)
    assert len(submit_drawn(owner, 1, 2)) == 2


def test_the_only_superuser_stays_one(signed_in: Client, staff: User) -> None:
    address = reverse(f"admin:{USERS}_change", args=[staff.pk])
    page = signed_in.post(address, form_of(staff, is_superuser=""), follow=True).content.decode()
    staff.refresh_from_db()
    assert ("only superuser" in page, staff.is_superuser) == (True, True)


def test_superusers_give_roles_and_an_event_names_them(signed_in: Client, staff: User, owner: User) -> None:
    # tests/test_migrations.py sees to the group's being there; tests with transactions of their own empty all tables.
    group, _ = Group.objects.get_or_create(name=REVIEWERS)
    permission = Permission.objects.get(codename="view_patch")
    address = reverse(f"admin:{USERS}_change", args=[owner.pk])
    sent = form_of(owner, is_staff="on", groups=[group.pk], user_permissions=[permission.pk], email="other@example.org")
    for _ in range(2):
        assert signed_in.post(address, sent).status_code == 302
    owner = User.objects.get(pk=owner.pk)
    assert (owner.email, owner.is_staff, owner.is_superuser) == ("owner@example.org", True, False)
    assert (list(owner.groups.all()), list(owner.user_permissions.all())) == ([group], [permission])
    event = Event.objects.get(actor=staff)
    assert (event.kind, event.subject) == ("roles_set", f"user {owner.pk}")
    assert event.payload == {"is_staff": True, "groups": ["reviewers"], "permissions": ["view_patch"]}


def test_helpers_set_quotas_and_no_roles(client: Client, helper: User, owner: User) -> None:
    client.force_login(helper)
    address = reverse(f"admin:{USERS}_change", args=[owner.pk])
    client.post(address, form_of(owner, patches_per_day="7", is_staff="on", is_superuser="on", is_active=""))
    owner.refresh_from_db()
    assert (owner.patches_per_day, owner.is_staff, owner.is_superuser, owner.is_active) == (7, False, False, True)
    assert 'value="remove_second_factors"' not in client.get(reverse(f"admin:{USERS}_changelist")).content.decode()


def test_tokens_are_listed_without_digest_and_revoked(client: Client, helper: User, owner: User) -> None:
    text = make_token(owner)
    token = ApiToken.objects.get()
    make_token(owner)
    client.force_login(helper)
    page = client.get(reverse(f"admin:{TOKENS}_changelist")).content.decode()
    assert (owner.email in page, str(token.uuid) in page) == (True, True)
    assert [secret for secret in (text, token.digest, token.token_key) if secret in page] == []
    for view in ("change", "history", "delete"):
        answered = client.get(reverse(f"admin:{TOKENS}_{view}", args=[token.pk]))
        assert answered.status_code in (403, 404)
    for _ in range(2):
        act(client, TOKENS, "revoke", token.uuid, "nonsense")
    assert ApiToken.objects.count() == 1
    assert events(helper) == [("token_revoked", f"token {token.uuid}")]


def test_staff_who_may_only_look_change_nothing(client: Client, owner: User) -> None:
    looker = make_user("looker@example.org", is_staff=True)
    looker.user_permissions.set(Permission.objects.filter(codename__in=["view_user", "view_apitoken"]))
    make_token(owner)
    token = ApiToken.objects.get()
    client.force_login(looker)
    assert client.get(reverse(f"admin:{USERS}_changelist")).status_code == 200
    assert client.post(reverse(f"admin:{USERS}_change", args=[owner.pk]), form_of(owner)).status_code == 403
    for action in ("close", "open_again", "remove_second_factors"):
        act(client, USERS, action, owner.pk)
    act(client, TOKENS, "revoke", token.uuid)
    owner.refresh_from_db()
    assert (owner.is_active, ApiToken.objects.count(), Event.objects.filter(actor=looker).count()) == (True, 1, 0)


def test_the_list_of_users_costs_the_same_for_one_and_for_many(
    signed_in: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(30):
        make_token(make_user(f"user-{number}@example.org"))
    for model in (USERS, TOKENS):
        with django_assert_max_num_queries(9):
            assert signed_in.get(reverse(f"admin:{model}_changelist")).status_code == 200


def test_second_factors_sessions_and_addresses_are_not_in_the_admin(signed_in: Client) -> None:
    for address in ("mfa/authenticator/", "usersessions/usersession/", "account/emailaddress/", "auth/group/"):
        assert signed_in.get(f"{reverse('admin:index')}{address}").status_code == 404


def test_the_password_is_changed_at_the_accounts_own_page(signed_in: Client) -> None:
    assert signed_in.get(reverse("admin:password_change"))["Location"] == reverse("account_change_password")
