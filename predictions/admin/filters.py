"""Filters of the admin's lists that are no plain field."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib.admin import ModelAdmin, SimpleListFilter
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from reviews.models import Review


class YesNo(SimpleListFilter):
    """Rows for which `condition` holds, or does not."""

    words: ClassVar = (("yes", _("Yes")), ("no", _("No")))
    condition: ClassVar[Q | Exists]

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, Any]]:
        return list(self.words)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        (first, _word), (second, _word) = self.words
        if self.value() == first:
            return queryset.filter(self.condition)
        return queryset.filter(~self.condition) if self.value() == second else queryset


class OfPatch:
    """Where a patch's list finds the answer."""

    prefix = "current_prediction__"


class IsPositive(SimpleListFilter):
    title = _("label")
    parameter_name = "label"
    prefix = ""

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, Any]]:
        return [("positive", _("positive")), ("negative", _("negative"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        limit = F(f"{self.prefix}threshold")
        if self.value() == "positive":
            return queryset.filter(**{f"{self.prefix}probability__gte": limit})
        if self.value() == "negative":
            return queryset.filter(**{f"{self.prefix}probability__lt": limit})
        return queryset


class PatchIsPositive(OfPatch, IsPositive):
    pass


class IsFlagged(YesNo):
    title = _("flagged by the gate")
    parameter_name = "flagged"
    condition = ~Q(flags=[])


class PatchIsFlagged(YesNo):
    title = _("flagged by the gate")
    parameter_name = "flagged"
    condition = Q(current_prediction__isnull=False) & ~Q(current_prediction__flags=[])


class IsHidden(YesNo):
    title = _("hidden")
    parameter_name = "hidden"
    condition = Q(hidden_at__isnull=False)


class IsReviewed(YesNo):
    title = _("reviewed")
    parameter_name = "reviewed"
    condition = Exists(Review.objects.filter(patch=OuterRef("pk")))
