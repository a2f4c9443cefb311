"""What reviewers say."""

from __future__ import annotations

from django.db import transaction
from django.db.models import Count, Q
from django.db.models.functions import Now

from accounts.models import User
from predictions.models import Event, Patch
from predictions.models.patch import ReviewersSay
from reviews.exceptions import AlreadyReviewed, NotOpen, NotReviewable
from reviews.models import Answer, Draw, Outcome, Reason, Review
from reviews.services.draw import askable, lock_reviewer, mark_random_share


@transaction.atomic
def answer_draw(*, draw: Draw, reviewer: User, answer: Answer, comment: str = "") -> Review:
    """Answer what the reviewer is asked. Answered again, the review that exists is the answer, as it was first given.

    Raises:
        NotReviewable: it is not theirs to answer, or its owner or staff have closed it since.
        NotOpen: they have skipped it.
    """
    lock_reviewer(reviewer)
    found = Draw.objects.filter(pk=draw.pk, reviewer=reviewer).select_related("patch").first()
    if found and found.outcome == Outcome.ANSWERED:
        return Review.objects.select_related("patch", "draw").get(draw=found)
    if found is None or not askable(reviewer).filter(pk=found.patch_id).exists():
        raise NotReviewable
    if found.outcome == Outcome.SKIPPED:
        raise NotOpen
    return _answer(found, reviewer, answer, comment)


@transaction.atomic
def review_patch(*, patch: Patch, reviewer: User, answer: Answer, comment: str = "") -> Review:
    """Review a patch of one's own choice. It may have been chosen for its score, so no figure is made of it.

    Raises:
        NotReviewable: it is not open to this reviewer.
        AlreadyReviewed: it has a review of theirs.
    """
    lock_reviewer(reviewer)
    if not askable(reviewer).filter(pk=patch.pk).exists():
        raise NotReviewable
    if Review.objects.filter(patch=patch, reviewer=reviewer).exists():
        raise AlreadyReviewed
    draw, is_new = Draw.objects.get_or_create(patch=patch, reviewer=reviewer, defaults={"reason": Reason.CHOSEN})
    if not is_new:
        # What the queue had asked about without showing the score is no blind answer now.
        Draw.objects.filter(pk=draw.pk).update(reason=Reason.CHOSEN)
    mark_random_share(reviewer)
    return _answer(draw, reviewer, answer, comment)


@transaction.atomic
def skip_draw(*, draw: Draw, reviewer: User) -> None:
    """Leave a patch unanswered for good. It is counted: figures say how many were not answered. Twice is once."""
    lock_reviewer(reviewer)
    mine = Draw.objects.filter(pk=draw.pk, reviewer=reviewer, outcome=Outcome.OPEN)
    if mine.update(outcome=Outcome.SKIPPED, closed_at=Now()):
        Event.objects.create(kind=Event.Kind.REVIEW_SKIPPED, actor=reviewer, subject=str(draw.patch.uuid))


@transaction.atomic
def change_review(*, review: Review, reviewer: User, answer: Answer, comment: str = "") -> Review:
    """Give another answer or comment. What was said first stays beside it; the same again changes nothing.

    Raises:
        NotReviewable: the review is not theirs, or the patch is closed to them now.
    """
    lock_reviewer(reviewer)
    found = Review.objects.select_related("patch", "draw").filter(pk=review.pk, reviewer=reviewer).first()
    if found is None or not Patch.objects.reviewable_by(reviewer).filter(pk=found.patch_id).exists():
        raise NotReviewable
    if (found.answer, found.comment) == (answer, comment):
        return found
    Review.objects.filter(pk=found.pk).update(answer=answer, comment=comment, changed_at=Now())
    _note_what_reviewers_say(found.patch)
    payload = {"from": found.answer, "to": str(answer)}
    Event.objects.create(kind=Event.Kind.REVIEW_CHANGED, actor=reviewer, subject=str(found.patch.uuid), payload=payload)
    found.refresh_from_db(fields=["answer", "comment", "changed_at"])
    return found


def _answer(draw: Draw, reviewer: User, answer: Answer, comment: str) -> Review:
    review = Review.objects.create(
        patch=draw.patch,
        reviewer=reviewer,
        draw=draw,
        prediction_id=draw.patch.current_prediction_id,
        first_answer=answer,
        answer=answer,
        comment=comment,
    )
    Draw.objects.filter(pk=draw.pk).update(outcome=Outcome.ANSWERED, closed_at=Now())
    _note_what_reviewers_say(draw.patch)
    payload = {"answer": str(answer)}
    Event.objects.create(kind=Event.Kind.REVIEWED, actor=reviewer, subject=str(draw.patch.uuid), payload=payload)
    return review


def _note_what_reviewers_say(patch: Patch) -> None:
    """What most of those say who name either class, beside the patch, where lists look for it.

    Raises:
        NotReviewable: the patch was deleted in this moment.
    """
    # Who answers at once is counted after us.
    locked = Patch.objects.select_for_update(no_key=True).filter(pk=patch.pk).first()
    if locked is None:
        raise NotReviewable
    said = Review.objects.filter(patch=patch).aggregate(
        positive=Count("pk", filter=Q(answer=Answer.POSITIVE)), negative=Count("pk", filter=Q(answer=Answer.NEGATIVE))
    )
    locked.reviewers_say = _majority(**said)
    locked.save(update_fields=["reviewers_say"])


def _majority(positive: int, negative: int) -> ReviewersSay:
    if positive == negative:
        return ReviewersSay.SPLIT if positive else ReviewersSay.UNDECIDED
    return ReviewersSay.POSITIVE if positive > negative else ReviewersSay.NEGATIVE
