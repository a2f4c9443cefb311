"""Bodies from strangers."""

from __future__ import annotations

import json
from typing import Any

from django.conf import settings
from django.http.multipartparser import MultiPartParser, MultiPartParserError
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser, DataAndFiles, JSONParser

UNNAMED = "unnamed"


class _NamedFiles(MultiPartParser):
    def sanitize_file_name(self, file_name: str) -> str:
        return super().sanitize_file_name(file_name) or UNNAMED


class FormParser(BaseParser):
    """A form with files, each of which is there: Django passes over one whose name is that of a folder (`..`, `a/`)."""

    media_type = "multipart/form-data"

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        request = parser_context["request"]
        meta = request.META | {"CONTENT_TYPE": media_type}
        try:
            fields, files = _NamedFiles(meta, stream, request.upload_handlers, settings.DEFAULT_CHARSET).parse()
        except MultiPartParserError as error:
            raise ParseError(f"Multipart form parse error - {error}") from error
        return DataAndFiles(fields, files)


class BoundedJSONParser(JSONParser):
    """Answers 400 to nesting that exhausts the parser, and to text that is none (lone surrogates)."""

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        try:
            parsed = super().parse(stream, media_type, parser_context)
            json.dumps(parsed, ensure_ascii=False).encode()
        except RecursionError as error:
            raise ParseError("JSON parse error - nested too deeply") from error
        except UnicodeEncodeError as error:
            raise ParseError("JSON parse error - a lone surrogate is no character") from error
        return parsed
