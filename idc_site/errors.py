"""Answers to what goes wrong outside a view: pages for people, and under /api/ the one JSON form."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NamedTuple

from django.conf import settings
from django.core.exceptions import BadRequest, RequestDataTooBig, TooManyFieldsSent, TooManyFilesSent
from django.db import DatabaseError, InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from idc_site.bodies import CutBody

if TYPE_CHECKING:
    from predictions.exceptions import ServiceError

RETRY_SECONDS = 10


def is_api(request: HttpRequest) -> bool:
    return request.path_info.startswith("/api/")


def error_body(code: str, message: str, field: str | None = None) -> dict[str, dict[str, str]]:
    """{"error": {"code", "message", "field"?}}: the one form of an error under /api/."""
    return {"error": {"code": code, "message": message} | ({"field": field} if field else {})}


def error_response(request: HttpRequest, *, status: int, code: str, title: str, message: str) -> HttpResponse:
    """A page that needs neither database nor session, or JSON."""
    if is_api(request):
        return JsonResponse(error_body(code, message), status=status)
    page = render_to_string("errors/error.html", {"status": status, "title": title, "message": message})
    return HttpResponse(page, status=status)


def refusal(request: HttpRequest, error: ServiceError) -> HttpResponse:
    """What a service refuses, at an address that has no page of its own to say it on."""
    return error_response(
        request, status=error.status, code=error.code, title=_("This is not possible"), message=str(error)
    )


class Wrong(NamedTuple):
    """What is wrong with a request that never became one for a view, or that none can read."""

    status: int
    code: str
    title: str
    message: str


UNREADABLE = (BadRequest, RequestDataTooBig, TooManyFieldsSent, TooManyFilesSent)


def wrong_request(exception: Exception) -> Wrong:
    """Of what is raised while a request is read, UNREADABLE above all."""
    if isinstance(exception, CutBody):
        message = _("What was sent has no end: it was cut on its way. Send it again, whole.")
        return Wrong(400, "parse_error", _("Only a part arrived"), message)
    if isinstance(exception, TooManyFilesSent):
        return Wrong(400, "too_many_files", _("Too many files"), _too_many_files())
    if isinstance(exception, TooManyFieldsSent):
        message = _("At most %(number)d fields can be sent at once.") % {
            "number": settings.DATA_UPLOAD_MAX_NUMBER_FIELDS
        }
        return Wrong(400, "bad_request", _("Too many fields"), message)
    if isinstance(exception, RequestDataTooBig):
        message = _("What was sent beside the files is larger than %(kilobytes)d kB.")
        kilobytes = settings.DATA_UPLOAD_MAX_MEMORY_SIZE // 1024
        return Wrong(413, "too_large", _("Too large"), message % {"kilobytes": kilobytes})
    message = _("The address or the data sent with it is not of a form this site knows.")
    return Wrong(400, "bad_request", _("This request cannot be understood"), message)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return error_response(request, **wrong_request(exception)._asdict())


def _too_many_files() -> str:
    most: int = settings.IMAGES_PER_REQUEST
    said = ngettext(
        "At most %(number)d image can be sent at once.", "At most %(number)d images can be sent at once.", most
    )
    return f"{said % {'number': most}} {_('Send the rest in further requests.')}"


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    return error_response(
        request,
        status=403,
        code="permission_denied",
        title=_("Not allowed"),
        message=_("You may not do this with the account you are signed in to."),
    )


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    return error_response(
        request,
        status=403,
        code="csrf_failed",
        title=_("Please send this again"),
        message=_("The page was open for too long or cookies are switched off. Go back, reload it and send it again."),
    )


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    if is_api(request):
        message = _("There is no such address. Those of the API are in /api/schema/, and end with a slash.")
        return JsonResponse(error_body("not_found", message), status=404)
    return error_response(
        request,
        status=404,
        code="not_found",
        title=_("Nothing here"),
        message=_("There is nothing at this address, or it is not public. It may have been deleted or made private."),
    )


def request_too_large(request: HttpRequest, *, megabytes: int) -> HttpResponse:
    return error_response(
        request,
        status=413,
        code="too_large",
        title=_("Too large"),
        message=_("At most %(megabytes)d MB can be sent at once. Send fewer images.") % {"megabytes": megabytes},
    )


def length_required(request: HttpRequest) -> HttpResponse:
    return error_response(
        request,
        status=411,
        code="length_required",
        title=_("How long is it?"),
        message=_("Say in Content-Length how long the body is: what comes in chunks is not read."),
    )


def is_database_away(error: BaseException | None) -> bool:
    """Whether the database did not answer. A connection that breaks in the midst of an answer is psycopg2's bare
    DatabaseError, without a code of PostgreSQL's."""
    is_bare = type(error) is DatabaseError and getattr(error.__cause__, "pgcode", None) is None
    return is_bare or isinstance(error, OperationalError | InterfaceError)


def server_error(request: HttpRequest) -> HttpResponse:
    """500; or 503 when the database did not answer, which is no fault of the request and passes."""
    if is_database_away(sys.exc_info()[1]):
        response = error_response(
            request,
            status=503,
            code="unavailable",
            title=_("Back in a moment"),
            message=_("The database does not answer. Nothing of what you sent was stored. Try again in a moment."),
        )
        response["Retry-After"] = str(RETRY_SECONDS)
        return response
    return error_response(
        request,
        status=500,
        code="server_error",
        title=_("Something went wrong here"),
        message=_("The error has been recorded. Try again; if it stays, tell those who run this site."),
    )
