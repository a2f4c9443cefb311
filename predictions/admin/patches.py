"""Patches, the batches they came in, and their predictions and maps."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from predictions import services
from predictions.admin.base import ActingAdmin, ReadOnlyAdmin, run_on_each, staff_of, thumbnail
from predictions.admin.models import rerun
from predictions.models import Batch, BatchItem, Explanation, Patch, Prediction, Status


@admin.register(Patch)
class PatchAdmin(ActingAdmin):
    list_display = ("picture", "uuid", "owner", "visibility", "status", "probability", "hidden_at", "created_at")
    list_display_links = ("uuid",)
    list_filter = ("visibility", "current_prediction__status", "source", ("hidden_at", admin.EmptyFieldListFilter))
    list_select_related = ("owner", "current_prediction__patch")
    search_fields = ("uuid__exact", "sha256__exact", "owner__email")
    date_hierarchy = None
    ordering = ("-id",)
    actions = ("hide", "admit", "rerun")
    exclude = ("image",)

    @admin.display(description=_("picture"))
    def picture(self, patch: Patch) -> SafeString:
        return thumbnail(patch.current_prediction)

    @admin.display(description=_("status"))
    def status(self, patch: Patch) -> str:
        return patch.current_prediction.get_status_display() if patch.current_prediction else "-"

    @admin.display(description=_("probability"))
    def probability(self, patch: Patch) -> float | None:
        return patch.current_prediction.probability if patch.current_prediction else None

    @admin.action(description=_("Hide from everyone but the owner"), permissions=["act"])
    def hide(self, request: HttpRequest, patches: QuerySet[Patch]) -> None:
        run_on_each(self, request, patches, lambda patch: services.hide(patch=patch, actor=staff_of(request)))

    @admin.action(description=_("Admit to the gallery"), permissions=["act"])
    def admit(self, request: HttpRequest, patches: QuerySet[Patch]) -> None:
        run_on_each(self, request, patches, lambda patch: services.admit(patch=patch, actor=staff_of(request)))

    @admin.action(description=_("Re-run with the active model, in the background"), permissions=["act"])
    def rerun(self, request: HttpRequest, patches: QuerySet[Patch]) -> None:
        rerun(self, request, patches)


@admin.register(Prediction)
class PredictionAdmin(ActingAdmin):
    list_display = (
        "picture",
        "uuid",
        "model_version",
        "status",
        "label",
        "probability",
        "attempt",
        "queued_at",
        "finished_at",
    )
    list_display_links = ("uuid",)
    list_filter = ("status", "model_version", "purpose", "priority")
    list_select_related = ("model_version", "patch")
    search_fields = ("uuid__exact", "patch__uuid__exact")
    ordering = ("-id",)
    actions = ("retry", "rerun")

    @admin.display(description=_("picture"))
    def picture(self, prediction: Prediction) -> SafeString:
        return thumbnail(prediction)

    @admin.action(description=_("Try again (failed ones)"), permissions=["act"])
    def retry(self, request: HttpRequest, predictions: QuerySet[Prediction]) -> None:
        failed = predictions.filter(status=Status.FAILED)
        run_on_each(self, request, failed, lambda one: services.retry(prediction=one, actor=staff_of(request)))

    @admin.action(description=_("Re-run with the active model, in the background"), permissions=["act"])
    def rerun(self, request: HttpRequest, predictions: QuerySet[Prediction]) -> None:
        rerun(self, request, Patch.objects.filter(pk__in=predictions.order_by().values("patch")))


@admin.register(Explanation)
class ExplanationAdmin(ReadOnlyAdmin):
    list_display = ("prediction", "status", "attempt", "queued_at", "finished_at", "error_code")
    list_filter = ("status",)
    list_select_related = ("prediction",)
    search_fields = ("prediction__uuid__exact",)
    ordering = ("-id",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Explanation]:
        return super().get_queryset(request).defer("png")


class BatchItemInline(admin.TabularInline[BatchItem, Batch]):
    model = BatchItem
    fields = readonly_fields = ("position", "name", "patch", "error_code")
    ordering = ("position",)
    extra = 0
    max_num = 0
    can_delete = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[BatchItem]:
        return super().get_queryset(request).select_related("patch").filter(position__lte=200)


@admin.register(Batch)
class BatchAdmin(ReadOnlyAdmin):
    list_display = ("uuid", "owner", "source", "created_at")
    list_filter = ("source",)
    list_select_related = ("owner",)
    search_fields = ("uuid__exact", "owner__email")
    ordering = ("-id",)
    inlines = (BatchItemInline,)
