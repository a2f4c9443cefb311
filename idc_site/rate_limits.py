"""How many requests a minute the API answers, by user and by token; told in headers.

The headers are those of the IETF's draft "RateLimit header fields for HTTP" (draft-ietf-httpapi-ratelimit-headers).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from allauth.account.adapter import get_adapter
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from accounts.counters import MINUTE, count
from accounts.models import ApiToken

if TYPE_CHECKING:  # REST framework imports this module while it makes its views
    from rest_framework.views import APIView

# One program that runs wild leaves its user's others, and the browser, half of what the user has.
TOKEN_SHARE = 0.5
ANONYMOUS_SHARE = 0.1


@dataclass(frozen=True)
class Limit:
    """What is left of one limit. seconds: until it begins anew."""

    name: str
    most: int
    left: int
    seconds: int


class PerMinute(BaseThrottle):
    """REST framework's hook: counts the request, in one statement, and keeps what is left for `RateLimitMiddleware`."""

    seconds = 0

    def allow_request(self, request: Request, view: APIView) -> bool:
        kind = "reads" if request.method in SAFE_METHODS else "changes"
        most = settings.READS_PER_MINUTE if kind == "reads" else settings.CHANGES_PER_MINUTE
        if request.user.is_authenticated:
            keys = {f"{kind} of user {request.user.pk}": most}
            if isinstance(request.auth, ApiToken):
                keys[f"{kind} of token {request.auth.uuid}"] = max(int(most * TOKEN_SHARE), 1)
        else:
            address = get_adapter().get_client_ip(request._request)
            keys = {f"{kind} of address {address}": max(int(most * ANONYMOUS_SHARE), 1)}
        limits = [
            Limit(kind, keys[counted.key], keys[counted.key] - counted.number, counted.seconds)
            for counted in count(list(keys), period=MINUTE)
        ]
        tightest = min(limits, key=lambda limit: limit.left)
        request._request.rate_limit = tightest  # type: ignore[attr-defined]  # for the middleware below
        self.seconds = tightest.seconds
        return tightest.left >= 0

    def wait(self) -> float:
        return self.seconds


class RateLimitMiddleware:
    """Says in the headers of every counted answer what is left."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        limit: Limit | None = getattr(request, "rate_limit", None)
        if limit:
            response["RateLimit-Policy"] = f'"{limit.name}";q={limit.most};w={MINUTE.seconds}'
            response["RateLimit"] = f'"{limit.name}";r={max(limit.left, 0)};t={limit.seconds}'
        return response
