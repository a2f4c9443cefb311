"""Model versions, their runs over many patches, and the workers that answer with them."""

from __future__ import annotations

import json

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from predictions import services
from predictions.admin.base import ActingAdmin, ReadOnlyAdmin, run_on_each, staff_of
from predictions.exceptions import ServiceError
from predictions.models import ModelVersion, Patch, Run, WorkerHeartbeat


@admin.register(ModelVersion)
class ModelVersionAdmin(ActingAdmin):
    list_display = ("version", "is_active", "trial", "registered_at", "sha256")
    fieldsets = (
        (None, {"fields": ("version", "is_active", "registered_at", "threshold", "likeness_limit", "sha256", "pages")}),
        (_("Model card"), {"fields": ("whole_card",), "classes": ("collapse",)}),
    )
    ordering = ("-registered_at",)
    actions = ("activate",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[ModelVersion]:
        return super().get_queryset(request).defer("card")

    @admin.display(description=_("trial"))
    def trial(self, version: ModelVersion) -> SafeString:
        return format_html('<a href="{}">{}</a>', reverse("trial:trial", args=[version.version]), _("runs, comparison"))

    @admin.display(description=_("pages"))
    def pages(self, version: ModelVersion) -> SafeString:
        card = format_html('<a href="{}">{}</a>', reverse("model", args=[version.version]), _("figures and limits"))
        return format_html("{}, {}", card, self.trial(version))

    @admin.display(description=_("card"))
    def whole_card(self, version: ModelVersion) -> SafeString:
        return format_html("<pre>{}</pre>", json.dumps(version.card, indent=1, ensure_ascii=False))

    @admin.action(description=_("Activate: let it answer new patches"), permissions=["act"])
    def activate(self, request: HttpRequest, versions: QuerySet[ModelVersion]) -> None:
        """One that was tried; on its trial page others can be activated, too."""
        if versions.count() != 1:
            self.message_user(request, _("Select exactly one model version."), messages.ERROR)
            return
        actor = staff_of(request)
        run_on_each(self, request, versions, lambda one: services.activate_after_trial(model_version=one, actor=actor))


@admin.register(Run)
class RunAdmin(ActingAdmin):
    list_display = (
        "created_at",
        "kind",
        "model_version",
        "state",
        "progress",
        "succeeded",
        "failed",
        "requested_by",
        "finished_at",
    )
    list_filter = ("kind", "state", "model_version")
    list_select_related = ("model_version", "requested_by")
    search_fields = ("uuid__exact",)
    ordering = ("-id",)
    actions = ("stop",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Run]:
        return super().get_queryset(request).defer("model_version__card", "chosen")

    @admin.display(description=_("progress"))
    def progress(self, run: Run) -> str:
        return f"{run.done:,} / {run.number:,}"

    @admin.action(description=_("Stop: keep what is answered"), permissions=["act"])
    def stop(self, request: HttpRequest, runs: QuerySet[Run]) -> None:
        run_on_each(self, request, runs, lambda run: services.cancel_run(run=run, actor=staff_of(request)))


def rerun(model_admin: ReadOnlyAdmin, request: HttpRequest, patches: QuerySet[Patch]) -> None:
    """One run of the active model over the selected patches."""
    try:
        run = services.start_rerun_of(patches=patches, actor=staff_of(request))
    except ServiceError as error:
        model_admin.message_user(request, str(error), messages.ERROR)
        return
    address = reverse("admin:predictions_run_change", args=[run.pk])
    model_admin.message_user(request, format_html('<a href="{}">{}</a>', address, _("The re-run has been started.")))


@admin.register(WorkerHeartbeat)
class WorkerHeartbeatAdmin(ReadOnlyAdmin):
    list_display = ("worker", "seen_at", "model_hashes", "problem")
    ordering = ("-seen_at",)
