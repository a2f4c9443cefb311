"""Erasing an account: at once for everybody's eyes, then row by row until nothing of it is left.

`erase` closes the account and frees its address; from then on the row of the user is the job. `remove_some` does a
bounded piece of it under a lock on that row, so it can be lost, repeated, or run by two processes, and goes on where
it was. The last piece is the row itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

from allauth.account.models import EmailAddress
from django.contrib.admin.models import LogEntry
from django.contrib.auth import SESSION_KEY
from django.contrib.auth.hashers import make_password
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.models import Session
from django.db import models, transaction
from django.db.models import ForeignObjectRel
from django.db.models.functions import Now

from accounts.exports import drop_chunks
from accounts.models import ApiToken, Counter, Export, User
from accounts.people import refuse_last_superuser
from predictions.models import Batch, Event, Patch
from reviews.models import Draw, Outcome, Report, Review

AT_ONCE = 200  # rows that others hang on
ROWS_AT_ONCE = 5000  # rows that are only changed
SESSIONS_READ = 1000
# What others hang on goes first; of the rest, the order does not matter.
FIRST: tuple[type[models.Model], ...] = (Batch, Patch)
# Where what somebody did stays without their name, free words go with it: they may say who wrote them.
WORDS: dict[type[models.Model], dict[str, str]] = {Review: {"comment": ""}, Report: {"comment": ""}}


@transaction.atomic
def erase(*, user: User, by: str = "owner") -> None:
    """Close the account for good: sessions and tokens end, its patches are shown to nobody, its address is free.

    by: "owner" or "operator". All that was theirs is removed soon after (`remove_some`). Doing it twice is once.

    Raises:
        LastSuperuser: nobody else could give roles.
    """
    refuse_last_superuser(user)
    closed = User.objects.filter(pk=user.pk, erased_at__isnull=True).update(
        email=f"{uuid4()}@erased.invalid",
        password=make_password(None),
        is_active=False,
        is_staff=False,
        is_superuser=False,
        last_login=None,
        last_visibility="",
        erased_at=Now(),
    )
    if closed:
        ApiToken.objects.filter(user=user).delete()
        EmailAddress.objects.filter(user=user).delete()
        Event.objects.create(kind=Event.Kind.ERASED, subject="account", payload={"by": by})


@transaction.atomic
def remove_some() -> bool:
    """Remove a few hundred rows of one erased account, or its last; whether there was any such account."""
    erased = User.objects.filter(erased_at__isnull=False).order_by("erased_at")
    user = erased.select_for_update(skip_locked=True).first()
    if user is None:
        return False
    Draw.objects.filter(reviewer=user, outcome=Outcome.OPEN).delete()  # a question to nobody
    drop_chunks(Export.objects.filter(owner=user))
    if not any(_let_go(user, relation) for relation in relations()):
        _forget_elsewhere(user)
        user.delete()
    return True


def relations() -> list[ForeignObjectRel]:
    """Everything in the database that points to a user, in the order in which it is removed or made anonymous."""
    found = [
        field
        for field in User._meta.get_fields(include_hidden=True)
        if isinstance(field, ForeignObjectRel) and not isinstance(field, models.ManyToManyRel)
    ]
    places = {model: place for place, model in enumerate(FIRST)}
    return sorted(found, key=lambda relation: places.get(relation.related_model, len(FIRST)))


def _let_go(user: User, relation: ForeignObjectRel) -> bool:
    """Delete some rows that belong to `user`, or make some of what they did anonymous; whether there were any."""
    model, name = relation.related_model, relation.field.name
    rows = model._base_manager.filter(**{name: user})
    if relation.on_delete is models.CASCADE:
        # Locked before what hangs on them: so does who answers, or looks for, what is going.
        keys = list(rows.order_by("pk").select_for_update().values_list("pk", flat=True)[:AT_ONCE])
        model._base_manager.filter(pk__in=keys).delete()
    else:
        keys = list(rows.order_by("pk").values_list("pk", flat=True)[:ROWS_AT_ONCE])
        model._base_manager.filter(pk__in=keys).update(**{name: None}, **WORDS.get(model, {}))
    return bool(keys)


def _forget_elsewhere(user: User) -> None:
    """What names the account without pointing to it."""
    for sessions in _sessions_of(user):
        Session.objects.filter(pk__in=sessions).delete()
    Counter.objects.filter(key__endswith=f" of user {user.pk}").delete()
    about = LogEntry.objects.filter(content_type=ContentType.objects.get_for_model(User), object_id=str(user.pk))
    about.update(object_repr="erased account", change_message="")


def _sessions_of(user: User) -> Iterator[list[str]]:
    """Whose a session is stands inside it alone: all are read, as they lie in the table, some at a time."""
    last = ""
    while step := list(Session.objects.filter(pk__gt=last).order_by("pk")[:SESSIONS_READ]):
        last = step[-1].pk
        yield [session.pk for session in step if session.get_decoded().get(SESSION_KEY) == str(user.pk)]
