"""Predict and forget: the pixels go with the answer, which stays, and so does its receipt (docs/adr/0011).

A patch is marked when it is sent. Who writes its answer drops the pixels in the same transaction; what that could not
(an older worker) and what failed and was not tried again, `drop_overdue` drops.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta

from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now

from accounts.exports import take_back
from accounts.models import User
from predictions.exceptions import AlreadyShared, PixelsDropped, StaysPrivate
from predictions.models import Event, Explanation, Patch, PatchImage, Prediction, Status
from predictions.models.job import another_try
from predictions.uploads import ReceivedFile

KEPT_FOR_RETRY = timedelta(days=1)  # the pixels of what failed
AT_ONCE = 1000
_OF_ANSWER = "current_prediction__"
_IS_ANSWERED = Q(**{f"{_OF_ANSWER}status": Status.SUCCEEDED})
_IS_GIVEN_UP = Q(**{f"{_OF_ANSWER}status": Status.FAILED, f"{_OF_ANSWER}finished_at__lt": Now() - KEPT_FOR_RETRY})


def drop_answered(patches: Collection[int]) -> int:
    """Drop the pixels of those of `patches` that are to be forgotten and have their answer; return how many."""
    return _drop(_IS_ANSWERED & Q(pk__in=patches))


def drop_overdue() -> int:
    """Drop all pixels that should be gone: answered, or failed a day ago. A chore."""
    total = 0
    while dropped := _drop(_IS_ANSWERED | _IS_GIVEN_UP):
        total += dropped
    return total


@transaction.atomic
def _drop(condition: Q) -> int:
    """Pixels, maps and embeddings: what a picture could be guessed from. Twice is once."""
    due = Patch.objects.filter(condition, is_to_be_forgotten=True, pixels_dropped_at__isnull=True).order_by("pk")
    # What is locked is being sent again: that submission drops it or wants it kept, and so does the chore later.
    locked = due.select_for_update(no_key=True, skip_locked=True, of=("self",))
    keys = [patch.pk for patch in locked.only("pk")[:AT_ONCE]]
    if keys:
        Patch.objects.filter(pk__in=keys).update(pixels_dropped_at=Now())
        PatchImage.objects.filter(patch__in=keys).delete()
        Explanation.objects.filter(prediction__patch__in=keys).delete()
        Prediction.objects.filter(patch__in=keys, embedding__isnull=False).update(embedding=None)
    return len(keys)


def refused_again(known: Mapping[str, Patch], *, forget: bool) -> dict[str, AlreadyShared]:
    """Why some of the patches that are sent again are not taken, by digest. known: locked."""
    return {digest: AlreadyShared() for digest, patch in known.items() if forget and patch.is_public}


def settle(known: Sequence[Patch], sent: Mapping[str, ReceivedFile], *, owner: User, forget: bool) -> None:
    """Bring patches that were sent before in line with what their owner wants this time.

    known: locked, none of them refused, their current prediction being the active model's. sent: the files, by digest.
    forget: they are marked and closed to reviewers, and their pixels go now if the answer is there. Archives of the
    owner's that may hold these go too: none ever holds what is marked. Not forget: those that were marked are ordinary
    from now on, private as they were. Pixels that were dropped are stored again if they are to be kept, or if the
    active model has yet to answer.
    """
    concerned = [patch for patch in known if forget or patch.is_to_be_forgotten]
    if not concerned:
        return
    if marked := [patch.created_at for patch in concerned if not patch.is_to_be_forgotten]:
        take_back(owner.pk, since=min(marked))
    restored, events = [], []
    for patch in concerned:
        if patch.is_to_be_forgotten != forget:
            kind = Event.Kind.TO_BE_FORGOTTEN if forget else Event.Kind.KEPT_AFTER_ALL
            events.append(Event(kind=kind, actor=owner, subject=str(patch.uuid)))
        patch.is_to_be_forgotten = forget
        patch.allows_review = patch.allows_review and not forget
        answer, pixels = patch.current_prediction, sent[patch.sha256].patch
        is_answered = answer is not None and answer.status == Status.SUCCEEDED
        if pixels and not patch.has_pixels and not (forget and is_answered):
            patch.pixels_dropped_at = None
            restored.append(PatchImage(patch=patch, pixels=pixels.pixels.tobytes()))
    Patch.objects.bulk_update(concerned, ["is_to_be_forgotten", "allows_review", "pixels_dropped_at"])
    PatchImage.objects.bulk_create(restored)
    Event.objects.bulk_create(events)
    # What failed is tried again once its pixels are back: sending them is the only way to ask for that.
    answers = [image.patch.current_prediction for image in restored if image.patch.current_prediction]
    again = Prediction.objects.filter(pk__in=[one.pk for one in answers], status=Status.FAILED)
    if again.update(**another_try()):
        for one in answers:
            one.refresh_from_db()
    if forget and drop_answered([patch.pk for patch in concerned]):
        for patch in concerned:
            patch.refresh_from_db(fields=["pixels_dropped_at"])


def refuse_forgotten(patch: Patch) -> None:
    """For what needs the pixels, or opens a patch to others.

    Raises:
        PixelsDropped: there are none any more.
        StaysPrivate: there soon will be none.
    """
    if not patch.has_pixels:
        raise PixelsDropped
    if patch.is_to_be_forgotten:
        raise StaysPrivate
