"""Cursor pages: the last is as fast as the first, and nothing shifts while someone reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest
from rest_framework.exceptions import NotFound
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response

Row = TypeVar("Row", bound=Model)
ID_DIGITS = 18  # below PostgreSQL's largest bigint


class NewestFirst(CursorPagination):
    """`limit` (at most 100) and `cursor`; the answer is {"results", "next", "previous"}."""

    ordering = "-id"
    page_size = 24
    page_size_query_param = "limit"
    max_page_size = 100

    def decode_cursor(self, request: Request) -> Cursor | None:
        """The cursor of the query. Raises NotFound unless its position is an id that a row may have."""
        cursor: Cursor | None = super().decode_cursor(request)
        if cursor and cursor.position is not None:
            position = str(cursor.position)
            if not (position.isascii() and position.isdecimal() and len(position) <= ID_DIGITS):
                raise NotFound(self.invalid_cursor_message)
        return cursor

    def get_paginated_response(self, data: Any) -> Response:
        return Response({"results": data, "next": self.get_next_link(), "previous": self.get_previous_link()})


@dataclass(frozen=True)
class Page(Generic[Row]):
    """One page of a list: its rows, and the query strings of its neighbours ("" where there is none)."""

    rows: list[Row]
    next: str
    previous: str


def page_of(request: HttpRequest, rows: QuerySet[Row]) -> Page[Row]:
    """The page of `rows` that the request's query asks for. Raises Http404 on a cursor that is none."""
    paginator = NewestFirst()
    try:
        found = paginator.paginate_queryset(rows, Request(request))
    except NotFound as error:
        raise Http404 from error
    return Page(
        list(found or []), *(_query(link) for link in (paginator.get_next_link(), paginator.get_previous_link()))
    )


def _query(link: str | None) -> str:
    return f"?{urlsplit(link).query}" if link else ""
