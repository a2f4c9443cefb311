"""Staff look at reviews and change none: an answer is its reviewer's. Who reviews is decided among the users."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from predictions.admin.base import ActingAdmin, ReadOnlyAdmin, run_on_each, staff_of, thumbnail
from reviews import services
from reviews.models import Draw, GroundTruth, Report, Review, Week


@admin.register(Review)
class ReviewAdmin(ReadOnlyAdmin):
    list_display = ("picture", "short_id", "reviewer", "answer", "first_answer", "created_at", "changed_at")
    list_display_links = ("short_id",)
    list_filter = ("answer", "draw__reason", "draw__is_random", ("changed_at", admin.EmptyFieldListFilter))
    list_select_related = ("reviewer", "patch__current_prediction__patch")
    search_fields = ("uuid__exact", "patch__uuid__exact", "reviewer__email")
    ordering = ("-id",)

    @admin.display(description=_("picture"))
    def picture(self, review: Review) -> SafeString:
        return thumbnail(review.patch.current_prediction)


@admin.register(Draw)
class DrawAdmin(ReadOnlyAdmin):
    list_display = ("short_id", "reviewer", "reason", "is_random", "outcome", "drawn_at", "closed_at")
    list_filter = ("outcome", "reason", "is_random")
    list_select_related = ("reviewer",)
    search_fields = ("uuid__exact", "patch__uuid__exact", "reviewer__email")
    ordering = ("-id",)


@admin.register(Report)
class ReportAdmin(ActingAdmin):
    """Open ones first, the newest of them first."""

    list_display = ("picture", "reason", "comment", "outcome", "has_hidden", "reporter", "created_at")
    list_display_links = ("reason",)
    list_filter = ("outcome", "reason", "has_hidden")
    list_select_related = ("reporter", "patch__current_prediction__patch")
    search_fields = ("uuid__exact", "patch__uuid__exact", "reporter__email")
    ordering = ("-outcome", "-id")  # "open" is the last of its alphabet
    actions = ("hide", "dismiss")

    @admin.display(description=_("picture"))
    def picture(self, report: Report) -> SafeString:
        return thumbnail(report.patch.current_prediction)

    @admin.action(description=_("Hide the patch"), permissions=["act"])
    def hide(self, request: HttpRequest, reports: QuerySet[Report]) -> None:
        one_of_each = reports.filter(outcome="open").order_by("patch", "pk").distinct("patch")
        run_on_each(self, request, one_of_each, lambda one: services.hide_reported(report=one, actor=staff_of(request)))

    @admin.action(description=_("Dismiss: nothing is wrong"), permissions=["act"])
    def dismiss(self, request: HttpRequest, reports: QuerySet[Report]) -> None:
        run_on_each(self, request, reports, lambda one: services.dismiss_report(report=one, actor=staff_of(request)))


@admin.register(GroundTruth)
class GroundTruthAdmin(ReadOnlyAdmin):
    list_display = ("picture", "patch", "answer", "source", "created_at", "changed_at")
    list_display_links = ("patch",)
    list_filter = ("answer",)
    list_select_related = ("patch__current_prediction__patch",)
    search_fields = ("patch__uuid__exact", "patch__owner__email")
    ordering = ("-patch_id",)

    @admin.display(description=_("picture"))
    def picture(self, truth: GroundTruth) -> SafeString:
        return thumbnail(truth.patch.current_prediction)


@admin.register(Week)
class WeekAdmin(ReadOnlyAdmin):
    list_display = ("model_version", "week", "number", "mean", "positive", "flagged", "sampled", "counted_at")
    list_filter = ("model_version",)
    list_select_related = ("model_version",)
    ordering = ("-week", "model_version")

    @admin.display(description=_("mean probability"))
    def mean(self, week: Week) -> str:
        return f"{week.score:.3f}"
