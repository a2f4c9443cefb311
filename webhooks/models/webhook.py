from __future__ import annotations

import secrets
import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext_lazy as _

from webhooks.addresses import MAX_URL
from webhooks.exceptions import failure_message
from webhooks.signature import as_secret

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

    from accounts.models import User

OLD_SECRET_SIGNS = timedelta(days=1)


def new_salt() -> str:
    return secrets.token_hex(32)


class PauseReason(models.TextChoices):
    """Why a webhook is paused."""

    OWNER = "owner", _("paused by you")
    FAILING = "failing", _("paused because deliveries were given up one after the other")
    GONE = "gone", _("paused because the receiver answered 410: it wants no more")


class WebhookQuerySet(models.QuerySet["Webhook"]):
    def visible_to(self, user: User | AnonymousUser) -> WebhookQuerySet:
        """A webhook is for its owner alone: staff see it in the admin, without what was sent back."""
        return self.filter(owner=user) if user.is_authenticated else self.none()


class Webhook(models.Model):
    """An address of a user's that is told when something of theirs is done.

    The secret that signs is not stored: it is derived from SECRET_KEY and `salt`, so the database alone gives
    nobody what signs. After a change the one before it signs too, for OLD_SECRET_SIGNS.
    failures: deliveries given up in a row. last_error: a key of exceptions.FAILURES, "" if the last attempt arrived.
    told_until: every batch made before it has been told (announce's own mark).
    """

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="webhooks")
    url = models.CharField(max_length=MAX_URL)
    salt = models.CharField(max_length=64, default=new_salt)
    salt_before = models.CharField(max_length=64, blank=True)
    secret_changed_at = models.DateTimeField(null=True, blank=True)
    is_active = models.BooleanField(default=True)
    pause_reason = models.CharField(max_length=7, choices=PauseReason.choices, blank=True)
    failures = models.PositiveSmallIntegerField(default=0)
    last_attempt_at = models.DateTimeField(null=True, blank=True)
    last_error = models.CharField(max_length=40, blank=True)
    told_until = models.DateTimeField(db_default=Now())
    created_at = models.DateTimeField(db_default=Now())

    objects: ClassVar[WebhookQuerySet] = WebhookQuerySet.as_manager()  # type: ignore[assignment]  # ours is narrower

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(is_active=True, pause_reason="") | Q(is_active=False, pause_reason__in=PauseReason.values),
                name="%(app_label)s_%(class)s_paused_has_reason",
            )
        ]

    def __str__(self) -> str:
        return str(self.uuid)

    @property
    def secret(self) -> str:
        """What the owner verifies signatures with. Show it once."""
        return as_secret(self._key(self.salt))

    @property
    def signing_keys(self) -> list[bytes]:
        """The key of the secret, and of the one before it while that still signs."""
        is_recent = self.secret_changed_at and timezone.now() - self.secret_changed_at < OLD_SECRET_SIGNS
        return [self._key(salt) for salt in (self.salt, self.salt_before if is_recent else "") if salt]

    def _key(self, salt: str) -> bytes:
        return salted_hmac("webhooks.Webhook.secret", f"{self.uuid}.{salt}", algorithm="sha256").digest()

    @property
    def last_error_message(self) -> str:
        return failure_message(self.last_error) if self.last_error else ""
