"""What was hidden stays hidden: deleted by its owner and sent again, it comes back as it was."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.db.models.functions import Now
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import User
from predictions import services
from predictions.models import Barred, Event, Patch, Prediction, Source, Visibility
from predictions.services import bulk
from predictions.services.retain import expire, set_retention
from tests.factories import answer, make_user, received, submit_drawn
from tests.predictions.test_forget import send
from tests.processes import somebody_waits_for_a_row, wait_for

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("model_version")]


def shared(owner: User, *seeds: int) -> list[Patch]:
    """Sent to everyone's sight, and answered."""
    return [answer(one).patch for one in submit_drawn(owner, *seeds, visibility=Visibility.PUBLIC)]


def hidden(owner: User, staff: User, *seeds: int) -> list[Patch]:
    patches = shared(owner, *seeds)
    for patch in patches:
        services.hide(patch=patch, actor=staff)
        patch.refresh_from_db()
    return patches


def test_sent_again_it_is_hidden_as_it_was_and_its_neighbours_are_not(owner: User, stranger: User, staff: User) -> None:
    (before,) = hidden(owner, staff, 1)
    services.withdraw(patch=before, actor=owner)
    (left,) = Barred.objects.all()
    assert (left.owner, left.sha256, left.hidden_at) == (owner, before.sha256, before.hidden_at)
    again, other = shared(owner, 1, 2)
    (of_another,) = shared(stranger, 1)
    again.refresh_from_db()
    assert (again.pk != before.pk, again.sha256, again.visibility) == (True, before.sha256, "public")
    assert (again.hidden_at, again.hidden_by) == (before.hidden_at, None)
    assert set(Patch.objects.in_gallery()) == {other, of_another}
    assert set(Patch.objects.visible_to(stranger)) == {other, of_another}
    for person in (owner, staff):
        assert Patch.objects.visible_to(person).contains(again)
    (told,) = Event.objects.filter(subject=str(again.uuid))
    assert (told.kind, told.actor, told.payload) == ("hidden", None, {"barred": True})
    assert not Barred.objects.exists()  # the patch says it itself


def test_its_owner_is_told_before_and_after(owner: User, staff: User, client: Client) -> None:
    client.force_login(owner)
    kept = "sent again, it will be hidden again"
    (open_to_all,) = shared(owner, 2)
    assert kept not in page_of(open_to_all, client)
    (patch,) = hidden(owner, staff, 1)
    assert kept in page_of(patch, client)
    services.withdraw(patch=patch, actor=owner)
    assert "hidden: only its owner and staff see it" in page_of(shared(owner, 1)[0], client)


def page_of(patch: Patch, client: Client) -> str:
    address = Prediction.objects.get(patch=patch).get_absolute_url()
    return " ".join(client.get(address).content.decode().split())


def test_deleting_it_over_and_over_changes_nothing_until_staff_admit_it(owner: User, staff: User) -> None:
    (patch,) = hidden(owner, staff, 1)
    since = patch.hidden_at
    for _ in range(3):
        services.withdraw(patch=patch, actor=owner)
        (patch,) = shared(owner, 1)
        patch.refresh_from_db()
        assert patch.hidden_at == since
    services.admit(patch=patch, actor=staff)
    assert Patch.objects.in_gallery().contains(patch)
    services.withdraw(patch=patch, actor=owner)
    (patch,) = shared(owner, 1)
    assert Patch.objects.in_gallery().contains(patch)
    assert not Barred.objects.exists()


def test_it_is_hidden_however_it_is_sent(owner: User, staff: User) -> None:
    services.withdraw(patch=hidden(owner, staff, 1)[0], actor=owner)
    (patch,) = send(owner, 1).accepted  # to be forgotten
    assert patch.hidden_at
    send(owner, 1, forget=False)
    services.set_visibility(patch=patch, actor=owner, visibility=Visibility.PUBLIC)
    answer(Prediction.objects.get())
    assert not Patch.objects.in_gallery().exists()


def test_what_was_kept_long_enough_is_barred_too(owner: User, staff: User) -> None:
    (patch,) = hidden(owner, staff, 1)
    services.set_visibility(patch=patch, actor=owner, visibility=Visibility.PRIVATE)
    set_retention(user=owner, days=30)
    long_ago = Now() - timedelta(days=40)
    Patch.objects.update(created_at=long_ago)
    Event.objects.update(created_at=long_ago)
    assert expire() == 1
    shared(owner, 1)
    assert not Patch.objects.in_gallery().exists()


def test_many_at_once(owner: User, staff: User) -> None:
    seeds = range(bulk.FEW + 3)
    for patch in hidden(owner, staff, *seeds[1:]):
        services.withdraw(patch=patch, actor=owner)
    patches = shared(owner, *seeds)
    assert list(Patch.objects.in_gallery()) == patches[:1]
    assert Event.objects.filter(kind="hidden", actor=None).count() == len(seeds) - 1


def test_who_sends_none_that_is_barred_pays_no_statement_for_it(owner: User, staff: User) -> None:
    services.withdraw(patch=hidden(owner, staff, 1)[0], actor=owner)
    owner.refresh_from_db()
    numbers = []
    for seeds in ((2, 3), (1, 4)):
        with CaptureQueriesContext(connection) as found:
            submit_drawn(owner, *seeds, visibility=Visibility.PUBLIC)
        numbers.append(len(found))
    assert numbers == [5, 7]  # the second reads the bar and lifts it


@pytest.mark.django_db(transaction=True)
def test_sent_again_in_the_moment_it_is_deleted_it_is_hidden() -> None:
    owner, staff = make_user("owner@example.org"), make_user("staff@example.org", is_staff=True)
    (patch,) = hidden(owner, staff, 1)

    def send_again() -> None:
        try:
            services.submit(owner=owner, files=received(1), visibility=Visibility.PUBLIC, source=Source.WEB)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            services.withdraw(patch=patch, actor=owner)
            sending = pool.submit(send_again)
            wait_for(lambda: sending.done() or somebody_waits_for_a_row(), what="the submission")
        sending.result(30)
    again = Patch.objects.get()
    assert (again.pk != patch.pk, again.hidden_at) == (True, patch.hidden_at)


def test_the_owners_history_says_that_it_is_hidden(client: Client, owner: User, staff: User) -> None:
    (patch,) = hidden(owner, staff, 1)
    client.force_login(owner)
    page = " ".join(client.get(reverse("predictions:history")).content.decode().split())
    assert (patch.original_name in page, '<span class="hint"> hidden ·' in page, "public ·" in page) == (
        True,
        True,
        False,
    )
