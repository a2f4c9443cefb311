"""The pages that list patches, the gallery and one's history, and the files that are made of them."""

from __future__ import annotations

from typing import Any, cast

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from accounts.models import User
from predictions import exports
from predictions.counting import counted
from predictions.exceptions import ServiceError
from predictions.filters import GalleryFilter, HistoryFilter
from predictions.models import Patch
from predictions.models.patch import PatchQuerySet
from predictions.pagination import Sorted, page_of

SELECTED = "select"  # the ids of the chosen cards
IS_SELECTION = "selection"  # sent by the form of the chosen cards, even if none is


@require_GET
def gallery(request: HttpRequest) -> HttpResponse:
    return _list(request, "predictions/gallery.html", GalleryFilter(request.GET, _shared()))


@require_GET
def gallery_export(request: HttpRequest, kind: str) -> HttpResponseBase:
    filters = GalleryFilter(request.GET, _shared())
    return _export(request, filters, kind, name="idc-gallery", is_owners=False, page="gallery")


@require_GET
@login_required
def history(request: HttpRequest) -> HttpResponse:
    mine = _own(request).annotate(batch_uuid=exports.latest_batch())
    return _list(request, "predictions/history.html", HistoryFilter(request.GET, mine))


@require_GET
@login_required
def history_export(request: HttpRequest, kind: str) -> HttpResponseBase:
    """What the filters let through; or of that, from the form of the chosen cards, those that are chosen."""
    filters = HistoryFilter(request.GET, _own(request))
    return _export(request, filters, kind, name="idc-history", is_owners=True, page="predictions:history")


def _shared() -> PatchQuerySet:
    return Patch.objects.in_gallery().select_related("current_prediction").defer("current_prediction__embedding")


def _own(request: HttpRequest) -> PatchQuerySet:
    owner = cast(User, request.user)
    return Patch.objects.filter(owner=owner).select_related("current_prediction").defer("current_prediction__embedding")


def _list(request: HttpRequest, template: str, filters: GalleryFilter) -> HttpResponse:
    page = page_of(request, filters.qs, paginator=Sorted(filters.order))
    context: dict[str, Any] = {
        "filters": filters,
        "page": page,
        "counted": counted(filters.in_order_only(), page),
        "query": filters.query,
    }
    return render(request, template, context)


def _export(
    request: HttpRequest, filters: GalleryFilter, kind: str, *, name: str, is_owners: bool, page: str
) -> HttpResponseBase:
    """The file; or the page again, with the reason why there is none."""
    make = {"csv": exports.csv_response, "json": exports.json_response}[kind]
    patches = filters.in_order_only()
    refusal = ""
    if not filters.is_valid():
        refusal = _("One of the filters has a value that it cannot have.")
    elif IS_SELECTION in request.GET:
        chosen = request.GET.getlist(SELECTED)
        patches = exports.selected(patches, chosen)
        refusal = "" if chosen else _("Tick the patches that the file shall hold.")
    if not refusal:
        try:
            return make(request, patches, name=name, is_owners=is_owners)
        except ServiceError as error:
            refusal = str(error)
    messages.error(request, refusal)
    response = redirect(page)
    response["Location"] += filters.query
    return response
