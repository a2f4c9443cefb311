"""Who sees what, as tables: every state of a patch against every kind of reader."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db.models.functions import Now
from django.test import Client
from django.urls import reverse

from accounts.models import User
from predictions import services
from predictions.exceptions import UnknownPatch
from predictions.models import Batch, BatchItem, Event, ModelVersion, Patch, Prediction, Purpose, Visibility
from tests.factories import answer, fail, submit_drawn

pytestmark = pytest.mark.usefixtures("model_version")
READERS = ("owner", "stranger", "anonymous", "staff")


@pytest.fixture
def readers(owner: User, stranger: User, staff: User) -> dict[str, User | AnonymousUser]:
    return {"owner": owner, "stranger": stranger, "staff": staff, "anonymous": AnonymousUser()}


@pytest.fixture
def states(owner: User, staff: User) -> dict[str, Prediction]:
    """One prediction per state that a patch can be in."""
    names = ("private", "public", "public waiting", "public failed", "hidden", "flagged", "admitted", "shadow")
    rows = dict(zip(names, submit_drawn(owner, *range(len(names)), visibility=Visibility.PUBLIC), strict=True))
    services.set_visibility(patch=rows["private"].patch, actor=owner, visibility=Visibility.PRIVATE)
    for name, row in rows.items():
        if name == "public failed":
            fail(row)
        elif name != "public waiting":
            answer(row)
    services.hide(patch=rows["hidden"].patch, actor=staff)
    Prediction.objects.filter(pk__in=[rows["flagged"].pk, rows["admitted"].pk]).update(flags=["not_tissue"])
    services.admit(patch=rows["admitted"].patch, actor=staff)
    Prediction.objects.filter(pk=rows["shadow"].pk).update(purpose=Purpose.SHADOW)
    return rows


ALL = set(READERS)
VISIBLE: dict[str, set[str]] = {
    "private": {"owner", "staff"},
    "public": ALL,
    "public waiting": ALL,
    "public failed": ALL,
    "hidden": {"owner", "staff"},
    "flagged": ALL,
    "admitted": ALL,
    "shadow": {"staff"},
}
IN_GALLERY = {"public", "admitted", "shadow"}


@pytest.mark.parametrize("reader", READERS)
def test_predictions_visible_to(
    reader: str, readers: dict[str, User | AnonymousUser], states: dict[str, Prediction]
) -> None:
    visible = set(Prediction.objects.visible_to(readers[reader]))
    assert visible == {states[state] for state, who in VISIBLE.items() if reader in who}


def test_the_gallery_holds_what_is_public_answered_and_not_flagged(
    states: dict[str, Prediction], client: Client
) -> None:
    assert set(Patch.objects.in_gallery()) == {states[state].patch for state in IN_GALLERY}
    page = client.get(reverse("gallery")).content.decode()
    assert {state for state, row in states.items() if str(row.uuid) in page} == IN_GALLERY
    assert "owner@example.org" not in page
    assert "drawn-" not in page


def sign_in(client: Client, user: User | AnonymousUser) -> None:
    if isinstance(user, User):
        client.force_login(user)


@pytest.mark.parametrize(
    "address",
    ["predictions:detail", "predictions:status", "predictions:image", "predictions:explanation", "predictions:receipt"],
)
@pytest.mark.parametrize("reader", READERS)
def test_pages_and_pictures_answer_strangers_as_an_unknown_id(
    address: str,
    reader: str,
    client: Client,
    readers: dict[str, User | AnonymousUser],
    states: dict[str, Prediction],
) -> None:
    sign_in(client, readers[reader])
    unknown = client.get(reverse(address, args=[uuid4()]))
    assert unknown.status_code == 404
    for state, who in VISIBLE.items():
        response = client.get(reverse(address, args=[states[state].uuid]))
        if reader in who:
            is_unanswered = state in ("public waiting", "public failed")
            assert response.status_code == (409 if address.endswith("receipt") and is_unanswered else 200), state
        else:
            assert (response.status_code, response.content) == (404, unknown.content), state


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("action", ["visibility", "retry", "delete"])
def test_only_owners_change_a_patch(
    reader: str,
    action: str,
    client: Client,
    readers: dict[str, User | AnonymousUser],
    states: dict[str, Prediction],
) -> None:
    sign_in(client, readers[reader])
    before = list(Patch.objects.values_list("pk", "visibility"))
    address = reverse(f"predictions:{action}", args=[states["public"].uuid])
    assert client.get(address).status_code == 405
    response = client.post(address, {"visibility": "private"})
    if reader == "owner":
        assert response.status_code == 302
        assert (list(Patch.objects.values_list("pk", "visibility")) != before) == (action != "retry")
    elif reader == "anonymous":
        assert response["Location"] == f"{reverse('account_login')}?next={address}"
        assert list(Patch.objects.values_list("pk", "visibility")) == before
    else:
        assert response.status_code == 404
        assert list(Patch.objects.values_list("pk", "visibility")) == before


@pytest.mark.parametrize("action", ["visibility", "review", "ask", "retry", "delete"])
def test_a_shadow_is_to_its_owner_as_an_unknown_id(
    action: str, client: Client, owner: User, states: dict[str, Prediction]
) -> None:
    client.force_login(owner)
    fields = {"visibility": "private", "review": "ended", "model": states["shadow"].model_version.version}
    assert client.post(reverse(f"predictions:{action}", args=[states["shadow"].uuid]), fields).status_code == 404


@pytest.mark.parametrize("reader", READERS)
def test_a_batch_is_for_its_owner_and_staff(
    reader: str, client: Client, readers: dict[str, User | AnonymousUser], states: dict[str, Prediction]
) -> None:
    sign_in(client, readers[reader])
    batch = Batch.objects.get()
    for name in ("batch", "batch-progress"):
        status = client.get(reverse(name, args=[batch.uuid])).status_code
        assert status == (200 if reader in ("owner", "staff") else 404)


@pytest.mark.parametrize("name", ["batch", "batch-progress", "api:batch", "api:batch-csv"])
def test_staff_who_open_a_batch_leave_one_line_and_of_an_erased_account_see_none(
    name: str, client: Client, owner: User, staff: User
) -> None:
    submit_drawn(owner, 1)
    batch = Batch.objects.get()
    for reader in (owner, staff):
        client.force_login(reader)
        for _ in range(2):
            response = client.get(reverse(name, args=[batch.uuid]))
            b"".join(response)
            assert response.status_code == 200
    (opened,) = Event.objects.filter(kind="opened")
    assert (opened.actor, opened.subject, opened.get_kind_display()) == (staff, str(batch.uuid), "opened by staff")
    User.objects.filter(pk=owner.pk).update(is_active=False, erased_at=Now())
    assert client.get(reverse(name, args=[batch.uuid])).status_code == 404


def test_history_holds_ones_own_patches_only(client: Client, owner: User, stranger: User) -> None:
    (mine,), (theirs,) = submit_drawn(owner, 1), submit_drawn(stranger, 2, visibility=Visibility.PUBLIC)
    client.force_login(owner)
    page = client.get(reverse("predictions:history")).content.decode()
    assert (str(mine.uuid) in page, str(theirs.uuid) in page) == (True, False)


@pytest.mark.parametrize("name", ["predictions:new", "predictions:history"])
def test_strangers_are_asked_to_log_in(client: Client, db: None, name: str) -> None:
    assert client.get(reverse(name))["Location"] == f"{reverse('account_login')}?next={reverse(name)}"


Change = Callable[[Patch, User], None]


@pytest.mark.parametrize(
    "change",
    [
        lambda patch, user: services.set_visibility(patch=patch, actor=user, visibility=Visibility.PRIVATE),
        lambda patch, user: services.hide(patch=patch, actor=user),
        lambda patch, user: services.withdraw(patch=patch, actor=user),
    ],
    ids=["private", "hidden", "deleted"],
)
def test_what_is_taken_back_is_gone_at_once_even_from_caches(
    change: Change, client: Client, owner: User, states: dict[str, Prediction]
) -> None:
    address = reverse("predictions:image", args=[states["public"].uuid])
    first = client.get(address)
    assert (first.status_code, first["Content-Type"], first["Cache-Control"]) == (200, "image/png", "private, no-cache")
    assert first["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert first["X-Content-Type-Options"] == "nosniff"
    again = client.get(address, headers={"If-None-Match": first["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    change(states["public"].patch, owner)
    assert client.get(address, headers={"If-None-Match": first["ETag"]}).status_code == 404
    assert str(states["public"].uuid) not in client.get(reverse("gallery")).content.decode()
    assert str(states["public"].uuid) not in client.get(reverse("home")).content.decode()


def test_deleting_removes_rows_and_bytes_and_leaves_a_line_in_the_batch(owner: User) -> None:
    (prediction,) = submit_drawn(owner, 1)
    services.withdraw(patch=prediction.patch, actor=owner)
    services.withdraw(patch=prediction.patch, actor=owner)
    assert (Patch.objects.count(), Prediction.objects.count()) == (0, 0)
    item = BatchItem.objects.get()
    assert (item.name, item.patch, item.error_code) == ("drawn-1.png", None, "")


def test_sharing_hiding_and_admitting_twice_is_one_event_each(owner: User, staff: User) -> None:
    (prediction,) = submit_drawn(owner, 1)
    patch = prediction.patch
    for _ in range(2):
        services.set_visibility(patch=patch, actor=owner, visibility=Visibility.PUBLIC)
    for _ in range(2):
        services.hide(patch=patch, actor=staff)
    for _ in range(2):
        services.admit(patch=patch, actor=staff)
    patch.refresh_from_db()
    assert (patch.hidden_at, patch.admitted_by) == (None, staff)
    events = Event.objects.filter(subject=str(patch.uuid)).order_by("pk").values_list("kind", "actor__email")
    assert list(events) == [
        ("shared", "owner@example.org"),
        ("hidden", "staff@example.org"),
        ("admitted", "staff@example.org"),
    ]


def test_what_is_deleted_meanwhile_is_neither_shared_nor_opened(owner: User, model_version: ModelVersion) -> None:
    (prediction,) = submit_drawn(owner, 1)
    opened = Patch.objects.get()
    services.withdraw(patch=prediction.patch, actor=owner)
    acts: list[Callable[[], object]] = [
        lambda: services.set_visibility(patch=opened, actor=owner, visibility=Visibility.PUBLIC),
        lambda: services.set_visibility(patch=opened, actor=owner, visibility=Visibility.PRIVATE),
        lambda: services.share_again(patch=opened, actor=owner),
        lambda: services.allow_review(patch=opened, actor=owner, is_allowed=True),
    ]
    for act in acts:
        with pytest.raises(UnknownPatch):
            act()
    assert list(Event.objects.exclude(kind__in=["registered", "activated"]).values_list("kind", flat=True)) == [
        "submitted",
        "withdrawn",
    ]
