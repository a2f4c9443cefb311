"""Cursor pages: the last is as fast as the first, and nothing shifts while someone reads."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest
from django.utils.translation import gettext as _
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response

from predictions.models import Patch
from predictions.models.patch import PatchQuerySet
from predictions.sorting import ID_DIGITS, Sort

Row = TypeVar("Row", bound=Model)
LIMIT = re.compile("0*[1-9][0-9]{0,30}")


class NewestFirst(CursorPagination):
    """`limit` (at most 100) and `cursor`; the answer is {"results", "next", "previous"}."""

    ordering = "-id"
    page_size = 24
    page_size_query_param = "limit"
    max_page_size = 100

    def decode_cursor(self, request: Request) -> Cursor | None:
        """The cursor of the query. Raises ValidationError unless a row may stand at its position."""
        try:
            cursor: Cursor | None = super().decode_cursor(request)
        except NotFound:
            raise self._no_cursor() from None
        # One without a position would be the first page again, and a program that goes from page to page would not end.
        if cursor and (cursor.offset or cursor.position is None or not self.is_place(str(cursor.position))):
            raise self._no_cursor()
        return cursor

    def _no_cursor(self) -> ValidationError:
        message = _("This is no cursor of this list and its sort. Leave it out to begin at the first page.")
        return ValidationError({self.cursor_query_param: message})

    def is_place(self, position: str) -> bool:
        return position.isascii() and position.isdecimal() and len(position) <= ID_DIGITS

    def get_page_size(self, request: Request) -> int | None:
        """Raises ValidationError unless `limit` is a positive number; above the most it is the most."""
        limit = request.query_params.get(self.page_size_query_param)
        if limit is not None and not LIMIT.fullmatch(limit):
            raise ValidationError({self.page_size_query_param: _("Enter a whole number of at least 1.")})
        return super().get_page_size(request)

    def get_paginated_response(self, data: Any) -> Response:
        return Response({"results": data, "next": self.get_next_link(), "previous": self.get_previous_link()})


class Sorted(NewestFirst):
    """The same of patches, in any of the sorts of predictions/sorting.py.

    However many have the same key, none is shown twice and none is left out.
    """

    def __init__(self, sort: Sort) -> None:
        self.sort = sort
        self.following: Any = None
        self.preceding: Any = None

    def is_place(self, position: str) -> bool:
        return self.sort.read(position) is not None

    def paginate_queryset(self, queryset: PatchQuerySet, request: Request, view: Any = None) -> list[Patch]:  # type: ignore[override]  # of patches alone
        self.base_url = request.build_absolute_uri()
        size, cursor = self.get_page_size(request) or self.page_size, self.decode_cursor(request)
        position, backwards = (cursor.position, bool(cursor.reverse)) if cursor else (None, False)
        rows = self.sort.applied(queryset, backwards=backwards)
        if position is not None and (place := self.sort.read(str(position))):
            rows = self.sort.beyond(rows, place, backwards=backwards)
        found = list(rows[: size + 1])
        is_more, found = len(found) > size, found[:size]
        if backwards:
            found.reverse()
        has_next, has_previous = (position is not None, is_more) if backwards else (is_more, position is not None)
        first, last = (self.sort.place_of(row) for row in (found[0], found[-1])) if found else (position, position)
        self.following = last if has_next else None
        self.preceding = first if has_previous else None
        return found

    def get_next_link(self) -> str | None:
        return self._link(self.following, backwards=False)

    def get_previous_link(self) -> str | None:
        return self._link(self.preceding, backwards=True)

    def _link(self, place: Any, *, backwards: bool) -> str | None:
        return self.encode_cursor(Cursor(0, backwards, place)) if place is not None else None


@dataclass(frozen=True)
class Page(Generic[Row]):
    """One page of a list: its rows, and the query strings of its neighbours ("" where there is none)."""

    rows: list[Row]
    next: str
    previous: str


def page_of(request: HttpRequest, rows: QuerySet[Row], *, paginator: NewestFirst | None = None) -> Page[Row]:
    """The page of `rows` that the request's query asks for. Raises Http404 on a cursor or limit that is none."""
    paginator = paginator or NewestFirst()
    try:
        found = paginator.paginate_queryset(rows, Request(request))
    except ValidationError as error:
        raise Http404 from error
    return Page(
        list(found or []), *(_query(link) for link in (paginator.get_next_link(), paginator.get_previous_link()))
    )


def _query(link: str | None) -> str:
    return f"?{urlsplit(link).query}" if link else ""
