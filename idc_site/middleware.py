"""Turns away what is too large before any of it is read."""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from idc_site.errors import request_too_large


class RequestSizeMiddleware:
    """Answers 413 from the Content-Length alone. A request without one has no body as far as Django reads."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        length = request.META.get("CONTENT_LENGTH") or "0"
        # Only predictions may come as an archive; what else is in such a request, their view measures.
        takes_archives = request.path_info == reverse("api:predictions")
        most = max(settings.REQUEST_MEGABYTES, settings.ZIP_MEGABYTES if takes_archives else 0)
        if length.isdecimal() and int(length) > most * 1024**2:
            return request_too_large(request, megabytes=most)
        return self.get_response(request)
