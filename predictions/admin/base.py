"""What all of the site's admin pages share: rows are read-only, and each write is a call of a service."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from django.contrib import admin, messages
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import ngettext

from accounts.models import User
from predictions.exceptions import ServiceError
from predictions.models import Prediction


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


class ActingAdmin(ReadOnlyAdmin):
    """Rows stay read-only; the actions are for those who hold the model's change permission."""

    def has_act_permission(self, request: HttpRequest) -> bool:
        return staff_of(request).has_perm(f"{self.opts.app_label}.change_{self.opts.model_name}")


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


def staff_of(request: HttpRequest) -> User:
    """The member of staff; the admin lets nobody else in."""
    return cast(User, request.user)
