"""The filters of history, gallery and API list: one declaration each. All are of patches, by their current answer."""

from __future__ import annotations

import django_filters
from django import forms
from django.db.models import F, QuerySet
from django.utils.translation import gettext_lazy as _

from predictions.models import Patch, Status, Visibility

LABELS = [("positive", _("IDC positive")), ("negative", _("IDC negative"))]


def with_label(patches: QuerySet[Patch], name: str, label: str) -> QuerySet[Patch]:
    if label == "positive":
        return patches.filter(current_prediction__probability__gte=F("current_prediction__threshold"))
    return patches.filter(current_prediction__probability__lt=F("current_prediction__threshold"))


class GalleryFilter(django_filters.FilterSet):
    label = django_filters.ChoiceFilter(label=_("Answer"), choices=LABELS, method=with_label, empty_label=_("any"))
    min_probability = django_filters.NumberFilter(
        label=_("Probability from"),
        field_name="current_prediction__probability",
        lookup_expr="gte",
        min_value=0,
        max_value=1,
        widget=forms.NumberInput(attrs={"step": "any"}),
    )
    max_probability = django_filters.NumberFilter(
        label=_("to"),
        field_name="current_prediction__probability",
        lookup_expr="lte",
        min_value=0,
        max_value=1,
        widget=forms.NumberInput(attrs={"step": "any"}),
    )

    class Meta:
        model = Patch
        fields: list[str] = []


class HistoryFilter(GalleryFilter):
    status = django_filters.ChoiceFilter(
        label=_("State"),
        field_name="current_prediction__status",
        choices=Status.choices,
        empty_label=_("any"),
    )
    visibility = django_filters.ChoiceFilter(label=_("Visibility"), choices=Visibility.choices, empty_label=_("any"))
    since = django_filters.DateFilter(
        label=_("Sent since"),
        field_name="created_at",
        lookup_expr="date__gte",
        widget=forms.DateInput(attrs={"type": "date"}),
    )
    until = django_filters.DateFilter(
        label=_("until"),
        field_name="created_at",
        lookup_expr="date__lte",
        widget=forms.DateInput(attrs={"type": "date"}),
    )
