"""Which patches a trial compares two models on, and which version with which."""

from __future__ import annotations

from django.contrib.postgres.aggregates import ArrayAgg
from django.db.models import Exists, F, FilteredRelation, OuterRef, Q, QuerySet

from predictions.models import ModelVersion, Patch, Prediction, Run, Status
from predictions.models.patch import MAY_BE_REVIEWED
from reviews.comparison import Judged, Pair, Shift, judged, shift
from reviews.evidence import Share, counted
from reviews.models import Review

MOST = 20_000  # patches, the newest, that one page computes with
_COLUMNS = ("patch__owner", "base__probability", "base__threshold", "probability", "threshold")


def base_of(model_version: ModelVersion) -> ModelVersion | None:
    """What a version is compared with: the active one, or, if it is that itself, what its last trial ran against."""
    active = ModelVersion.objects.active()
    if active != model_version:
        return active
    last = Run.objects.trials_of(model_version).filter(state=Run.State.FINISHED).first()
    return ModelVersion.objects.without_card().get(pk=last.compared_with_id) if last and last.compared_with_id else None


def has_pairs(model_version: ModelVersion, base: ModelVersion) -> bool:
    return _both(model_version, base).order_by().exists()


def judged_pairs(model_version: ModelVersion, base: ModelVersion, share: Share) -> Judged:
    """Both against what reviewers, or owners, say; in one query. Private patches count; they are not shown."""
    both = _both(model_version, base)
    if share == Share.OWNERS:
        stated = both.filter(patch__ground_truth__isnull=False).values_list(*_COLUMNS, "patch__ground_truth__answer")
        return judged([Pair(one, b, bt, a, at, [said]) for one, b, bt, a, at, said in stated[:MOST]])
    reviewed = both.filter(counted(share, "patch__reviews__")).values(*_COLUMNS)
    answers = ArrayAgg("patch__reviews__first_answer", order_by="patch__reviews__pk")
    return judged([Pair(*row) for row in reviewed.annotate(answers=answers).values_list(*_COLUMNS, "answers")[:MOST]])


def unjudged_pairs(model_version: ModelVersion, base: ModelVersion) -> Shift:
    """Both on what nobody has reviewed; in one query."""
    unseen = _both(model_version, base).filter(~Exists(Review.objects.filter(patch=OuterRef("patch"))))
    return shift([Pair(*row) for row in unseen.values_list(*_COLUMNS)[:MOST]])


def flips(model_version: ModelVersion, base: ModelVersion, *, may_be_shown: bool) -> QuerySet[Prediction]:
    """The answers of `model_version`, among the newest MOST, whose label is not that of `base`.

    may_be_shown: of patches that are public or whose owner lets reviewers look; or of the others, to be counted alone.
    Each with base_probability, what `base` gave.
    """
    newest = Prediction.objects.filter(model_version=model_version, status=Status.SUCCEEDED).order_by("-pk")
    is_positive, was_positive = Q(probability__gte=F("threshold")), Q(base__probability__gte=F("base__threshold"))
    differing = _both(model_version, base).filter(
        is_positive & ~was_positive | ~is_positive & was_positive, pk__in=newest.values("pk")[:MOST]
    )
    is_open = Exists(Patch.objects.filter(MAY_BE_REVIEWED, pk=OuterRef("patch")))
    return differing.filter(is_open if may_be_shown else ~is_open).annotate(base_probability=F("base__probability"))


def _both(model_version: ModelVersion, base: ModelVersion) -> QuerySet[Prediction]:
    """The answers of `model_version` to patches that `base` has answered too, as `base`; the newest first."""
    answered = Prediction.objects.filter(model_version=model_version, status=Status.SUCCEEDED)
    other = FilteredRelation("patch__predictions", condition=Q(patch__predictions__model_version=base))
    return answered.annotate(base=other).filter(base__status=Status.SUCCEEDED).order_by("-pk")
