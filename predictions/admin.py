"""Staff look at everything and change nothing but through the actions, each a call of a service."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from django.contrib import admin, messages
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from accounts.models import User
from predictions import services
from predictions.exceptions import ServiceError
from predictions.models import (
    Batch,
    BatchItem,
    Event,
    Explanation,
    ModelVersion,
    Patch,
    Prediction,
    Status,
    WorkerHeartbeat,
)


class ReadOnlyAdmin(admin.ModelAdmin[Any]):
    """Shows rows, twenty-five a page, and lets nobody add, change or delete them by hand."""

    list_per_page = 25
    list_max_show_all = 25
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


def thumbnail(prediction: Prediction | None) -> SafeString:
    """The picture of a public patch. Lists show no private one: who opens it leaves a line (`note_opening`)."""
    if prediction is None:
        return SafeString("-")
    if not prediction.patch.is_public:
        return format_html(
            '<a href="{}">{}</a>', prediction.get_absolute_url(), prediction.patch.get_visibility_display()
        )
    source = reverse("predictions:image", args=[prediction.uuid])
    return format_html('<img src="{}" width="50" height="50" alt="">', source)


def run_on_each(
    model_admin: ReadOnlyAdmin, request: HttpRequest, rows: QuerySet[Any], service: Callable[[Any], None]
) -> None:
    """Call a service for every selected row, and say how many went well and why others did not."""
    done, refusals = 0, set()
    for row in rows:
        try:
            service(row)
            done += 1
        except ServiceError as error:
            refusals.add(str(error))
    model_admin.message_user(request, ngettext("%d row done.", "%d rows done.", done) % done)
    for refusal in sorted(refusals):
        model_admin.message_user(request, refusal, messages.ERROR)


def _staff(request: HttpRequest) -> User:
    """The member of staff; the admin lets nobody else in."""
    return cast(User, request.user)


class ActingAdmin(ReadOnlyAdmin):
    """Rows stay read-only; the actions are for those who hold the model's change permission."""

    def has_act_permission(self, request: HttpRequest) -> bool:
        return _staff(request).has_perm(f"{self.opts.app_label}.change_{self.opts.model_name}")


@admin.register(Patch)
class PatchAdmin(ActingAdmin):
    list_display = ("picture", "uuid", "owner", "visibility", "status", "probability", "hidden_at", "created_at")
    list_display_links = ("uuid",)
    list_filter = ("visibility", "current_prediction__status", "source", ("hidden_at", admin.EmptyFieldListFilter))
    list_select_related = ("owner", "current_prediction__patch")
    search_fields = ("uuid__exact", "sha256__exact", "owner__email")
    date_hierarchy = None
    ordering = ("-id",)
    actions = ("hide", "admit")
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
        run_on_each(self, request, patches, lambda patch: services.hide(patch=patch, actor=_staff(request)))

    @admin.action(description=_("Admit to the gallery"), permissions=["act"])
    def admit(self, request: HttpRequest, patches: QuerySet[Patch]) -> None:
        run_on_each(self, request, patches, lambda patch: services.admit(patch=patch, actor=_staff(request)))


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
    actions = ("retry",)

    @admin.display(description=_("picture"))
    def picture(self, prediction: Prediction) -> SafeString:
        return thumbnail(prediction)

    @admin.action(description=_("Try again (failed ones)"), permissions=["act"])
    def retry(self, request: HttpRequest, predictions: QuerySet[Prediction]) -> None:
        failed = predictions.filter(status=Status.FAILED)
        run_on_each(self, request, failed, lambda one: services.retry(prediction=one, actor=_staff(request)))


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


@admin.register(ModelVersion)
class ModelVersionAdmin(ActingAdmin):
    list_display = ("version", "is_active", "sha256", "registered_at")
    ordering = ("-registered_at",)
    actions = ("activate",)

    @admin.action(description=_("Activate: let it answer new patches"), permissions=["act"])
    def activate(self, request: HttpRequest, versions: QuerySet[ModelVersion]) -> None:
        if versions.count() != 1:
            self.message_user(request, _("Select exactly one model version."), messages.ERROR)
            return
        run_on_each(self, request, versions, lambda one: services.activate(model_version=one, actor=_staff(request)))


@admin.register(Event)
class EventAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "kind", "subject", "actor")
    list_filter = ("kind",)
    list_select_related = ("actor",)
    search_fields = ("subject__exact", "actor__email")
    ordering = ("-id",)


@admin.register(WorkerHeartbeat)
class WorkerHeartbeatAdmin(ReadOnlyAdmin):
    list_display = ("worker", "seen_at", "model_hashes", "problem")
    ordering = ("-seen_at",)
