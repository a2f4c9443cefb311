"""What reviewers and the owner say of a patch, for pages of other apps."""

from __future__ import annotations

from dataclasses import dataclass, field

from django import template
from django.db.models import Count
from django.utils.formats import number_format
from django.utils.translation import gettext, gettext_lazy

from predictions.models import ModelVersion, Patch
from reviews.evidence import public_line
from reviews.figures import Evidence, Figure
from reviews.forms import TruthForm
from reviews.models import Answer, GroundTruth, Review

register = template.Library()
NAMES = {
    "sensitivity": gettext_lazy("Sensitivity: share of the IDC patches that the model called positive"),
    "specificity": gettext_lazy("Specificity: share of the other patches that it called negative"),
    "ppv": gettext_lazy("Positive predictive value: share of those called positive that are IDC"),
    "npv": gettext_lazy("Negative predictive value: share of those called negative that are not"),
    "agreement": gettext_lazy("Agreement: share of all on which model and people say the same"),
    "kappa": gettext_lazy("Cohen's kappa: that agreement beyond chance; 1 is full, 0 is none"),
    "ece": gettext_lazy("Calibration error: mean distance between probability and frequency, of 50 patches or more"),
}


@dataclass(frozen=True)
class Said:
    """number: reviewers who answered. parts: how many said what, for each answer that was given."""

    number: int
    parts: list[tuple[int, str]]
    truth: GroundTruth | None
    truth_form: TruthForm = field(default_factory=TruthForm)


@register.simple_tag
def said_about(patch: Patch) -> Said:
    """Numbers, never names: who reviewed what is between the reviewer and staff."""
    given = Review.objects.filter(patch=patch).values_list("answer").annotate(number=Count("pk")).order_by()
    counts = dict(given)
    parts = [(counts[answer], str(answer.label)) for answer in Answer if answer in counts]
    return Said(sum(counts.values()), parts, GroundTruth.objects.filter(patch=patch).first())


@register.filter
def long_name(figure: Figure) -> str:
    return str(NAMES[figure.name])


@register.simple_tag
def living_figures(model_version: ModelVersion) -> Evidence | None:
    """What everyone may read of a model's reviewed patches, once there are enough of them."""
    return public_line(model_version)


@register.filter
def signed(value: float) -> str:
    """0.0123 -> "+0.012", with a true minus sign below zero."""
    sign = "\N{MINUS SIGN}" if value < 0 else "+"
    return sign + number_format(round(abs(value), 3), 3)


@register.filter
def p_value(p: float | None) -> str:
    if p is None:
        return gettext("too few")
    return f"< {number_format(0.001, 3)}" if p < 0.001 else number_format(round(p, 3), 3)
