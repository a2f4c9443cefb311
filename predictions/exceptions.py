"""Errors with a code and a sentence that a person can act on. Doors turn them into HTTP or form messages."""

from __future__ import annotations

from typing import ClassVar

from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from ml.images import ImageError

# Everything else that is wrong with an image is a 400.
IMAGE_STATUS = {"too_large": 413, "unsupported_format": 415}


class ServiceError(Exception):
    """A service refuses. code: stable, for programs. message: for people. status: of the HTTP answer."""

    code: ClassVar[str]
    message: ClassVar[str | Promise]
    status: ClassVar[int] = 400
    retry_after: ClassVar[int | None] = None  # seconds

    def __init__(self) -> None:
        super().__init__(str(self.message))


class FileRequired(ServiceError):
    code = "file_required"
    message = _("Choose at least one image file, or a zip archive that holds some.")


class FileFieldRequired(FileRequired):
    """The same to a program, which has to name the field."""

    message = _("Send at least one image as a file in the field “image”, or one zip archive in “zip”.")


class RequestTooLarge(ServiceError):
    code = "too_large"
    message = _("Together these images are larger than is taken at once. Send fewer in a request, or a zip archive.")
    status = 413


class QuotaExceeded(ServiceError):
    code = "quota_exceeded"
    message = _("This is more than you may still have analysed within 24 hours. Send fewer patches, or go on later.")
    status = 429
    retry_after = 3600


class AccountClosed(ServiceError):
    code = "account_closed"
    message = _("This account is closed. Nothing was stored.")
    status = 403


class NoActiveModel(ServiceError):
    code = "no_active_model"
    message = _("No model is active, so nothing can be analysed. Please try again later.")
    status = 503
    retry_after = 60


class UnknownBatch(ServiceError):
    code = "not_found"
    message = _("There is no such batch of yours.")
    status = 404


class UnknownPatch(ServiceError):
    code = "not_found"
    message = _("There is no such patch.")
    status = 404


class IdempotencyConflict(ServiceError):
    code = "idempotency_conflict"
    message = _("This idempotency key was used for other content in the last 24 hours. Use a new key for each request.")
    status = 409


class NotRetryable(ServiceError):
    code = "not_retryable"
    message = _("Only a failed prediction can be tried again.")
    status = 409


class NotAnswered(ServiceError):
    code = "not_answered"
    message = _("There is no answer to explain.")
    status = 409


class ExplanationFailed(ServiceError):
    code = "explanation_failed"
    message = _("The map could not be made. You can ask for it again on the page of the result.")
    status = 409


class NoReceipt(ServiceError):
    code = "no_receipt"
    message = _("A receipt is of an answer, and there is none yet. Wait for it, or try the prediction again.")
    status = 409


class PixelsDropped(ServiceError):
    code = "pixels_dropped"
    message = _("The pixels of this patch were dropped, as its owner asked; the answer is kept. Send the image again.")
    status = 410


class StaysPrivate(ServiceError):
    code = "to_be_forgotten"
    message = _(
        "This patch was sent to be forgotten: it stays private, and no other model is asked. "
        "Send the image again without that wish to keep it."
    )
    status = 409


class ForgetIsPrivate(ServiceError):
    code = "forget_is_private"
    message = _("What is to be forgotten is private. Send it without “visibility”, or to be kept.")


class AlreadyShared(ServiceError):
    code = "already_shared"
    message = _(
        "You have shared this very picture, so it cannot be forgotten. Make it private or delete it, and send it again."
    )


class ExportTooLarge(ServiceError):
    code = "export_too_large"
    message = _("A file holds at most 100,000 patches, and these are more. Filter them, by date for example.")


class TooManyExports(ServiceError):
    code = "too_many_exports"
    message = _("You or others are being sent several files at the moment. Try again in a minute.")
    status = 503
    retry_after = 60


class NotTried(ServiceError):
    code = "not_tried"
    message = _("This version has finished no trial run. Run one first, or say that it may be active without.")
    status = 409


class TrialIsStale(NotTried):
    code = "trial_stale"
    message = _(
        "The last finished trial of this version compared it with one that is not active any more. "
        "Run a new one, or say that it may be active without."
    )


class TrialIsEmpty(NotTried):
    code = "trial_empty"
    message = _(
        "The last finished trial of this version answered nothing, so nobody knows what would change. "
        "Run one over more recent patches, or say that it may be active without."
    )


class NothingToCompare(ServiceError):
    code = "nothing_to_compare"
    message = _("No other model is active, so there is nothing to compare this one with.")
    status = 409


class TooManyChosen(ServiceError):
    code = "too_many_chosen"
    message = _("So many patches cannot be chosen one by one. Choose fewer, or use `manage.py rerun`.")


class NotRunning(ServiceError):
    code = "not_running"
    message = _("This run has ended.")
    status = 409


def image_error_message(error: ImageError) -> str:
    """The sentence of an image error in the reader's language."""
    return gettext(error.template) % error.params


class NotTheirsToShare(ServiceError):
    code = "not_theirs_to_share"
    message = _("Private patches of others were left private: sharing them is their owners' right.")
    status = 403
