"""An authenticator app for tests."""

from __future__ import annotations

import re
import time

from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from django.test import Client
from django.urls import reverse

from tests.processes import wait_for

PERIOD = 30


def code_of(secret: str, *, ahead: int = 0) -> str:
    """What an app shows; with a few seconds of its half minute left, so that it arrives in time."""
    wait_for(lambda: time.time() % PERIOD < PERIOD - 4, what="a new half minute")
    return str(format_hotp_value(hotp_value(secret, int(time.time()) // PERIOD + ahead)))


def shown_secret(page: str) -> str:
    found = re.search(r'<code class="secret">([A-Z2-7]+)</code>', page)
    assert found
    return found[1]


def set_up_app(client: Client, password: str) -> str:
    """Sets up an app as a person does, password asked again; returns its secret."""
    address = reverse("mfa_activate_totp")
    client.post(reverse("account_reauthenticate"), {"password": password, "next": address})
    secret = shown_secret(client.get(address).content.decode())
    answer = client.post(address, {"code": code_of(secret)})
    assert answer["Location"] == reverse("mfa_view_recovery_codes")
    return secret
