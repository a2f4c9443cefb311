"""Signatures as the Standard Webhooks specification 1.0.0 has them (symmetric, HMAC-SHA256)."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence

SECRET_PREFIX = "whsec_"  # noqa: S105  (no secret: what each begins with)


def as_secret(key: bytes) -> str:
    """The key in the form in which people copy it."""
    return SECRET_PREFIX + base64.b64encode(key).decode()


def sign(*, keys: Sequence[bytes], message_id: str, timestamp: int, body: str) -> str:
    """The value of `webhook-signature`: one signature for each key, so that a new secret breaks nothing."""
    content = f"{message_id}.{timestamp}.{body}".encode()
    digests = (hmac.new(key, content, hashlib.sha256).digest() for key in keys)
    return " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)
