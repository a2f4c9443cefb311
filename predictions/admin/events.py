"""What was done, by whom, to what."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from predictions.admin.base import ReadOnlyAdmin
from predictions.models import Event


@admin.register(Event)
class EventAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "kind", "subject", "actor")
    list_filter = ("kind", "created_at")
    list_select_related = ("actor",)
    search_fields = ("subject__exact", "actor__email")
    search_help_text = _("What it was done to (an id, a model version, `user 5`), or the address of who did it.")
    ordering = ("-id",)

    def found_by(self, term: str) -> Q:
        """A subject is any text, ids among it."""
        return super().found_by(term) | Q(subject=term)
