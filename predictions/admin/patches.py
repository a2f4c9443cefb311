"""Patches, the batches they came in, and their predictions and maps."""

from __future__ import annotations

from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from predictions import services
from predictions.admin.base import (
    ActingAdmin,
    ReadOnlyAdmin,
    kind_of,
    run_on_each,
    seconds,
    shown_answer,
    staff_of,
    thumbnail,
    to_confirm,
)
from predictions.admin.filters import IsFlagged, IsHidden, IsPositive, IsReviewed, PatchIsFlagged, PatchIsPositive
from predictions.admin.models import rerun
from predictions.exceptions import ServiceError
from predictions.exports import csv_response
from predictions.models import Batch, BatchItem, Explanation, ModelVersion, Patch, Prediction, Status, Visibility


@admin.register(Patch)
class PatchAdmin(ActingAdmin):
    list_display = (
        "picture",
        "short_id",
        "owner",
        "seen_by",
        "answer",
        "answered_by",
        "flags",
        "created_at",
    )
    list_display_links = ("short_id",)
    readonly_fields = ("picture",)
    list_filter = (
        "visibility",
        "current_prediction__status",
        PatchIsPositive,
        "current_prediction__model_version",
        PatchIsFlagged,
        IsHidden,
        IsReviewed,
        "source",
        "created_at",
    )
    list_select_related = ("owner", "current_prediction__patch", "current_prediction__model_version")
    search_fields = ("uuid__exact", "owner__email", "sha256__exact")
    search_help_text = _("The id of a patch or of a prediction, the owner's address, or the SHA-256 of the pixels.")
    ordering = ("-id",)
    actions = ("share", "make_private", "hide", "admit", "export", "rerun")
    exclude = ("original_name",)  # for its owner's eyes

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Patch | None:
        """Whoever opens somebody's private patch here leaves a line, as on its page."""
        patch = super().get_object(request, object_id, from_field)
        if patch:
            services.note_opening(patch=patch, reader=staff_of(request))
        return patch

    def get_queryset(self, request: HttpRequest) -> QuerySet[Patch]:
        answer = "current_prediction__"
        return super().get_queryset(request).defer(f"{answer}embedding", f"{answer}model_version__card")

    def found_by(self, term: str) -> Q:
        """Ids of predictions too; a digest is looked up for each owner, as the index has it."""
        kind = kind_of(term)
        if kind == "sha256":
            return Q(sha256=term, owner__in=User.objects.values("pk"))
        if kind == "uuid":
            asked = Prediction.objects.filter(uuid=term).values_list("patch", flat=True)
            return super().found_by(term) | Q(pk__in=list(asked))
        return super().found_by(term)

    @admin.display(description=_("picture"))
    def picture(self, patch: Patch) -> SafeString:
        return thumbnail(patch.current_prediction)

    @admin.display(description=_("visibility"))
    def seen_by(self, patch: Patch) -> str:
        return str(_("hidden")) if patch.hidden_at else patch.get_visibility_display()

    @admin.display(description=_("answer"))
    def answer(self, patch: Patch) -> str | None:
        return shown_answer(patch.current_prediction)

    @admin.display(description=_("model"))
    def answered_by(self, patch: Patch) -> ModelVersion | None:
        return patch.current_prediction.model_version if patch.current_prediction else None

    @admin.display(description=_("flags"))
    def flags(self, patch: Patch) -> str:
        return ", ".join(patch.current_prediction.flags) if patch.current_prediction else ""

    @admin.action(description=_("Share: your own, or what staff made private"), permissions=["act"])
    def share(self, request: HttpRequest, patches: QuerySet[Patch]) -> HttpResponse | None:
        question = _("Everybody will see these patches. The private ones of others stay as they are.")
        if page := to_confirm(self, request, patches, question):
            return page
        run_on_each(self, request, patches, lambda patch: services.share_again(patch=patch, actor=staff_of(request)))
        return None

    @admin.action(description=_("Make private"), permissions=["act"])
    def make_private(self, request: HttpRequest, patches: QuerySet[Patch]) -> HttpResponse | None:
        question = _("Only their owners and staff will see these patches. Owners may share them again.")
        if page := to_confirm(self, request, patches, question):
            return page

        def close(patch: Patch) -> None:
            services.set_visibility(patch=patch, actor=staff_of(request), visibility=Visibility.PRIVATE)

        run_on_each(self, request, patches, close)
        return None

    @admin.action(description=_("Hide from everyone but the owner"), permissions=["act"])
    def hide(self, request: HttpRequest, patches: QuerySet[Patch]) -> None:
        run_on_each(self, request, patches, lambda patch: services.hide(patch=patch, actor=staff_of(request)))

    @admin.action(description=_("Admit to the gallery"), permissions=["act"])
    def admit(self, request: HttpRequest, patches: QuerySet[Patch]) -> None:
        run_on_each(self, request, patches, lambda patch: services.admit(patch=patch, actor=staff_of(request)))

    @admin.action(description=_("Take a CSV of them, without names"), permissions=["act"])
    def export(self, request: HttpRequest, patches: QuerySet[Patch]) -> HttpResponseBase | None:
        """Streamed, so more than other actions take; what is in it is what the gallery's file holds."""
        rows = Patch.objects.filter(pk__in=patches.order_by().values("pk"))
        try:
            answer = csv_response(request, rows, name="patches", is_owners=False)
        except ServiceError as error:
            self.message_user(request, str(error), messages.ERROR)
            return None
        services.note_export(actor=staff_of(request), what="patches", number=rows.count())
        return answer

    @admin.action(description=_("Re-run with the active model, in the background"), permissions=["act"])
    def rerun(self, request: HttpRequest, patches: QuerySet[Patch]) -> None:
        rerun(self, request, patches)


@admin.register(Prediction)
class PredictionAdmin(ActingAdmin):
    list_display = (
        "picture",
        "short_id",
        "model_version",
        "purpose",
        "answer",
        "flags",
        "attempt",
        "queued_at",
        "waited",
        "took",
    )
    list_display_links = ("short_id",)
    readonly_fields = ("picture",)
    list_filter = ("status", IsPositive, IsFlagged, "model_version", "purpose", "priority", "queued_at")
    list_select_related = ("model_version", "patch")
    search_fields = ("uuid__exact", "patch__uuid__exact", "patch__owner__email")
    search_help_text = _("The id of a prediction or of a patch, or the owner's address.")
    ordering = ("-id",)
    actions = ("retry", "rerun")
    exclude = ("embedding",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Prediction]:
        return super().get_queryset(request).defer("embedding", "model_version__card")

    @admin.display(description=_("picture"))
    def picture(self, prediction: Prediction) -> SafeString:
        return thumbnail(prediction)

    @admin.display(description=_("answer"))
    def answer(self, prediction: Prediction) -> str | None:
        return shown_answer(prediction)

    @admin.display(description=_("waited"))
    def waited(self, prediction: Prediction) -> str | None:
        return seconds(prediction.queued_at, prediction.started_at)

    @admin.display(description=_("took"))
    def took(self, prediction: Prediction) -> str | None:
        return seconds(prediction.started_at, prediction.finished_at)

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
    exclude = ("png",)
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
    list_display = ("short_id", "owner", "source", "created_at")
    list_filter = ("source",)
    list_select_related = ("owner",)
    search_fields = ("uuid__exact", "owner__email")
    ordering = ("-id",)
    inlines = (BatchItemInline,)
