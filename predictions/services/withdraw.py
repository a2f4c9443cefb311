"""Owners take back what is theirs."""

from __future__ import annotations

from django.db import transaction

from accounts.models import User
from predictions.models import Event, Patch


@transaction.atomic
def withdraw(*, patch: Patch, actor: User) -> None:
    """Delete a patch with its pixels and predictions. What a worker computes for it meanwhile is dropped."""
    deleted, _ = Patch.objects.filter(pk=patch.pk).delete()
    if deleted:
        Event.objects.create(kind=Event.Kind.WITHDRAWN, actor=actor, subject=str(patch.uuid))
