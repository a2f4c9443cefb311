"""The API's schema, and the page that shows it to people."""

from __future__ import annotations

from functools import cache

from csp.decorators import csp_update
from django.http import HttpResponse
from django.utils import translation
from django.utils.cache import patch_vary_headers
from django.utils.decorators import method_decorator
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiJsonRenderer, OpenApiYamlRenderer
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularSwaggerSplitView
from rest_framework.permissions import AllowAny
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView


@cache
def document(kind: type[OpenApiYamlRenderer | OpenApiJsonRenderer]) -> bytes:
    """The schema, which changes with the code alone: written once in the life of a process."""
    with translation.override("en"):
        schema = SchemaGenerator().get_schema(request=None, public=True)
    written: bytes = kind().render(schema, renderer_context={})
    return written


class SchemaDocument(APIView):
    """OpenAPI 3: YAML, or JSON where `Accept` asks for it."""

    permission_classes = (AllowAny,)
    authentication_classes = ()
    throttle_classes = ()  # nothing is looked up for it

    @extend_schema(exclude=True)
    def get(self, request: Request) -> HttpResponse:
        kind = OpenApiJsonRenderer if "json" in request.headers.get("Accept", "") else OpenApiYamlRenderer
        response = HttpResponse(document(kind), content_type=kind.media_type)
        response["Content-Disposition"] = f'inline; filename="idc-finder.{kind.format.removeprefix("openapi-")}"'
        patch_vary_headers(response, ["Accept"])
        return response


# Swagger UI's arrows and its copy button are data: pictures in its style sheet. Nothing else is let in.
@method_decorator(csp_update({"img-src": ["data:"]}), name="dispatch")
class SwaggerPage(SpectacularSwaggerSplitView):
    """Swagger UI from the site's own static files, its script apart from the page."""

    authentication_classes = ()
    throttle_classes = ()
    url_name = "api-schema"

    def handle_exception(self, exc: Exception) -> Response:
        """Errors are JSON here as everywhere under /api/."""
        self.request.accepted_renderer, self.request.accepted_media_type = JSONRenderer(), JSONRenderer.media_type
        return super().handle_exception(exc)
