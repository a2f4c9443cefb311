"""Owners take back what is theirs."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from django.db import transaction

from accounts.exports import take_back
from accounts.models import User
from predictions.models import Event, Patch
from predictions.models.patch import PatchQuerySet
from predictions.services.moderate import bar


def withdraw(*, patch: Patch, actor: User) -> None:
    """Delete a patch with its pixels and predictions. What a worker computes for it meanwhile is dropped."""
    delete_patches(Patch.objects.filter(pk=patch.pk), kind=Event.Kind.WITHDRAWN, actor=actor)


@transaction.atomic
def delete_patches(patches: PatchQuerySet, *, kind: Event.Kind, actor: User | None) -> Sequence[UUID]:
    """Delete patches with all that hangs on them, each with an event; return which. A few hundred at once, no more.

    Those that are hidden are barred: whoever deletes them, they come back as they were. Archives of their owners that
    may hold them go too.
    """
    locked = patches.select_for_update(of=("self",)).order_by("pk")
    rows = list(locked.only("pk", "uuid", "owner", "sha256", "hidden_at", "created_at"))
    if rows:
        bar(rows)
        for owner in sorted({patch.owner_id for patch in rows}):
            take_back(owner, since=min(patch.created_at for patch in rows if patch.owner_id == owner))
        Patch.objects.filter(pk__in=[patch.pk for patch in rows]).delete()
        Event.objects.bulk_create([Event(kind=kind, actor=actor, subject=str(patch.uuid)) for patch in rows])
    return [patch.uuid for patch in rows]
