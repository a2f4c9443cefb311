"""Which form answers under /api/ have, and what OPTIONS tells."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from rest_framework.metadata import BaseMetadata
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

if TYPE_CHECKING:  # REST framework imports this module while it makes its views
    from rest_framework.views import APIView


class OneForm(DefaultContentNegotiation):
    """Each address has one form, and errors are JSON. `Accept` refuses nobody: who asks for image/png gets it."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        first = next(iter(renderers))
        return first, str(first.media_type)


class MethodsAlone(BaseMetadata):
    """The methods of an address, which are in the header `Allow` too. No names or texts of the code."""

    def determine_metadata(self, request: Request, view: APIView) -> dict[str, Any]:
        return {"methods": view.allowed_methods}
