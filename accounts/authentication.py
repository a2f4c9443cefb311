"""Tokens in the Authorization header of the API."""

from __future__ import annotations

import re

from django.utils.translation import gettext_lazy as _
from knox.auth import TokenAuthentication
from rest_framework.exceptions import AuthenticationFailed

from accounts.models import ApiToken, User

TOKEN = re.compile(rb"idc_[0-9a-f]{64}")


class ApiTokenAuthentication(TokenAuthentication):
    """`Authorization: Bearer idc_...`. What is not of that form never reaches the database."""

    def authenticate_credentials(self, token: bytes) -> tuple[User, ApiToken]:
        if not TOKEN.fullmatch(token):
            raise AuthenticationFailed(_("Invalid token."))
        user, api_token = super().authenticate_credentials(token)
        return user, api_token
