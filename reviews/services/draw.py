"""What a reviewer is asked next.

A third of the draws are the random share: patches in the order of their `review_key`, which was drawn when the patch
came and depends on nothing. Whoever has gone through all keys up to some height holds every patch below it, whatever
it shows and whenever it came: a sample in which each patch had the same chance (a bottom-k sample: Cohen & Kaplan
2007). All reviewers go through the same order, so their shares nest, pool, and meet on the same patches. What another
reason brought up earlier is part of the share once the walk has passed its key.

The other draws go where an answer is worth most. Each of their queries walks an index and stops at the first row.
"""

from __future__ import annotations

import random
import secrets
from collections.abc import Sequence

from django.db import transaction
from django.db.models import Exists, F, Max, OuterRef, Q
from django.db.models.functions import Abs

from accounts.models import User
from predictions.models import Patch, Prediction, Purpose, Status
from predictions.models.patch import PatchQuerySet
from reviews.models import Answer, Draw, Reason, Review

AHEAD = 2  # open draws of a reviewer: the patch on the page, and the next, whose picture is fetched meanwhile
RANDOM_SHARE = 1 / 3
ENOUGH = 2  # answers to a patch, beyond which only the random share asks for more
ENOUGH_TO_SETTLE = 3  # where two disagree
RECENT = 1000  # second opinions and reviews that are searched for disagreement
SMART = (Reason.FLAGGED, Reason.DISAGREEING, Reason.DOUBTFUL)
_CHANCE = secrets.SystemRandom()
_IS_POSITIVE = Q(probability__gte=F("threshold"))
_CURRENT = "patch__current_prediction__"
_CURRENT_IS_POSITIVE = Q(**{f"{_CURRENT}probability__gte": F(f"{_CURRENT}threshold")})


@transaction.atomic
def next_draws(*, reviewer: User, chance: random.Random = _CHANCE) -> list[Draw]:
    """What `reviewer` is being asked: at most AHEAD draws, the first for now. Fewer when there is nothing more to ask.

    The same until it is answered, skipped, or taken back by its owner.
    """
    lock_reviewer(reviewer)
    mine = Draw.objects.open_to(reviewer)
    Draw.objects.filter(reviewer=reviewer, outcome="open").exclude(pk__in=mine.values("pk")).delete()
    found = list(mine.select_related("patch"))
    while len(found) < AHEAD and (draw := _draw(reviewer, _reasons(chance))):
        found.append(draw)
    return found


def lock_reviewer(reviewer: User) -> None:
    """One draw or answer of a reviewer at a time, so that pressing twice is once."""
    User.objects.select_for_update(no_key=True).get(pk=reviewer.pk)


def askable(reviewer: User) -> PatchQuerySet:
    """What a review can be about: answered by a model, open to this reviewer, and not one of our own drawings."""
    open_to = Patch.objects.reviewable_by(reviewer).filter(current_prediction__status=Status.SUCCEEDED)
    return open_to.exclude(quality__notes__contains="drawn")


def mark_random_share(reviewer: User) -> None:
    """What this reviewer's walk has passed belongs to the random share, whatever brought it up."""
    mine = Draw.objects.filter(reviewer=reviewer)
    passed = mine.filter(is_random=True).aggregate(height=Max("patch__review_key"))["height"]
    if passed is not None:
        mine.filter(is_random=False, patch__review_key__lte=passed).update(is_random=True)


def _reasons(chance: random.Random) -> Sequence[Reason]:
    """The reason of the next draw, and those that stand in for it where it has no patch."""
    smart = chance.sample(SMART, k=len(SMART))
    return (Reason.RANDOM, *smart) if chance.random() < RANDOM_SHARE else (*smart, Reason.RANDOM)


def _draw(reviewer: User, reasons: Sequence[Reason]) -> Draw | None:
    """One more draw, for the first of `reasons` that has a patch."""
    fresh = askable(reviewer).filter(~Exists(Draw.objects.filter(reviewer=reviewer, patch=OuterRef("pk"))))
    for reason in reasons:
        if patch := _first(reason, fresh):
            is_random = reason == Reason.RANDOM
            draw = Draw.objects.create(reviewer=reviewer, patch=patch, reason=reason, is_random=is_random)
            mark_random_share(reviewer)
            return draw
    return None


def _first(reason: Reason, fresh: PatchQuerySet) -> Patch | None:
    """The first patch for this reason, among those that the reviewer was never asked about."""
    if reason == Reason.RANDOM:
        return fresh.order_by("review_key", "pk").first()
    if reason == Reason.FLAGGED:
        flagged = fresh.filter(~Q(current_prediction__flags=[]), _has_fewer_answers_than(ENOUGH))
        return flagged.order_by("-current_prediction").first()
    if reason == Reason.DISAGREEING:
        return _disputed_by_reviewers(fresh) or _disputed_by_models(fresh)
    doubt = Abs(F("current_prediction__probability") - F("current_prediction__threshold"))
    return fresh.filter(_has_fewer_answers_than(ENOUGH)).order_by(doubt, "current_prediction").first()


def _has_fewer_answers_than(number: int) -> Q:
    answers = Review.objects.filter(patch=OuterRef("pk")).order_by("pk")
    return ~Q(Exists(answers[number - 1 : number]))


def _disputed_by_reviewers(fresh: PatchQuerySet) -> Patch | None:
    recent = Review.objects.filter(answer=Answer.POSITIVE).order_by("-pk")[:RECENT]
    other = Review.objects.filter(patch=OuterRef("pk"), answer=Answer.NEGATIVE)
    disputed = fresh.filter(Exists(other), _has_fewer_answers_than(ENOUGH_TO_SETTLE), pk__in=recent.values("patch"))
    return disputed.order_by("-pk").first()


def _disputed_by_models(fresh: PatchQuerySet) -> Patch | None:
    second = Prediction.objects.filter(status=Status.SUCCEEDED, purpose__in=(Purpose.RERUN, Purpose.SHADOW))
    recent = Prediction.objects.filter(pk__in=second.order_by("-pk").values("pk")[:RECENT])
    differing = recent.filter(_IS_POSITIVE & ~_CURRENT_IS_POSITIVE | ~_IS_POSITIVE & _CURRENT_IS_POSITIVE)
    disputed = fresh.filter(_has_fewer_answers_than(ENOUGH), pk__in=differing.values("patch"))
    return disputed.order_by("-pk").first()
