"""Why a review is not taken."""

from django.utils.translation import gettext_lazy as _

from predictions.exceptions import ServiceError


class NotReviewable(ServiceError):
    """Also for one's own patch and for those who are no reviewers: whoever may not know of it learns nothing."""

    code = "not_found"
    message = _("This patch is not open to your review, or not any more.")
    status = 404


class NotOpen(ServiceError):
    code = "not_open"
    message = _("You have skipped this patch, so it is not asked about any more.")
    status = 409


class AlreadyReviewed(ServiceError):
    code = "already_reviewed"
    message = _("You have reviewed this patch already. Change your review instead.")
    status = 409


class NotReportable(ServiceError):
    """Also for one's own patch and for what is not shared: whoever may not know of it learns nothing."""

    code = "not_found"
    message = _("This patch is not shared, or not any more.")
    status = 404


class TooManyReports(ServiceError):
    code = "too_many_reports"
    message = _("You have reported as many patches as one may in a day. Go on tomorrow.")
    status = 429
    retry_after = 3600


class AlreadySettled(ServiceError):
    code = "already_settled"
    message = _("One of these reports was settled already.")
    status = 409
