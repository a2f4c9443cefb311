"""Headers of a request that say how it is to be answered."""

from __future__ import annotations

import re

from django.utils.translation import gettext as _
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

LONGEST_WAIT = 30  # seconds
KEY = re.compile(r"[\x21-\x7e]{1,200}")
# Digits are taken once for all (`++`): thousands before a letter would else be tried in all ways, for ten seconds.
WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?(\d++)\b", re.IGNORECASE)


def idempotency_key(request: Request) -> str:
    """The `Idempotency-Key`, or "". Raises ValidationError unless it is 1 to 200 visible ASCII characters."""
    key: str | None = request.headers.get("Idempotency-Key")
    if key is None:
        return ""
    if not KEY.fullmatch(key):
        raise ValidationError({"Idempotency-Key": [_("A key is 1 to 200 visible ASCII characters.")]})
    return key


def wait_seconds(request: Request) -> int:
    """N of `Prefer: wait=N` (RFC 7240), at most LONGEST_WAIT; 0 where it is not asked for or not understood."""
    found = WAIT.search(request.headers.get("Prefer", ""))
    if not found:
        return 0
    first = found[1].lstrip("0")[:3]  # of a longer number three digits say that it is too long
    return min(int(first or 0), LONGEST_WAIT)


def preference_applied(seconds: int) -> dict[str, str]:
    """The header that says what was understood of `Prefer`."""
    return {"Preference-Applied": f"wait={seconds}"} if seconds else {}
