"""Keeps answers to one person out of caches; turns away what is too large before any of it is read, and what no address
can be; says what a page may load."""

from collections.abc import Callable

from csp.constants import HEADER
from csp.middleware import CSPMiddleware
from csp.utils import build_policy
from django.conf import settings
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponsePermanentRedirect
from django.middleware.common import CommonMiddleware
from django.urls import reverse

from idc_site.errors import is_api, length_required, request_too_large


class PrivateMiddleware:
    """An answer to somebody who says who they are, or that sets a cookie, is theirs alone and asked for anew each time.

    A view that says how long its answer may be kept is left alone. Not `no-store`: a browser goes back to such a page
    at once, as it was, and what shows a secret forbids that itself. Others' answers have `Vary: Cookie` wherever a
    session would have changed them, by Django's own middleware.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        # From the headers: to look for the user would read the session of those whose answer does not depend on it.
        says_who = settings.SESSION_COOKIE_NAME in request.COOKIES or "Authorization" in request.headers
        if says_who or response.cookies:
            response.headers.setdefault("Cache-Control", "private, no-cache")
        return response


class RequestSizeMiddleware:
    """Answers 413 from the Content-Length alone; 411 to a body that comes without, of which Django reads nothing."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if _comes_in_chunks(request):
            return length_required(request)
        length = request.META.get("CONTENT_LENGTH") or "0"
        size = int(length) if length.isdecimal() else 0
        most = settings.REQUEST_MEGABYTES
        # Only predictions may come as an archive; what else is in such a request, their view measures.
        if size > most * 1024**2 and request.path_info == reverse("api:predictions"):
            most = max(most, settings.ZIP_MEGABYTES)
        if size > most * 1024**2:
            return request_too_large(request, megabytes=most)
        return self.get_response(request)


def _comes_in_chunks(request: HttpRequest) -> bool:
    """Whether there is a body whose length is not told. A call without a body may be marked so, and is answered."""
    if "Transfer-Encoding" not in request.headers or request.META.get("CONTENT_LENGTH"):
        return False
    try:
        return bool(request.META["wsgi.input"].read(1))
    except Exception:  # the server's own, of chunks that are none
        return True


class AddressMiddleware(CommonMiddleware):
    """Django's own, but under /api/ nothing is redirected to the address with a slash: a body would be lost."""

    def process_request(self, request: HttpRequest) -> HttpResponsePermanentRedirect | None:
        """Raises BadRequest on NUL, which PostgreSQL takes in no text."""
        if "\0" in request.path_info:
            raise BadRequest("NUL in the address")
        return super().process_request(request)

    def should_redirect_with_slash(self, request: HttpRequest) -> bool:
        return not is_api(request) and super().should_redirect_with_slash(request)


class PolicyMiddleware(CSPMiddleware):
    """django-csp's own, which puts the policy together anew for each answer. It is the same for all whose view changes
    nothing about it: no page has a nonce."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        super().__init__(get_response)
        self.policy = build_policy()

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        if any(name.startswith("_csp") for name in vars(response)):  # as its decorators do
            return super().process_response(request, response)
        response.headers.setdefault(HEADER, self.policy)
        return response
