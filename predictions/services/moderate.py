"""Staff keep the gallery clean."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from django.db import transaction
from django.db.models.functions import Now

from accounts.models import User
from predictions.models import Barred, Event, Patch


@transaction.atomic
def hide(*, patch: Patch, actor: User) -> None:
    """Take a patch out of everyone's sight but its owner's and staff's. Doing it twice is one event.

    What somebody else had hidden is this actor's to answer for from now on: what staff hid stays hidden when a report
    that had hidden it before is dismissed.
    """
    others = Patch.objects.filter(pk=patch.pk).exclude(hidden_at__isnull=False, hidden_by=actor)
    if others.update(hidden_at=Now(), hidden_by=actor):
        Event.objects.create(kind=Event.Kind.HIDDEN, actor=actor, subject=str(patch.uuid))


@transaction.atomic
def show_again(*, patch: Patch, actor: User) -> None:
    """Take back that a patch is hidden. Doing it twice is one event."""
    if Patch.objects.filter(pk=patch.pk, hidden_at__isnull=False).update(hidden_at=None, hidden_by=None):
        Event.objects.create(kind=Event.Kind.SHOWN_AGAIN, actor=actor, subject=str(patch.uuid))


@transaction.atomic
def admit(*, patch: Patch, actor: User) -> None:
    """Say that a patch belongs in the gallery: what the gate flagged may be shown, what was hidden is again.

    That dismisses what was reported of it.
    """
    unsettled = Patch.objects.filter(pk=patch.pk).exclude(admitted_at__isnull=False, hidden_at__isnull=True)
    if unsettled.update(admitted_at=Now(), admitted_by=actor, hidden_at=None, hidden_by=None):
        Event.objects.create(kind=Event.Kind.ADMITTED, actor=actor, subject=str(patch.uuid))
    if patch.reports.open().update(outcome="dismissed", settled_at=Now(), settled_by=actor):
        payload = {"outcome": "dismissed"}
        Event.objects.create(kind=Event.Kind.REPORT_SETTLED, actor=actor, subject=str(patch.uuid), payload=payload)


def bar(patches: Iterable[Patch]) -> None:
    """Remember those of `patches` that are hidden, before they are deleted. In that transaction, and locked."""
    hidden = [
        Barred(owner_id=patch.owner_id, sha256=patch.sha256, hidden_at=patch.hidden_at)
        for patch in patches
        if patch.hidden_at
    ]
    if hidden:
        Barred.objects.bulk_create(hidden, ignore_conflicts=True)


def hide_again(new: Mapping[str, Patch], barred: Mapping[str, Barred]) -> list[Event]:
    """Hide those of the new patches that are barred, by digest, before they are stored; return what to write of it."""
    again = {digest: patch for digest, patch in new.items() if digest in barred}
    for digest, patch in again.items():
        patch.hidden_at = barred[digest].hidden_at
    if again:
        Barred.objects.filter(pk__in=[barred[digest].pk for digest in again]).delete()
    payload = {"barred": True}
    return [Event(kind=Event.Kind.HIDDEN, subject=str(patch.uuid), payload=payload) for patch in again.values()]
