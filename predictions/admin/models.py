"""Model versions, and the workers that answer with them."""

from __future__ import annotations

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from predictions import services
from predictions.admin.base import ActingAdmin, ReadOnlyAdmin, run_on_each, staff_of
from predictions.models import ModelVersion, WorkerHeartbeat


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
        run_on_each(self, request, versions, lambda one: services.activate(model_version=one, actor=staff_of(request)))


@admin.register(WorkerHeartbeat)
class WorkerHeartbeatAdmin(ReadOnlyAdmin):
    list_display = ("worker", "seen_at", "model_hashes", "problem")
    ordering = ("-seen_at",)
