"""What owners know of their own patches."""

from __future__ import annotations

from django.db import transaction
from django.db.models.functions import Now

from accounts.models import User
from predictions.exceptions import UnknownPatch
from predictions.models import Event, Patch
from reviews.models import Answer, GroundTruth


@transaction.atomic
def state_truth(*, patch: Patch, owner: User, answer: Answer, source: str = "") -> GroundTruth:
    """Say what a patch of one's own shows, and how one knows. The same again changes nothing.

    Raises:
        UnknownPatch: it is not theirs, or it is deleted.
    """
    _lock_own(patch, owner)
    truth, is_new = GroundTruth.objects.get_or_create(patch=patch, defaults={"answer": answer, "source": source})
    if not is_new and (truth.answer, truth.source) == (answer, source):
        return truth
    if not is_new:
        GroundTruth.objects.filter(pk=patch.pk).update(answer=answer, source=source, changed_at=Now())
        truth.refresh_from_db()
    payload = {"answer": str(answer)}
    Event.objects.create(kind=Event.Kind.TRUTH_STATED, actor=owner, subject=str(patch.uuid), payload=payload)
    return truth


@transaction.atomic
def withdraw_truth(*, patch: Patch, owner: User) -> None:
    """Say nothing any more. Doing it twice is one event.

    Raises:
        UnknownPatch: it is not theirs, or it is deleted.
    """
    _lock_own(patch, owner)
    deleted, _ = GroundTruth.objects.filter(pk=patch.pk).delete()
    if deleted:
        Event.objects.create(kind=Event.Kind.TRUTH_WITHDRAWN, actor=owner, subject=str(patch.uuid))


def _lock_own(patch: Patch, owner: User) -> None:
    if not Patch.objects.select_for_update(no_key=True, of=("self",)).filter(pk=patch.pk, owner=owner).exists():
        raise UnknownPatch
