"""People, their API tokens, and the archives of what is theirs."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from django.conf import settings
from django.contrib.auth.models import AbstractUser, BaseUserManager
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.functions import RandomUUID
from django.db import models, transaction
from django.db.models import Q
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _
from knox.models import AbstractAuthToken

from predictions.models.job import Job, Status

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

SECOND_FACTORS = ["totp", "webauthn"]  # recovery codes stand in for them and count for none
REVIEWERS = "reviewers"  # the group of those who are invited to review


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **fields: Any) -> User:
        if not email:
            raise ValueError("A user has an e-mail address.")
        user = self.model(email=self.normalize_email(email).lower(), **fields)
        user.set_password(password)
        user.save()
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> User:
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)


class User(AbstractUser):  # type: ignore[django-manager-missing]  # of tokens: knox carries no types
    """Someone with an account. The e-mail address is the login; there is no user name.

    private_patches_days: how long private patches are kept; null: until they are deleted, or as long as the site
    keeps any. erased_at: when the account was erased; until all that was theirs is removed, the row is the job to do
    it (accounts/erasure.py), under an address that is nobody's.
    """

    username = None  # type: ignore[assignment]  # the documented way to drop an inherited field
    first_name = None  # type: ignore[assignment]  # likewise
    last_name = None  # type: ignore[assignment]  # likewise
    email = models.EmailField(_("e-mail address"), unique=True)
    # The choice made at the last upload, offered at the next. Empty: nothing is chosen beforehand.
    last_visibility = models.CharField(max_length=7, blank=True)
    # What staff allow this user, where it is not what everybody may (settings.PATCHES_PER_DAY).
    patches_per_day = models.PositiveIntegerField(_("patches a day"), null=True, blank=True)
    private_patches_days = models.PositiveSmallIntegerField(null=True, blank=True)
    erased_at = models.DateTimeField(null=True, blank=True, editable=False)

    is_by_token = False  # set on the user of a request that a token signs, see accounts.authentication

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    objects: ClassVar[UserManager] = UserManager()  # type: ignore[assignment]  # ours is narrower

    class Meta(AbstractUser.Meta):
        constraints = [
            models.CheckConstraint(
                condition=Q(erased_at__isnull=True) | Q(is_active=False),
                name="%(app_label)s_%(class)s_erased_is_closed",
            )
        ]
        # What every list of shared patches leaves out, and what the chores look for.
        indexes = [
            models.Index(fields=["id"], condition=Q(is_active=False), name="user_closed"),
            models.Index(fields=["erased_at"], condition=Q(erased_at__isnull=False), name="user_erased"),
        ]

    def __str__(self) -> str:
        return self.email

    @cached_property
    def is_reviewer(self) -> bool:
        """Whether they may say what patches show: who acts as staff, and those in the group. Asked once a request."""
        return self.is_active and (self.sees_all or self.groups.filter(name=REVIEWERS).exists())

    @cached_property
    def sees_all(self) -> bool:
        """Whether they act as staff: see everybody's rows, enter the admin. Asked once a request.

        Not with a token, which whoever finds it may use, and, where staff need a second factor, not without one: the
        login asks for it as soon as there is one.
        """
        if not (self.is_active and self.is_staff) or self.is_by_token:
            return False
        from allauth.mfa.utils import is_mfa_enabled  # its models want the user's

        return not settings.STAFF_NEEDS_MFA or is_mfa_enabled(self, SECOND_FACTORS)

    def save(self, *args: Any, **kwargs: Any) -> None:
        """A new password revokes all tokens, whichever door it came by; a stronger hash of the old one none."""
        # Set between set_password and save, and by nothing else: Django itself asks it for the same purpose.
        # `_password` is what `set_password` leaves until `save`; the stubs of Django do not know it.
        is_new_password = self._password is not None and self.pk is not None  # type: ignore[attr-defined]
        with transaction.atomic():
            super().save(*args, **kwargs)
            if is_new_password:
                ApiToken.objects.filter(user=self).delete()


class Scope(models.TextChoices):
    """What a token opens. A token can never manage tokens or the account."""

    READ = "read", _("read patches, answers, batches, webhooks and reviews")
    PREDICT = "predict", _("send patches, try again, ask another model")
    MANAGE = "manage", _("share, delete, report, review, say what patches show, set up webhooks")


class ApiToken(AbstractAuthToken):
    """A named key of a program that acts for its user. Only a digest of it is stored."""

    uuid = models.UUIDField(db_default=RandomUUID(), unique=True, editable=False)
    name = models.CharField(max_length=80)
    scopes = ArrayField(models.CharField(max_length=7, choices=Scope.choices))
    last_used_at = models.DateTimeField(null=True)
    patches_per_day = models.PositiveIntegerField(null=True)  # of what its user may send; null: all of it

    class Meta:
        verbose_name = _("API token")
        verbose_name_plural = _("API tokens")
        constraints = [
            models.CheckConstraint(condition=models.Q(expiry__isnull=False), name="accounts_apitoken_expires")
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def scope_labels(self) -> list[str]:
        return [str(Scope(scope).label) for scope in self.scopes]


class Counter(models.Model):
    """How often something happened since `since`. Counted by accounts.counters, tidied by chores.

    The table is unlogged: nothing is written to disk for a count, and after a crash all begin anew.
    """

    key = models.CharField(max_length=200, primary_key=True)
    since = models.DateTimeField()
    number = models.PositiveIntegerField()

    def __str__(self) -> str:
        return self.key


class ExportQuerySet(models.QuerySet["Export"]):
    def visible_to(self, user: User | AnonymousUser) -> ExportQuerySet:
        """All that somebody has is for that person alone, not for staff."""
        return self.filter(owner=user) if user.is_authenticated else self.none()


class Export(Job):
    """An archive of everything of one user's, made by the chores process and kept for KEPT.

    queued -> running -> succeeded, or failed, or queued again. patches_done: of the pictures, the longest part.
    size: of the archive in bytes; null while there is none, or no more. A whole one that is gone because pictures in it
    are deleted or to be forgotten says so in error_code (FORGOTTEN); otherwise there is a newer one.
    """

    KEPT: ClassVar = timedelta(days=3)
    FORGOTTEN: ClassVar = "forgotten"

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    owner = models.ForeignKey(User, on_delete=models.CASCADE, related_name="exports")
    patches = models.PositiveIntegerField(default=0)
    patches_done = models.PositiveIntegerField(default=0)
    size = models.PositiveBigIntegerField(null=True)

    objects: ClassVar[ExportQuerySet] = ExportQuerySet.as_manager()  # type: ignore[assignment]  # ours is narrower

    class Meta(Job.Meta):
        constraints = [
            *Job.Meta.constraints,
            models.UniqueConstraint(
                fields=["owner"],
                condition=Q(status__in=("queued", "running")),
                name="%(app_label)s_%(class)s_one_at_a_time",
            ),
            models.CheckConstraint(
                condition=~Q(status__in=("succeeded", "failed")) | Q(finished_at__isnull=False),
                name="%(app_label)s_%(class)s_finished_has_time",
            ),
            models.CheckConstraint(
                condition=Q(status="succeeded") | Q(size__isnull=True), name="%(app_label)s_%(class)s_whole_has_size"
            ),
        ]

    def __str__(self) -> str:
        return str(self.uuid)

    @property
    def is_ready(self) -> bool:
        return self.status == Status.SUCCEEDED and self.size is not None

    @property
    def is_forgotten(self) -> bool:
        return self.status == Status.SUCCEEDED and self.error_code == self.FORGOTTEN

    @property
    def expires_at(self) -> datetime | None:
        return self.finished_at and self.finished_at + self.KEPT


class ExportChunk(models.Model):
    """A piece of an archive, all of one length but the last. In the database, where every web process finds it."""

    export = models.ForeignKey(Export, on_delete=models.CASCADE, related_name="chunks", db_index=False)
    position = models.PositiveIntegerField()
    data = models.BinaryField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["export", "position"], name="%(app_label)s_%(class)s_position_once")
        ]

    def __str__(self) -> str:
        return f"{self.export_id}/{self.position}"
