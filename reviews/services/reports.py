"""Reports about shared patches, and what staff make of them."""

from __future__ import annotations

from datetime import timedelta

from allauth.account.models import EmailAddress
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone

from accounts.models import User
from predictions.models import Event, Patch
from predictions.services import hide, show_again
from reviews.exceptions import AlreadySettled, NotReportable, TooManyReports
from reviews.models import Report, ReportOutcome, ReportReason
from reviews.models.report import REPORT_LENGTH
from reviews.services.draw import lock_reviewer

REPORTS_PER_DAY = 20
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
DISTRUSTED = timedelta(days=90)  # since a report of personal data was dismissed
NEW = timedelta(days=1)  # an account, which whoever was turned away has again in a moment
HIDES_PER_HOUR = 10  # by all users together; staff are told of the others too, and hide them


@transaction.atomic
def report(*, patch: Patch, reporter: User, reason: ReportReason, comment: str = "") -> Report:
    """Tell staff of a shared patch of somebody else. Sent twice, the report that is open is the answer.

    Unless it is personal data only now: then that is what the report says from now on.

    Personal data leaves everyone's sight at once, before staff have looked: a patient's name cannot be taken back
    from those who read it meanwhile, and a patch hidden for nothing can. Nothing else is hidden by users, however many.

    Raises:
        NotReportable: it is not shared, or one's own.
        TooManyReports: as many as one may send in a day.
    """
    lock_reviewer(reporter)
    found = Patch.objects.reportable_by(reporter).filter(pk=patch.pk)
    earlier = Report.objects.open().filter(patch=patch, reporter=reporter).first()
    if earlier and (reason != ReportReason.PERSONAL_DATA or earlier.reason == reason):
        return earlier
    if not found.select_for_update(no_key=True).exists():
        if earlier:
            return earlier  # it is out of sight
        raise NotReportable
    mine = Report.objects.filter(reporter=reporter, created_at__gt=Now() - DAY)
    if not earlier and mine.count() >= REPORTS_PER_DAY:
        raise TooManyReports
    has_hidden = reason == ReportReason.PERSONAL_DATA and _is_believed(patch, reporter)
    comments = [comment, earlier.comment if earlier else ""]
    said = {"reason": reason, "comment": "\n".join(filter(None, comments))[:REPORT_LENGTH], "has_hidden": has_hidden}
    is_open = earlier and Report.objects.open().filter(pk=earlier.pk).update(**said, created_at=Now())
    made = earlier if earlier and is_open else Report.objects.create(patch=patch, reporter=reporter, **said)
    payload = {"reason": str(reason)}
    Event.objects.create(kind=Event.Kind.REPORTED, actor=reporter, subject=str(patch.uuid), payload=payload)
    if has_hidden:
        hide(patch=patch, actor=reporter)
    made.refresh_from_db()
    return made


@transaction.atomic
def hide_reported(*, report: Report, actor: User) -> None:
    """Hide the patch; that settles all that was reported of it.

    Raises:
        AlreadySettled: somebody was faster.
    """
    _settle(report, actor, ReportOutcome.HIDDEN)
    Report.objects.open().filter(patch=report.patch_id).update(**_outcome(actor, ReportOutcome.HIDDEN))
    hide(patch=report.patch, actor=actor)


@transaction.atomic
def dismiss_report(*, report: Report, actor: User) -> None:
    """Nothing is wrong. A patch that only such reports had hidden is shown again, not what staff hid since.

    Raises:
        AlreadySettled: somebody was faster.
    """
    _settle(report, actor, ReportOutcome.DISMISSED)
    hiding = Report.objects.filter(patch=report.patch_id, has_hidden=True)
    is_hidden_by_report = hiding.filter(patch__hidden_by=F("reporter")).exists()
    if report.has_hidden and is_hidden_by_report and not hiding.exclude(outcome=ReportOutcome.DISMISSED).exists():
        show_again(patch=report.patch, actor=actor)


def _is_believed(patch: Patch, reporter: User) -> bool:
    """Whether the word of one user hides a patch: not if staff found nothing there, or in what they reported lately.

    Nor that of an account that is new and whose address nobody has confirmed, nor more than HIDES_PER_HOUR of all.
    """
    if reporter.date_joined > timezone.now() - NEW and not _is_confirmed(reporter):
        return False
    if Report.objects.filter(has_hidden=True, created_at__gt=Now() - HOUR).count() >= HIDES_PER_HOUR:
        return False
    dismissed = Report.objects.filter(reason=ReportReason.PERSONAL_DATA, outcome=ReportOutcome.DISMISSED)
    return not (
        dismissed.filter(patch=patch).exists()
        or dismissed.filter(reporter=reporter, settled_at__gt=Now() - DISTRUSTED).exists()
    )


def _is_confirmed(user: User) -> bool:
    return bool(EmailAddress.objects.filter(user=user, verified=True).exists())  # allauth carries no types


def _settle(report: Report, actor: User, outcome: ReportOutcome) -> None:
    # One decision about a patch at a time. Where it is deleted, so is the report.
    Patch.objects.select_for_update(no_key=True).filter(pk=report.patch_id).first()
    if not Report.objects.open().filter(pk=report.pk).update(**_outcome(actor, outcome)):
        raise AlreadySettled
    payload = {"outcome": str(outcome)}
    subject = str(report.patch.uuid)
    Event.objects.create(kind=Event.Kind.REPORT_SETTLED, actor=actor, subject=subject, payload=payload)


def _outcome(actor: User, outcome: ReportOutcome) -> dict[str, object]:
    return {"outcome": outcome, "settled_at": Now(), "settled_by": actor}
