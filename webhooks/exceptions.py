"""Why a webhook is refused, or a delivery did not arrive: codes for programs, sentences for people."""

from __future__ import annotations

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from predictions.exceptions import ServiceError


class UrlInvalid(ServiceError):
    code = "url_invalid"
    message = _(
        "Give a whole address that begins with https:// or http://, without user name, password or “#”,"
        " on port 80, 443 or one from 1024 up."
    )


class UrlUnresolved(ServiceError):
    code = "url_unresolved"
    message = _("The name in this address is not known.")


class UrlPrivate(ServiceError):
    code = "url_private"
    message = _("This address leads into a private or local network. Only public ones are called.")


class TooManyWebhooks(ServiceError):
    code = "too_many_webhooks"
    message = _("You have 10 webhooks. Delete one that is not used any more.")
    status = 409


class TooManyTests(ServiceError):
    code = "too_many_tests"
    message = _("You have sent many tests. Wait a minute.")
    status = 429
    retry_after = 60


class NotFailed(ServiceError):
    code = "not_failed"
    message = _("Only a delivery that was given up can be sent again.")
    status = 409


class WebhookPaused(ServiceError):
    code = "webhook_paused"
    message = _("The webhook is paused. Resume it first.")
    status = 409


# What an attempt ended with.
FAILURES: dict[str, str | Promise] = {
    "timeout": _("The receiver did not answer in time."),
    "connection_failed": _("The receiver could not be reached, or broke off."),
    "tls_failed": _("The receiver's certificate could not be verified."),
    "not_http": _("What the receiver answered is not HTTP."),
    "redirected": _("The receiver answered with a redirect. These are not followed: change the address."),
    "gone": _("The receiver answered 410: it wants no more deliveries."),
    "http_error": _("The receiver answered, but not with a status from 200 to 299."),
    "interrupted": _("The sending was interrupted each time it was tried."),
    **{refusal.code: refusal.message for refusal in (UrlInvalid, UrlUnresolved, UrlPrivate)},
}


def failure_message(code: str) -> str:
    """What a code says, in the reader's language."""
    return str(FAILURES[code])
