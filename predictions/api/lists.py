"""Pages of lists."""

from __future__ import annotations

from django.utils.translation import gettext as _
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from predictions.api.serializers import current_json
from predictions.filters import GalleryFilter
from predictions.models import Patch
from predictions.pagination import Sorted


def page_response(view: APIView, request: Request, filters: GalleryFilter) -> Response:
    """One page of the patches that the filters let through, as their current predictions.

    Raises:
        ValidationError: a filter has a value that it cannot have.
    """
    for name in filters.filters:
        if request.query_params.get(name) == "":
            raise ValidationError({name: _("Give it a value, or leave it out.")})
    if not filters.is_valid():
        raise ValidationError(filters.errors)
    paginator = Sorted(filters.order)
    patches: list[Patch] = paginator.paginate_queryset(filters.qs, request, view=view) or []
    response: Response = paginator.get_paginated_response(current_json(request, patches))
    return response
