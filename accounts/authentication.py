"""Tokens in the Authorization header of the API."""

from __future__ import annotations

import re
from functools import cache

from allauth.account.adapter import get_adapter
from django.db import connection
from django.utils import timezone
from django.utils.translation import gettext as _
from knox.auth import TokenAuthentication
from knox.crypto import hash_token
from rest_framework.exceptions import AuthenticationFailed, Throttled
from rest_framework.request import Request

from accounts.models import ApiToken, User
from accounts.tokens import GUESSES_PER_MINUTE, count_wrong_guess, note_use
from idc_site.postgres.prepared import Prepared, execute

FIND = "SELECT {columns} FROM {tokens} JOIN {users} ON {users}.id = {tokens}.user_id WHERE {tokens}.digest = %(digest)s"
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
            # knox's own sentences, too, are of something that is no token.
            if count_wrong_guess(get_adapter().get_client_ip(request._request)) > GUESSES_PER_MINUTE:
                raise Throttled(wait=60, detail=_("Too many wrong tokens from this address.")) from None
            raise AuthenticationFailed(
                _("This token is unknown, expired or revoked. Make one on the page “API tokens” of the account.")
            ) from None
        return found

    def authenticate_credentials(self, token: bytes) -> tuple[User, ApiToken]:
        if not TOKEN.fullmatch(token):
            raise AuthenticationFailed
        found = _find(hash_token(token.decode()))
        if found is None or found.expiry <= timezone.now() or not found.user.is_active:
            raise AuthenticationFailed
        note_use(found)
        found.user.is_by_token = True
        return found.user, found


def _find(digest: str) -> ApiToken | None:
    """The token of this digest with its user. Asked at every request, so the statement is written once."""
    token_fields, user_fields = ([field.attname for field in kind._meta.concrete_fields] for kind in (ApiToken, User))
    with connection.cursor() as cursor:
        execute(cursor, {"digest": digest}, _statement())
        row = cursor.fetchone()
    if row is None:
        return None
    token: ApiToken = ApiToken.from_db("default", token_fields, row[: len(token_fields)])
    token.user = User.from_db("default", user_fields, row[len(token_fields) :])
    return token


@cache
def _statement() -> Prepared:
    tokens, users = ApiToken._meta.db_table, User._meta.db_table
    columns = [
        f"{kind._meta.db_table}.{connection.ops.quote_name(str(field.column))}"
        for kind in (ApiToken, User)
        for field in kind._meta.concrete_fields
    ]
    statement = FIND.format(columns=", ".join(columns), tokens=tokens, users=users)
    return Prepared("find_token", statement, {"digest": "text"})
