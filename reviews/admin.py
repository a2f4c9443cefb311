"""Staff look at reviews and change none: an answer is its reviewer's. Who reviews is decided among the users."""

from __future__ import annotations

from django.contrib import admin
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from predictions.admin.base import ReadOnlyAdmin, thumbnail
from reviews.models import Draw, GroundTruth, Review, Week


@admin.register(Review)
class ReviewAdmin(ReadOnlyAdmin):
    list_display = ("picture", "uuid", "reviewer", "answer", "first_answer", "created_at", "changed_at")
    list_display_links = ("uuid",)
    list_filter = ("answer", "draw__reason", "draw__is_random", ("changed_at", admin.EmptyFieldListFilter))
    list_select_related = ("reviewer", "patch__current_prediction__patch")
    search_fields = ("uuid__exact", "patch__uuid__exact", "reviewer__email")
    ordering = ("-id",)

    @admin.display(description=_("picture"))
    def picture(self, review: Review) -> SafeString:
        return thumbnail(review.patch.current_prediction)


@admin.register(Draw)
class DrawAdmin(ReadOnlyAdmin):
    list_display = ("uuid", "reviewer", "reason", "is_random", "outcome", "drawn_at", "closed_at")
    list_filter = ("outcome", "reason", "is_random")
    list_select_related = ("reviewer",)
    search_fields = ("uuid__exact", "patch__uuid__exact", "reviewer__email")
    ordering = ("-id",)


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
    list_display = ("model_version", "week", "number", "score", "positive", "flagged", "sampled", "counted_at")
    list_filter = ("model_version",)
    list_select_related = ("model_version",)
    ordering = ("-week", "model_version")
