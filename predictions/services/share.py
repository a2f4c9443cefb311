"""Owners decide who may look."""

from __future__ import annotations

from django.db import transaction

from accounts.models import User
from predictions.models import Event, Patch, Visibility


@transaction.atomic
def set_visibility(*, patch: Patch, actor: User, visibility: Visibility) -> None:
    """Share a patch or make it private again, with effect at once. Doing it twice is one event."""
    changed = Patch.objects.filter(pk=patch.pk).exclude(visibility=visibility).update(visibility=visibility)
    patch.visibility = visibility
    if changed:
        is_public = visibility == Visibility.PUBLIC
        Event.objects.create(
            kind=Event.Kind.SHARED if is_public else Event.Kind.MADE_PRIVATE, actor=actor, subject=str(patch.uuid)
        )
