"""Owners decide who may look; and when staff look at what is private, that is written down."""

from __future__ import annotations

from datetime import timedelta

from django.contrib.auth.models import AnonymousUser
from django.db import transaction
from django.db.models.functions import Now

from accounts.models import User
from predictions.exceptions import NotTheirsToShare, UnknownPatch
from predictions.models import Batch, Event, Patch, Visibility
from predictions.services.forget import refuse_forgotten

NOTED_EVERY = timedelta(hours=1)


@transaction.atomic
def set_visibility(*, patch: Patch, actor: User, visibility: Visibility) -> None:
    """Share a patch or make it private again, with effect at once. Doing it twice is one event.

    Raises:
        UnknownPatch: it is deleted.
        PixelsDropped, StaysPrivate: it is forgotten, or will be, and cannot be shared.
    """
    is_public = visibility == Visibility.PUBLIC
    locked = _locked(patch)
    if is_public:
        refuse_forgotten(locked)
    changed = Patch.objects.filter(pk=patch.pk).exclude(visibility=visibility).update(visibility=visibility)
    patch.visibility = visibility
    if changed:
        Event.objects.create(
            kind=Event.Kind.SHARED if is_public else Event.Kind.MADE_PRIVATE, actor=actor, subject=str(patch.uuid)
        )


@transaction.atomic
def share_again(*, patch: Patch, actor: User) -> None:
    """Staff share their own patch, or take back that staff made one private. To share is the owner's right alone.

    Raises:
        UnknownPatch: it is deleted.
        NotTheirsToShare: it is somebody else's, who has not shared it or has taken that back.
    """
    _locked(patch)
    kinds = (Event.Kind.SHARED, Event.Kind.MADE_PRIVATE)
    last = Event.objects.filter(subject=str(patch.uuid), kind__in=kinds).order_by("-pk").first()
    is_undone = (
        last is not None and last.kind == Event.Kind.MADE_PRIVATE and last.actor_id not in (None, patch.owner_id)
    )
    if patch.pixels_dropped_at or not (patch.owner_id == actor.pk or patch.is_public or is_undone):
        raise NotTheirsToShare
    set_visibility(patch=patch, actor=actor, visibility=Visibility.PUBLIC)


@transaction.atomic
def allow_review(*, patch: Patch, actor: User, is_allowed: bool) -> None:
    """Let reviewers look at a patch although it is private, or end that. Doing it twice is one event.

    Raises:
        UnknownPatch: it is deleted.
        PixelsDropped, StaysPrivate: it is forgotten, or will be, and nobody else may look.
    """
    locked = _locked(patch)
    if is_allowed:
        refuse_forgotten(locked)
    changed = Patch.objects.filter(pk=patch.pk).exclude(allows_review=is_allowed).update(allows_review=is_allowed)
    patch.allows_review = is_allowed
    if changed:
        kind = Event.Kind.REVIEW_ALLOWED if is_allowed else Event.Kind.REVIEW_ENDED
        Event.objects.create(kind=kind, actor=actor, subject=str(patch.uuid))


def _locked(patch: Patch) -> Patch:
    """The row as it is now, so that sharing and forgetting cannot both happen. Raises UnknownPatch."""
    locked = Patch.objects.select_for_update(no_key=True).filter(pk=patch.pk).first()
    if locked is None:
        raise UnknownPatch
    return locked


@transaction.atomic
def note_export(*, actor: User, what: str, number: int) -> None:
    """Write down that a member of staff takes a file of `number` rows, private ones among them."""
    Event.objects.create(kind=Event.Kind.EXPORTED, actor=actor, subject=what, payload={"rows": number})


def note_opening(*, patch: Patch, reader: User | AnonymousUser) -> None:
    """Write down that a member of staff sees somebody's private patch: once an hour for each of both."""
    if not patch.is_public:
        _note_opening(patch, reader)


def note_batch_opening(*, batch: Batch, reader: User | AnonymousUser) -> None:
    """The same of somebody's batch, which holds file names and the answers of private patches."""
    _note_opening(batch, reader)


def _note_opening(opened: Patch | Batch, reader: User | AnonymousUser) -> None:
    if not reader.is_authenticated or not reader.sees_all or opened.owner_id == reader.pk:
        return
    lately = Event.objects.filter(
        kind=Event.Kind.OPENED, actor=reader, subject=str(opened.uuid), created_at__gte=Now() - NOTED_EVERY
    )
    if lately.exists():
        return
    with transaction.atomic():
        # A page and its picture are opened at once: one of them writes, the other then finds it.
        User.objects.select_for_update(no_key=True).get(pk=reader.pk)
        if not lately.exists():
            Event.objects.create(kind=Event.Kind.OPENED, actor=reader, subject=str(opened.uuid))
