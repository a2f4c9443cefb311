"""Tokens in the Authorization header of the API."""

from __future__ import annotations

import re

from allauth.account.adapter import get_adapter
from django.utils import timezone
from django.utils.translation import gettext as _
from knox.auth import TokenAuthentication
from knox.crypto import hash_token
from rest_framework.exceptions import AuthenticationFailed, Throttled
from rest_framework.request import Request

from accounts.models import ApiToken, User
from accounts.tokens import GUESSES_PER_MINUTE, count_wrong_guess, note_use

TOKEN = re.compile(rb"idc_[0-9a-f]{64}")


class ApiTokenAuthentication(TokenAuthentication):
    """`Authorization: Bearer idc_...`, in one query. What is not of that form is never looked up.

    Wrong tokens are counted by address, and past the limit answered with 429. A right one is answered whatever
    others at its address send: 256 random bits are not guessed, so there is nothing to win by shutting it out.
    """

    def authenticate(self, request: Request) -> tuple[User, ApiToken] | None:
        try:
            found: tuple[User, ApiToken] | None = super().authenticate(request)
        except AuthenticationFailed:
            if count_wrong_guess(get_adapter().get_client_ip(request._request)) > GUESSES_PER_MINUTE:
                raise Throttled(wait=60, detail=_("Too many wrong tokens from this address.")) from None
            raise
        return found

    def authenticate_credentials(self, token: bytes) -> tuple[User, ApiToken]:
        if not TOKEN.fullmatch(token):
            raise AuthenticationFailed(_("Invalid token."))
        digest = hash_token(token.decode())
        # Asked at every request: without an order, which `first` would add, and without a condition on the joined row.
        found = next(iter(ApiToken.objects.filter(digest=digest).select_related("user")), None)
        if found is None or found.expiry <= timezone.now() or not found.user.is_active:
            raise AuthenticationFailed(_("Invalid token."))
        note_use(found)
        found.user.is_by_token = True
        return found.user, found
