"""Which reviewed patches the figures are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib.postgres.aggregates import ArrayAgg
from django.core.cache import cache
from django.db.models import Count, Q, TextChoices
from django.utils.translation import gettext_lazy as _

from predictions.models import ModelVersion, Prediction, Purpose, Status
from reviews import figures
from reviews.models import Draw, Outcome, Reason, Review
from reviews.services.draw import SMART

MOST = 50_000  # patches, the newest, that one page computes with
ENOUGH_FOR_ALL = 50  # patches from which on a figure is shown to everyone
KEPT = 600  # seconds that the public figures are kept
BLIND = (Reason.RANDOM, *SMART)


class Share(TextChoices):
    """Which patches count."""

    RANDOM = "random", _("random share")
    ALL = "all", _("all reviewed patches")
    OWNERS = "owners", _("as owners state")


@dataclass(frozen=True)
class Response:
    """The random share: how many patches reviewers were asked about, and what became of the questions."""

    answered: int
    skipped: int
    chosen: int  # answered, but the reviewer had chosen the patch and may have seen the score


def evidence_of(model_version: ModelVersion, share: Share, *, with_shadows: bool = False) -> figures.Evidence:
    """One model against the answers of a share, in one query. with_shadows: for staff's eyes."""
    predictions = Prediction.objects.filter(model_version=model_version, status=Status.SUCCEEDED)
    if not with_shadows:
        predictions = predictions.exclude(purpose=Purpose.SHADOW)
    columns = ("patch__owner", "probability", "threshold")
    if share == Share.OWNERS:
        stated = predictions.filter(patch__ground_truth__isnull=False).order_by("-pk")[:MOST]
        rows = stated.values_list(*columns, "patch__ground_truth__answer")
        return figures.evidence([figures.Case(owner, p, limit, [said]) for owner, p, limit, said in rows])
    reviewed = predictions.filter(counted(share, "patch__reviews__")).order_by("-pk").values(*columns)
    answers = ArrayAgg("patch__reviews__first_answer", order_by="patch__reviews__pk")
    rows = reviewed.annotate(answers=answers)[:MOST].values_list(*columns, "answers")
    return figures.evidence([figures.Case(*row) for row in rows])


def agreement_of(share: Share) -> figures.Agreement:
    """Reviewers against each other, in one query."""
    answers, reviewers = (ArrayAgg(name, order_by="pk") for name in ("first_answer", "reviewer"))
    reviewed = Review.objects.filter(counted(share, "")).values("patch").order_by("-patch")
    twice = reviewed.annotate(number=Count("pk"), answers=answers, reviewers=reviewers).filter(number__gt=1)
    rows = twice.values_list("patch__owner", "answers", "reviewers")[:MOST]
    return figures.agreement([figures.Case(owner, 0, 0, said, who) for owner, said, who in rows])


def response() -> Response:
    counts = Draw.objects.filter(is_random=True).aggregate(
        answered=Count("pk", filter=Q(outcome=Outcome.ANSWERED) & ~Q(reason=Reason.CHOSEN)),
        skipped=Count("pk", filter=Q(outcome=Outcome.SKIPPED)),
        chosen=Count("pk", filter=Q(outcome=Outcome.ANSWERED, reason=Reason.CHOSEN)),
    )
    return Response(**counts)


def reviewed_by_version() -> dict[int, dict[str, Any]]:
    """How many reviewed patches each model version has answered: all of them, and of the random share."""
    predictions = Prediction.objects.filter(counted(Share.ALL, "patch__reviews__"), status=Status.SUCCEEDED)
    is_random = Q(patch__reviews__draw__is_random=True)
    numbers = predictions.values("model_version").annotate(
        all=Count("patch", distinct=True), random=Count("patch", distinct=True, filter=is_random)
    )
    return {row["model_version"]: {"all": row["all"], "random": row["random"]} for row in numbers}


def public_line(model_version: ModelVersion) -> figures.Evidence | None:
    """The evidence of the random share if it is enough for everyone's eyes. Kept for ten minutes."""
    key = f"living-figures-{model_version.pk}"
    found: figures.Evidence | str | None = cache.get(key)
    if found is None:
        computed = evidence_of(model_version, Share.RANDOM)
        found = computed if computed.definite >= ENOUGH_FOR_ALL else "too few"
        cache.set(key, found, KEPT)
    return None if isinstance(found, str) else found


def counted(share: Share, to_review: str) -> Q:
    """Answers given before the score was seen, and where wanted those of the random share alone."""
    blind = Q(**{f"{to_review}draw__reason__in": BLIND})
    return blind & Q(**{f"{to_review}draw__is_random": True}) if share == Share.RANDOM else blind
