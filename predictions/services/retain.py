"""How long private patches are kept: as their owner wishes, and never longer than the site allows."""

from __future__ import annotations

import time
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import DateTimeField, Exists, OuterRef, QuerySet, TextField
from django.db.models.expressions import CombinedExpression, Value
from django.db.models.functions import Cast, Now

from accounts.models import User
from predictions.models import Event, Patch, Visibility
from predictions.models.patch import PatchQuerySet
from predictions.services.withdraw import delete_patches

CHOICES = (30, 90, 365)  # days
AT_ONCE = 300  # patches a transaction
EXPIRE_SECONDS = 20


def kept_days(user: User) -> int | None:
    """How many days the private patches of `user` are kept, by their wish and the site's; None: for ever."""
    return min(filter(None, (user.private_patches_days, settings.PRIVATE_PATCHES_DAYS)), default=None)


def overdue(owner: User, days: int) -> PatchQuerySet:
    """Private patches that came more than so many days ago, and were not public within these days.

    That a patch was public is told by its events: it was made private by one.
    """
    until = CombinedExpression(Now(), "-", Value(timedelta(days=days)), output_field=DateTimeField())
    came_back = Event.objects.filter(
        subject=Cast(OuterRef("uuid"), TextField()), kind=Event.Kind.MADE_PRIVATE, created_at__gte=until
    )
    private = Patch.objects.filter(owner=owner, visibility=Visibility.PRIVATE, created_at__lt=until)
    return private.filter(~Exists(came_back))


@transaction.atomic
def set_retention(*, user: User, days: int | None) -> None:
    """Keep the private patches of `user` for so many days, one of CHOICES; None: until they are deleted."""
    if (
        User.objects.filter(pk=user.pk, is_active=True)
        .exclude(private_patches_days=days)
        .update(private_patches_days=days)
    ):
        Event.objects.create(kind=Event.Kind.RETENTION_SET, actor=user, subject="account", payload={"days": days})
    user.private_patches_days = days


def expire(*, seconds: float = EXPIRE_SECONDS) -> int:
    """Delete what is overdue until nothing is left or the time is up; return how many patches went."""
    deadline, gone = time.monotonic() + seconds, 0
    for user in _limited():
        days = kept_days(user)
        while days and time.monotonic() < deadline:
            deleted = _expire_some(user, days)
            gone += deleted
            if deleted < AT_ONCE:
                break
    return gone


def _limited() -> QuerySet[User]:
    people = User.objects.filter(erased_at__isnull=True).order_by("pk").only("pk", "private_patches_days")
    return people if settings.PRIVATE_PATCHES_DAYS else people.filter(private_patches_days__isnull=False)


@transaction.atomic
def _expire_some(user: User, days: int) -> int:
    """How many were deleted. Looked for, locked, and looked at again: one that is shared meanwhile stays."""
    found = overdue(user, days).order_by("created_at").values_list("pk", flat=True)[:AT_ONCE]
    locked = Patch.objects.filter(pk__in=list(found)).order_by("pk").select_for_update(skip_locked=True, of=("self",))
    still = overdue(user, days).filter(pk__in=[patch.pk for patch in locked.only("pk")])
    return len(delete_patches(still, kind=Event.Kind.EXPIRED, actor=None))
