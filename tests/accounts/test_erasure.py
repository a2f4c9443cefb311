"""Erasing: at once for everybody's eyes, then every row, and nobody else's."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from allauth.account.models import EmailAddress
from django.apps import apps
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth import get_user
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.models import Session
from django.core.management import CommandError, call_command
from django.db import connection, models, transaction
from django.test import Client
from django.urls import reverse

from accounts import erasure
from accounts.erasure import erase, relations, remove_some
from accounts.models import Counter, User
from accounts.people import LastSuperuser
from predictions.exceptions import AccountClosed
from predictions.models import Barred, Event, Patch, PatchImage, Prediction, Visibility
from reviews.models import Draw, Review
from tests.accounts.own_data import EMAIL, NAME, PASSWORD, full_account, tables_that_hold
from tests.factories import answer, make_token, make_user, submit_drawn
from tests.processes import PATIENCE, somebody_waits_for_a_row, wait_for

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("model_version")]
DELETED, ANONYMOUS = "deleted", "anonymous"
# What becomes of each row that points to somebody who is erased. A new relation must be added here, and a row of it
# to tests/accounts/own_data.py.
OUTCOMES = {
    "account.EmailAddress.user": DELETED,
    "accounts.ApiToken.user": DELETED,
    "accounts.Export.owner": DELETED,
    "accounts.User_groups.user": DELETED,
    "accounts.User_user_permissions.user": DELETED,
    "admin.LogEntry.user": DELETED,
    "mfa.Authenticator.user": DELETED,
    "predictions.Barred.owner": DELETED,
    "predictions.Batch.owner": DELETED,
    "predictions.Event.actor": ANONYMOUS,
    "predictions.IdempotencyKey.owner": DELETED,
    "predictions.Patch.owner": DELETED,
    "predictions.Patch.hidden_by": ANONYMOUS,
    "predictions.Patch.admitted_by": ANONYMOUS,
    "predictions.Run.requested_by": ANONYMOUS,
    "predictions.Usage.owner": DELETED,
    "reviews.Draw.reviewer": ANONYMOUS,
    "reviews.Report.reporter": ANONYMOUS,
    "reviews.Report.settled_by": ANONYMOUS,
    "reviews.Review.reviewer": ANONYMOUS,
    "usersessions.UserSession.user": DELETED,
    "webhooks.Webhook.owner": DELETED,
}


def remove_all() -> int:
    steps = 0
    while remove_some():
        steps += 1
    return steps


def rows_of(user: User) -> Iterator[tuple[str, models.Model, str, list[int]]]:
    """Each relation to a user: its name, its model, its field, and the keys of the rows of this user."""
    for model in apps.get_models(include_auto_created=True):
        for field in model._meta.concrete_fields:
            if field.related_model is User:
                keys = list(model._base_manager.filter(**{field.name: user}).values_list("pk", flat=True))
                yield f"{model._meta.label}.{field.name}", model, field.name, keys  # type: ignore[misc]  # a class


def test_every_row_that_points_to_somebody_has_a_fate() -> None:
    ada = full_account()
    before = {name: (model, field, keys) for name, model, field, keys in rows_of(ada)}
    assert set(before) == set(OUTCOMES)
    assert [name for name, (_, _, keys) in before.items() if not keys] == []
    erase(user=ada)
    remove_all()
    assert not User.objects.filter(pk=ada.pk).exists()
    for name, (model, field, keys) in before.items():
        left = model._base_manager.filter(pk__in=keys)  # type: ignore[attr-defined]  # of a class
        if OUTCOMES[name] == DELETED:
            assert not left.exists(), name
        else:
            assert set(left.values_list(field, flat=True)) == {None}, name


def test_what_is_erased_is_what_the_database_says_of_relations() -> None:
    """A relation of another kind than the two would stop the erasure half-way."""
    assert {f"{one.related_model._meta.label}.{one.field.name}" for one in relations()} == set(OUTCOMES)
    kinds: dict[object, str] = {models.CASCADE: DELETED, models.SET_NULL: ANONYMOUS}
    for one in relations():
        assert kinds[one.on_delete] == OUTCOMES[f"{one.related_model._meta.label}.{one.field.name}"]


def test_no_row_and_no_byte_is_left_of_address_pixels_and_names(owner: User) -> None:
    ada = full_account()
    patches = Patch.objects.filter(owner=ada)
    pixels = bytes(PatchImage.objects.filter(patch__in=patches)[0].pixels)
    LogEntry.objects.create(
        user=owner,
        content_type=ContentType.objects.get_for_model(User),
        object_id=str(ada.pk),
        object_repr=EMAIL,
        action_flag=CHANGE,
    )
    Counter.objects.create(key=f"reads of user {ada.pk}", since=ada.date_joined, number=1)
    traces = [
        EMAIL,
        NAME,
        "report of Mrs Smith",
        "ask me",
        "I am",
        "a browser of hers",
        *patches.values_list("sha256", flat=True),
        Barred.objects.get().sha256,
    ]
    assert all(tables_that_hold(trace) for trace in traces)
    assert tables_that_hold(EMAIL) == {
        "accounts_user", "account_emailaddress", "django_admin_log", "reviews_report", "reviews_review"
    }  # fmt: skip
    assert Session.objects.exists()
    erase(user=ada)
    remove_all()
    assert {trace: tables_that_hold(trace) for trace in traces} == {trace: set() for trace in traces}
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM predictions_patchimage WHERE pixels = %s", [pixels])
        assert cursor.fetchone() == (0,)
    assert not Session.objects.exists()
    assert not Counter.objects.filter(key__endswith=f"user {ada.pk}").exists()


def test_what_others_have_stays(owner: User, client: Client) -> None:
    client.force_login(owner)
    token = make_token(owner)
    kept = answer(submit_drawn(owner, 50, visibility=Visibility.PUBLIC)[0])
    ada = full_account()
    reviewed = Review.objects.get(reviewer=ada)
    draws = Draw.objects.exclude(outcome="open").filter(reviewer=ada).count()
    others = Patch.objects.exclude(owner=ada).count()
    events = Event.objects.count()
    erase(user=ada)
    remove_all()
    assert get_user(client) == owner
    assert Client().get("/api/v1/me/", headers={"Authorization": f"Bearer {token}"}).status_code == 200
    assert Patch.objects.count() == others
    assert Prediction.objects.filter(pk=kept.pk, status="succeeded").exists()
    reviewed.refresh_from_db()
    assert (reviewed.reviewer, reviewed.answer, reviewed.first_answer, reviewed.comment) == (
        None,
        "positive",
        "positive",
        "",
    )
    assert Draw.objects.filter(reviewer=None).exclude(outcome="open").count() == draws == 2
    assert not Draw.objects.filter(reviewer=None, outcome="open").exists()
    assert Event.objects.count() == events + 1
    told = Event.objects.get(kind="erased")
    assert (told.actor, told.subject, told.payload) == (None, "account", {"by": "owner"})


def test_at_once_nobody_sees_or_does_anything_any_more(client: Client, staff: User, reviewer: User) -> None:
    ada = make_user(EMAIL, password=PASSWORD)
    public = answer(submit_drawn(ada, 1, visibility=Visibility.PUBLIC)[0])
    private = answer(submit_drawn(ada, 2)[0])
    Patch.objects.filter(pk=private.patch_id).update(allows_review=True)
    token = make_token(ada)
    client.force_login(ada)
    assert client.get("/predictions/").status_code == 200
    erase(user=ada)  # and no chores process runs
    assert client.get("/predictions/")["Location"].startswith(reverse("account_login"))
    for url in ("/api/v1/me/", "/api/v1/predictions/"):
        assert Client().get(url, headers={"Authorization": f"Bearer {token}"}).status_code == 401
    people = [Client(), Client(), Client()]
    people[1].force_login(reviewer)
    people[2].force_login(staff)
    for person in people:
        for prediction in (public, private):
            for url in (prediction.get_absolute_url(), reverse("predictions:image", args=[prediction.uuid]),
                        f"/api/v1/predictions/{prediction.uuid}/"):  # fmt: skip
                assert person.get(url).status_code in (401, 404), url
        assert str(public.uuid) not in person.get("/gallery/").content.decode()
        assert person.get("/api/v1/gallery/").json()["results"] == []
    assert not Patch.objects.reviewable_by(reviewer).exists()
    failed = Client().post(reverse("account_login"), {"login": EMAIL, "password": PASSWORD})
    assert "do not belong together" in failed.content.decode()


def test_the_address_is_free_at_once(client: Client) -> None:
    ada = make_user(EMAIL, password=PASSWORD)
    EmailAddress.objects.create(user=ada, email=EMAIL, primary=True)
    erase(user=ada)
    client.post(reverse("account_signup"), {"email": EMAIL, "password1": PASSWORD})
    new = User.objects.get(email=EMAIL)
    assert get_user(client) == new
    submit_drawn(new, 1)
    remove_all()
    assert list(User.objects.all()) == [new]
    assert Patch.objects.get().owner == new


def test_an_upload_that_was_under_way_is_refused(owner: User) -> None:
    erase(user=owner)
    with pytest.raises(AccountClosed):
        submit_drawn(owner, 1)


def test_it_is_removed_in_pieces_and_goes_on_where_it_was(owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasure, "AT_ONCE", 2)
    monkeypatch.setattr(erasure, "ROWS_AT_ONCE", 2)
    monkeypatch.setattr(erasure, "SESSIONS_READ", 1)
    for _ in range(3):
        Client().force_login(owner)
    submit_drawn(owner, *range(5))
    erase(user=owner)
    left = []
    while remove_some():
        left.append(Patch.objects.count())
    assert left[:4] == [5, 3, 1, 0]  # the batch, then the patches two by two
    assert not User.objects.exists()
    assert not Session.objects.exists()


def test_the_last_superuser_cannot_go(staff: User) -> None:
    with pytest.raises(LastSuperuser, match="only superuser"):
        erase(user=staff)
    second = make_user("second@example.org", is_superuser=True)
    erase(user=staff)
    with pytest.raises(LastSuperuser):
        erase(user=second)


@pytest.mark.django_db(transaction=True)
def test_two_superusers_who_go_at_once_leave_one() -> None:
    one, two = (make_user(f"{name}@example.org", is_superuser=True) for name in ("one", "two"))

    def go() -> str:
        try:
            erase(user=two)
        except LastSuperuser:
            return "refused"
        finally:
            connection.close()
        return "erased"

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            erase(user=one)
            second = pool.submit(go)
            wait_for(lambda: second.done() or somebody_waits_for_a_row(), what="the second")
        assert second.result() == "refused"


@pytest.mark.django_db(transaction=True)
def test_two_processes_remove_one_account_together(owner: User) -> None:
    submit_drawn(owner, *range(30))
    erase(user=owner)

    def work(_: int) -> None:
        try:
            deadline = time.monotonic() + PATIENCE
            while User.objects.exists() and time.monotonic() < deadline:  # a step taken by the other is none
                remove_some()
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, range(2)))
    assert (User.objects.count(), Patch.objects.count()) == (0, 0)
    assert Event.objects.filter(kind="erased").count() == 1


def test_erasing_twice_is_once(owner: User) -> None:
    erase(user=owner)
    address = User.objects.get().email
    erase(user=owner)
    assert User.objects.get().email == address
    assert Event.objects.filter(kind="erased").count() == 1


def test_operators_erase_for_somebody_who_asks_by_mail(
    owner: User, staff: User, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    submit_drawn(owner, 1, 2)
    monkeypatch.setattr("builtins.input", lambda question: "another@example.org")
    with pytest.raises(CommandError, match="Nothing was erased"):
        call_command("erase_user", owner.email)
    assert User.objects.filter(email=owner.email).exists()
    monkeypatch.setattr("builtins.input", lambda question: "owner@example.org")
    call_command("erase_user", owner.email)
    assert capsys.readouterr().out == "The account is closed and its address free. Patches that are being removed: 2.\n"
    assert Event.objects.get(kind="erased").payload == {"by": "operator"}
    with pytest.raises(CommandError, match=r"Nobody is registered as owner@example\.org"):
        call_command("erase_user", owner.email)
    with pytest.raises(CommandError, match="only superuser"):
        call_command("erase_user", staff.email, "--yes")


def test_a_deactivated_account_is_shut_out_and_its_patches_are_gone(client: Client, staff: User) -> None:
    ada = make_user(EMAIL, password=PASSWORD)
    public = answer(submit_drawn(ada, 1, visibility=Visibility.PUBLIC)[0])
    token = make_token(ada)
    client.force_login(ada)
    User.objects.filter(pk=ada.pk).update(is_active=False)
    assert client.get("/predictions/")["Location"].startswith(reverse("account_login"))
    assert Client().get("/api/v1/me/", headers={"Authorization": f"Bearer {token}"}).status_code == 401
    assert Client().get(public.get_absolute_url()).status_code == 404
    assert Client().get("/api/v1/gallery/").json()["results"] == []
    client.force_login(staff)
    assert client.get(public.get_absolute_url()).status_code == 200
    User.objects.filter(pk=ada.pk).update(is_active=True)
    assert Client().get(public.get_absolute_url()).status_code == 200
