"""Turns away what is too large before any of it is read."""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from idc_site.errors import request_too_large


class RequestSizeMiddleware:
    """Answers 413 from the Content-Length alone. A request without one has no body as far as Django reads."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        length = request.META.get("CONTENT_LENGTH") or "0"
        if length.isdecimal() and int(length) > settings.REQUEST_MEGABYTES * 1024**2:
            return request_too_large(request)
        return self.get_response(request)
