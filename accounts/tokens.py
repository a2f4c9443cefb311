"""Every write to API tokens, and the limit on guessing them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.counters import MINUTE, count
from accounts.models import ApiToken, Scope, User
from predictions.exceptions import ServiceError

DEFAULT_DAYS = 90
TOKENS_PER_USER = 20
USE_NOTED_EVERY = timedelta(minutes=1)
GUESSES_PER_MINUTE = 10  # wrong ones from one address


class TooManyTokens(ServiceError):
    code = "too_many_tokens"
    message = _("You have 20 tokens. Revoke one that is not used any more.")
    status = 409


@transaction.atomic
def create_token(
    *,
    user: User,
    name: str,
    scopes: Sequence[Scope | str],
    days: int = DEFAULT_DAYS,
    patches_per_day: int | None = None,
) -> tuple[ApiToken, str]:
    """A new token of `user`, and its text, which cannot be read again.

    days: until it expires, 1..366. patches_per_day: what it may send at most, of what its user may.

    Raises:
        TooManyTokens: the user has TOKENS_PER_USER that have not expired.
    """
    User.objects.select_for_update().get(pk=user.pk)
    ApiToken.objects.filter(user=user, expiry__lt=Now()).delete()
    if ApiToken.objects.filter(user=user).count() >= TOKENS_PER_USER:
        raise TooManyTokens
    created: tuple[ApiToken, str] = ApiToken.objects.create(
        user, name=name, scopes=list(scopes), expiry=timedelta(days=days), patches_per_day=patches_per_day
    )
    return created


def revoke_token(*, user: User, token_id: UUID) -> bool:
    """Whether there was such a token of this user. It is refused from the next request on."""
    deleted, _each = ApiToken.objects.filter(user=user, uuid=token_id).delete()
    return bool(deleted)


def note_use(token: ApiToken) -> None:
    """When the token was last used, to the minute: not every request writes."""
    now = timezone.now()
    if token.last_used_at is None or token.last_used_at < now - USE_NOTED_EVERY:
        ApiToken.objects.filter(pk=token.pk).update(last_used_at=now)


def count_wrong_guess(address: str) -> int:
    """How many wrong tokens came from this address within a minute of the first, this one included."""
    (counted,) = count([f"wrong tokens from {address}"], period=MINUTE)
    return counted.number
