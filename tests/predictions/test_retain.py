"""Private patches are kept as long as their owner wishes, and no longer than the site allows."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models.functions import Now
from pytest_django import Settings

from accounts.models import User
from predictions import services
from predictions.exceptions import UnknownPatch
from predictions.models import Event, Patch, PatchImage, Prediction, Visibility
from predictions.services import retain
from predictions.services.retain import expire, kept_days, overdue, set_retention
from tests.factories import answer, submit_drawn

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("model_version")]


def aged(owner: User, seed: int, days: float, visibility: Visibility = Visibility.PRIVATE) -> Patch:
    """A patch that was sent so many days ago."""
    patch = answer(submit_drawn(owner, seed, visibility=visibility)[0]).patch
    Patch.objects.filter(pk=patch.pk).update(created_at=Now() - timedelta(days=days))
    return patch


def test_what_is_overdue_goes_with_all_that_hangs_on_it_and_leaves_an_event(owner: User, stranger: User) -> None:
    old = aged(owner, 1, 30.1)
    kept = {
        aged(owner, 2, 29.9),
        aged(owner, 3, 400, Visibility.PUBLIC),
        aged(stranger, 4, 400),
    }
    assert expire() == 0
    set_retention(user=owner, days=30)
    assert expire() == 1
    assert set(Patch.objects.all()) == kept
    assert (Prediction.objects.count(), PatchImage.objects.count()) == (3, 3)
    event = Event.objects.get(kind="expired")
    assert (event.actor, event.subject, event.payload) == (None, str(old.uuid), {})
    assert expire() == 0


def test_what_was_public_lately_is_kept_as_long_as_if_it_came_then(owner: User) -> None:
    patch = aged(owner, 1, 400, Visibility.PUBLIC)
    services.set_visibility(patch=patch, actor=owner, visibility=Visibility.PRIVATE)
    set_retention(user=owner, days=30)
    assert expire() == 0
    Event.objects.filter(kind="made_private").update(created_at=Now() - timedelta(days=29))
    assert expire() == 0
    Event.objects.filter(kind="made_private").update(created_at=Now() - timedelta(days=31))
    assert expire() == 1


def test_the_shorter_of_the_owners_wish_and_the_sites_limit_counts(owner: User, settings: Settings) -> None:
    wishes = {}
    for site in (0, 60):
        settings.PRIVATE_PATCHES_DAYS = site
        wishes[site] = [kept_days(User(private_patches_days=days)) for days in (None, 30, 90)]
    assert wishes == {0: [None, 30, 90], 60: [60, 30, 60]}
    aged(owner, 1, 61)
    assert expire() == 1


def test_it_is_done_in_pieces(owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retain, "AT_ONCE", 2)
    for seed in range(5):
        aged(owner, seed, 40)
    set_retention(user=owner, days=30)
    assert expire(seconds=0) == 0
    assert expire() == 5
    assert Event.objects.filter(kind="expired").count() == 5


def test_setting_it_leaves_one_event(owner: User) -> None:
    for _ in range(2):
        set_retention(user=owner, days=90)
    set_retention(user=owner, days=None)
    told = Event.objects.filter(kind="retention_set").order_by("pk").values_list("actor", "payload")
    assert list(told) == [(owner.pk, {"days": 90}), (owner.pk, {"days": None})]


@pytest.mark.django_db(transaction=True)
def test_what_is_shared_at_the_same_time_stays_or_goes_but_is_never_half_gone(owner: User) -> None:
    patches = [aged(owner, seed, 40) for seed in range(12)]
    set_retention(user=owner, days=30)

    def share(patch: Patch | None) -> None:
        try:
            if patch is None:
                expire()
            else:
                with suppress(UnknownPatch):  # It has gone: the owner is told so, and nothing is shared.
                    services.set_visibility(patch=patch, actor=owner, visibility=Visibility.PUBLIC)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(share, [*patches[:3], None, *patches[3:], None]))
    left = set(Patch.objects.values_list("pk", "visibility"))
    shared = {str(subject) for subject in Event.objects.filter(kind="shared").values_list("subject", flat=True)}
    expired = {str(subject) for subject in Event.objects.filter(kind="expired").values_list("subject", flat=True)}
    assert {visibility for _, visibility in left} <= {"public"}
    assert len(left) + len(expired) == 12
    assert len(shared) == len(left)
    assert not shared & expired


def test_the_chores_look_no_further_than_at_what_is_overdue(owner: User) -> None:
    """The index that is walked; with few rows the planner would read them all."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
    plan = overdue(owner, 30).order_by("created_at")[:300].explain()
    assert "patch_private_age" in plan
    assert "Sort" not in plan
