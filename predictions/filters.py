"""The filters and sorts of history, gallery and API list: one declaration each. All are of patches, by their current
answer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import django_filters
from django import forms
from django.db.models import Max, Min, Q, QuerySet
from django.http import QueryDict
from django.utils.formats import date_format
from django.utils.translation import gettext_lazy as _

from predictions.models import BatchItem, ModelVersion, Patch, Status, Visibility
from predictions.models.patch import IS_ANSWERED, IS_REVIEWED, PatchQuerySet, ReviewersSay
from predictions.sorting import NEWEST, SORTS, Sort

LABELS = [("positive", _("IDC positive")), ("negative", _("IDC negative"))]
YES_NO = [("yes", _("yes")), ("no", _("no"))]

# What the majority of the reviewers who named a class says, against the model. Every reviewed patch is in one of them.
AGREED = [
    ("same", _("say the same")),
    ("differs", _("say otherwise")),
    ("split", _("are split")),
    ("undecided", _("name neither")),
]
ROUNDING = 1e-9  # of distances, which floats do not subtract exactly
AGREEMENT = {
    "same": Q(reviewers_say=ReviewersSay.POSITIVE, is_positive=True)
    | Q(reviewers_say=ReviewersSay.NEGATIVE, is_positive=False),
    "differs": Q(reviewers_say=ReviewersSay.POSITIVE, is_positive=False)
    | Q(reviewers_say=ReviewersSay.NEGATIVE, is_positive=True),
    "split": Q(reviewers_say=ReviewersSay.SPLIT),
    "undecided": Q(reviewers_say=ReviewersSay.UNDECIDED),
}


@dataclass(frozen=True)
class Chip:
    """A filter that is set, in words; and the query that is left without it."""

    text: str
    query: str


class ModelField(django_filters.fields.ModelChoiceField):
    def label_from_instance(self, obj: Any) -> str:
        return str(obj.version)


class ModelFilter(django_filters.ModelChoiceFilter):
    field_class = ModelField


def _probability(label: Any, lookup: str) -> django_filters.NumberFilter:
    return django_filters.NumberFilter(
        label=label,
        field_name="probability",
        lookup_expr=lookup,
        min_value=0,
        max_value=1,
        widget=forms.NumberInput(attrs={"step": "any"}),
    )


def _choice(label: Any, choices: Any, **options: Any) -> django_filters.ChoiceFilter:
    return django_filters.ChoiceFilter(label=label, choices=choices, empty_label=_("any"), **options)


class GalleryFilter(django_filters.FilterSet):
    label = _choice(_("Answer"), LABELS, method="with_label")
    min_probability = _probability(_("Probability from"), "gte")
    max_probability = _probability(_("Probability to"), "lte")
    model = ModelFilter(
        label=_("Model"),
        field_name="current_prediction__model_version",
        queryset=ModelVersion.objects.only("version").order_by("-pk"),
        to_field_name="version",
        empty_label=_("any"),
    )
    reviewed = _choice(_("Reviewed"), YES_NO, method="with_reviewed")
    agreed = _choice(_("Reviewers"), AGREED, method="with_agreement")
    sort = django_filters.ChoiceFilter(
        label=_("Order"),
        choices=[(sort.name, sort.label) for sort in SORTS.values()],
        empty_label=None,
        method="in_order",
    )

    class Meta:
        model = Patch
        fields: list[str] = []

    def with_label(self, patches: QuerySet[Patch], name: str, label: str) -> QuerySet[Patch]:
        return patches.filter(is_positive=label == "positive")

    def with_reviewed(self, patches: QuerySet[Patch], name: str, wanted: str) -> QuerySet[Patch]:
        return patches.filter(IS_REVIEWED if wanted == "yes" else ~IS_REVIEWED)

    def with_agreement(self, patches: QuerySet[Patch], name: str, wanted: str) -> QuerySet[Patch]:
        # The second condition follows from the first, and tells the planner of the index of reviewed patches.
        return patches.filter(AGREEMENT[wanted], IS_REVIEWED)

    def in_order(self, patches: QuerySet[Patch], name: str, wanted: str) -> QuerySet[Patch]:
        """The page applies it (predictions/pagination.py), which has to go on from its last row."""
        return patches

    def filter_queryset(self, queryset: PatchQuerySet) -> PatchQuerySet:
        found: PatchQuerySet = super().filter_queryset(queryset)
        return found.filter(**_implied(self.form.cleaned_data))

    @property
    def order(self) -> Sort:
        cleaned = getattr(self.form, "cleaned_data", {}) if self.form.is_bound and self.form.is_valid() else {}
        return SORTS.get(cleaned.get("sort") or NEWEST.name, NEWEST)

    def in_order_only(self) -> PatchQuerySet:
        """What the filters let through, less the patches that the order has no place for."""
        return self.order.applied(self.qs)

    @property
    def is_sorted(self) -> bool:
        return self.order != NEWEST

    @property
    def query(self) -> str:
        """The query of this list from its beginning."""
        return _query(self.data, *(name for name in self.data if name not in self.filters)) if self.is_bound else ""

    @property
    def chips(self) -> list[Chip]:
        """What is set, each to be taken away by a link."""
        if not self.is_bound:
            return []
        self.form.is_valid()
        found = []
        for name, field in self.form.fields.items():
            value = self.form.cleaned_data.get(name)
            if value in (None, "", NEWEST.name):
                continue
            found.append(Chip(f"{field.label}: {_in_words(field, value)}", _query(self.data, name, "cursor") or "?"))
        return found


ISO = ["%Y-%m-%d"]  # as a browser sends it: of `12/11/2026` nobody knows the month


class HistoryFilter(GalleryFilter):
    status = _choice(_("State"), Status.choices, method="in_state")
    flagged = _choice(_("Warned about"), YES_NO, method="with_flags")
    visibility = _choice(_("Visibility"), Visibility.choices)
    since = django_filters.DateFilter(
        label=_("Sent since"),
        method="sent_since",
        input_formats=ISO,
        widget=forms.DateInput(attrs={"type": "date"}),
    )
    until = django_filters.DateFilter(
        label=_("Sent until"),
        method="sent_until",
        input_formats=ISO,
        widget=forms.DateInput(attrs={"type": "date"}),
    )
    batch = django_filters.UUIDFilter(label=_("Batch"), method="in_batch", widget=forms.HiddenInput)

    def in_state(self, patches: QuerySet[Patch], name: str, wanted: str) -> QuerySet[Patch]:
        # What follows from the state tells the planner of the index of patches without an answer.
        is_answered = IS_ANSWERED if wanted == Status.SUCCEEDED else ~IS_ANSWERED
        return patches.filter(is_answered, current_prediction__status=wanted)

    def sent_since(self, patches: QuerySet[Patch], name: str, day: date) -> QuerySet[Patch]:
        return patches.filter(created_at__gte=_midnight(day))

    def sent_until(self, patches: QuerySet[Patch], name: str, day: date) -> QuerySet[Patch]:
        """That day included."""
        return patches.filter(created_at__lt=_midnight(day) + timedelta(days=1)) if day < date.max else patches

    def with_flags(self, patches: QuerySet[Patch], name: str, wanted: str) -> QuerySet[Patch]:
        return patches.filter(is_flagged=wanted == "yes")

    def in_batch(self, patches: QuerySet[Patch], name: str, wanted: Any) -> QuerySet[Patch]:
        return patches.filter(pk__in=BatchItem.objects.filter(batch__uuid=wanted).values("patch"))


def _implied(cleaned: dict[str, Any]) -> dict[str, float]:
    """What the filters of the answer say of the keys that lists are sorted by, given the thresholds there are.

    It lets nothing through or out by itself, and tells where in an index to begin. Without it, the positive patches
    that are least likely would be found by walking past all negative ones.
    """
    low, high, label = (cleaned.get(name) for name in ("min_probability", "max_probability", "label"))
    if low is None and high is None and not label:
        return {}
    least, most = ModelVersion.objects.aggregate(least=Min("threshold"), most=Max("threshold")).values()
    if least is None:
        return {}
    low = max(float(low or 0), least if label == "positive" else 0)
    high = min(1 if high is None else float(high), most if label == "negative" else 1)
    nearest, furthest = max(low - most, least - high, 0), max(high - least, most - low, 0)
    return {
        "probability__gte": low,
        "probability__lte": high,
        "doubt__gte": nearest - ROUNDING,
        "doubt__lte": furthest + ROUNDING,
    }


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), tzinfo=UTC)


def _query(data: QueryDict, *without: str) -> str:
    kept = data.copy()
    for name in [name for name, value in data.items() if name in without or value in ("", NEWEST.name)]:
        del kept[name]
    return f"?{kept.urlencode()}" if kept else ""


def _in_words(field: forms.Field, value: Any) -> str:
    if isinstance(field, forms.DateField):
        return date_format(value, "DATE_FORMAT")
    if isinstance(field, forms.ModelChoiceField):
        return str(field.label_from_instance(value))
    choices = dict(getattr(field, "choices", ()))
    return str(choices.get(value, value))
