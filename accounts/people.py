"""What staff do to other people's accounts. Each leaves an event, whose subject is `user <id>`: no address."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module

from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib.auth.models import Group, Permission
from django.db import transaction
from django.utils.translation import gettext_lazy as _

from accounts.models import ApiToken, User
from predictions.exceptions import ServiceError
from predictions.models import Event


class LastSuperuser(ServiceError):
    code = "last_superuser"
    message = _("This is the only superuser of the site. Make somebody else one first.")
    status = 409


class NotYours(ServiceError):
    code = "not_yours"
    message = _("Only a superuser changes the account of staff, and nobody closes their own.")
    status = 403


@transaction.atomic
def set_active(*, user: User, actor: User, is_active: bool) -> None:
    """Close an account, or open it again. Closed, its sessions and tokens are dead at once and stay so.

    What it shared stays: hide or erase that by itself. Doing it twice is one event.

    Raises:
        NotYours: it is the actor's own, or that of staff and the actor is no superuser.
    """
    if user.pk == actor.pk or (user.is_staff and not actor.is_superuser):
        raise NotYours
    there = User.objects.filter(pk=user.pk, erased_at__isnull=True)
    if not there.exclude(is_active=is_active).update(is_active=is_active):
        return
    if not is_active:
        end_sessions(user)
        ApiToken.objects.filter(user=user).delete()
    _record(Event.Kind.USER_OPENED if is_active else Event.Kind.USER_CLOSED, actor, user)


@transaction.atomic
def set_quota(*, user: User, actor: User, patches_per_day: int | None) -> None:
    """How many patches they may send a day; None: what everybody may."""
    if User.objects.filter(pk=user.pk, patches_per_day=patches_per_day).exists():
        return
    User.objects.filter(pk=user.pk).update(patches_per_day=patches_per_day)
    _record(Event.Kind.QUOTA_SET, actor, user, patches_per_day=patches_per_day)


@transaction.atomic
def set_roles(
    *,
    user: User,
    actor: User,
    is_staff: bool,
    is_superuser: bool,
    groups: Iterable[Group],
    permissions: Iterable[Permission],
) -> None:
    """What they may do. The event names what changed.

    Raises:
        NotYours: the actor is no superuser.
        LastSuperuser: nobody else could give roles.
    """
    if not actor.is_superuser:
        raise NotYours
    if not is_superuser:
        refuse_last_superuser(user)
    found = User.objects.select_for_update().get(pk=user.pk)
    roles = {"is_staff": is_staff, "is_superuser": is_superuser}
    changes: dict[str, object] = {name: value for name, value in roles.items() if getattr(found, name) != value}
    if changes:
        User.objects.filter(pk=user.pk).update(**changes)
    if set(found.groups.all()) != set(groups):
        found.groups.set(groups)
        changes["groups"] = sorted(group.name for group in groups)
    if set(found.user_permissions.all()) != set(permissions):
        found.user_permissions.set(permissions)
        changes["permissions"] = sorted(permission.codename for permission in permissions)
    if changes:
        _record(Event.Kind.ROLES_SET, actor, user, **changes)


def refuse_last_superuser(user: User) -> None:
    """In a transaction. Raises LastSuperuser if nobody else could give roles."""
    superusers = User.objects.filter(is_superuser=True, is_active=True).order_by("pk").select_for_update()
    if [one.pk for one in superusers] == [user.pk]:
        raise LastSuperuser


@transaction.atomic
def revoke(*, token: ApiToken, actor: User) -> None:
    """End a token of somebody's. Doing it twice is one event."""
    deleted, _each = ApiToken.objects.filter(pk=token.pk).delete()
    if deleted:
        Event.objects.create(kind=Event.Kind.TOKEN_REVOKED, actor=actor, subject=f"token {token.uuid}")


@transaction.atomic
def reset_mfa(*, user: User, actor: User | None = None) -> int:
    """Remove the second factors of someone who lost them, and end their sessions. How many there were.

    actor: None on the command line, where whoever holds the machine decides.
    """
    removed: int
    removed, _each = Authenticator.objects.filter(user=user).delete()
    end_sessions(user)
    _record(Event.Kind.MFA_RESET, actor, user)
    return removed


def end_sessions(user: User, *, except_key: str | None = None) -> None:
    """Sign them out everywhere, but for the session of this key."""
    sessions = UserSession.objects.filter(user=user).exclude(session_key=except_key or "")
    keys = list(sessions.values_list("session_key", flat=True))
    import_module(settings.SESSION_ENGINE).SessionStore.get_model_class().objects.filter(session_key__in=keys).delete()
    sessions.delete()


def _record(kind: Event.Kind, actor: User | None, user: User, **payload: object) -> None:
    Event.objects.create(kind=kind, actor=actor, subject=f"user {user.pk}", payload=payload)
