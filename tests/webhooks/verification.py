"""What docs/api.md tells the owner of a receiver to do, word for word."""

import base64
import hashlib
import hmac
import time
from collections.abc import Mapping


def verify(headers: Mapping[str, str], body: bytes, secret: str) -> bool:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    identity, timestamp = headers["webhook-id"], headers["webhook-timestamp"]
    signed = identity.encode() + b"." + timestamp.encode() + b"." + body
    expected = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    is_fresh = abs(time.time() - int(timestamp)) < 300
    given = headers["webhook-signature"].split(" ")
    return is_fresh and any(hmac.compare_digest(expected, one) for one in given)
