"""Every error under /api/ in one form: {"error": {"code", "message", "field"?}}."""

from __future__ import annotations

from typing import Any

from django.http import Http404
from django.utils.translation import gettext as _
from rest_framework.exceptions import APIException, NotAuthenticated, NotFound, UnsupportedMediaType, ValidationError
from rest_framework.response import Response
from rest_framework.settings import api_settings
from rest_framework.views import exception_handler as rest_exception_handler

from idc_site.errors import UNREADABLE, error_body, wrong_request
from predictions.exceptions import ServiceError, UnknownPatch

NON_FIELD_ERRORS = api_settings.NON_FIELD_ERRORS_KEY


def exception_handler(exception: Exception, context: dict[str, Any]) -> Response | None:
    """REST framework's hook. None (an unexpected error) goes on to the site's 500 handler."""
    if isinstance(exception, Http404 | UnknownPatch):
        # The same body for unknown, foreign and deleted, also in this moment: nothing can be told apart.
        exception = NotFound(_("There is nothing of this id for you here: it is unknown, deleted or another's."))
    if isinstance(exception, ServiceError):
        headers = {"Retry-After": str(exception.retry_after)} if exception.retry_after else {}
        return Response(error_body(exception.code, str(exception)), status=exception.status, headers=headers)
    if isinstance(exception, UNREADABLE):
        wrong = wrong_request(exception)
        return Response(error_body(wrong.code, wrong.message), status=wrong.status)
    response = rest_exception_handler(exception, context)
    if response is None or not isinstance(exception, APIException):
        return response
    if isinstance(exception, ValidationError):
        response.data = _validation_body(exception)
    else:
        response.data = error_body(str(exception.get_codes()), _message(exception, context))
    return response


def _message(exception: APIException, context: dict[str, Any]) -> str:
    """REST framework says what is wrong; ours also say how to mend it."""
    if isinstance(exception, NotAuthenticated):
        return _("Send a token as “Authorization: Bearer idc_…”, from the page “API tokens” of the account.")
    if isinstance(exception, UnsupportedMediaType):
        kinds = ", ".join(parser.media_type for parser in context["view"].parser_classes)
        return _("Send the body as one of these, and say so in Content-Type: %(kinds)s.") % {"kinds": kinds}
    return str(exception.detail)


def _validation_body(exception: ValidationError) -> dict[str, dict[str, str]]:
    """The first thing that is wrong, with its field if it is one's."""
    field = ""
    detail: Any = exception.detail
    while not isinstance(detail, str):
        if isinstance(detail, dict):
            name, detail = next(iter(detail.items()))
            field = field or str(name)
        else:
            detail = next(iter(detail))
    return error_body("invalid", str(detail), field=None if field == NON_FIELD_ERRORS else field)
