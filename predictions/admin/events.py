"""What was done, by whom, to what."""

from __future__ import annotations

from django.contrib import admin

from predictions.admin.base import ReadOnlyAdmin
from predictions.models import Event


@admin.register(Event)
class EventAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "kind", "subject", "actor")
    list_filter = ("kind",)
    list_select_related = ("actor",)
    search_fields = ("subject__exact", "actor__email")
    ordering = ("-id",)
