"""Bodies from strangers."""

from __future__ import annotations

import json
from typing import Any

from django.conf import settings
from django.http import UnreadablePostError
from django.http.multipartparser import MultiPartParser, MultiPartParserError
from django.utils.http import parse_header_parameters
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser, DataAndFiles, JSONParser

UNNAMED = "unnamed"
END_BYTES = 1024  # of a body are kept; what stands behind a form's last boundary is passed over (RFC 2046, 5.1.1)


class _Body:
    """The bytes of a request, and the last of them."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.end = b""

    def read(self, size: int) -> bytes:
        content: bytes = self._stream.read(size)
        self.end = (self.end + content)[-END_BYTES:]
        return content


class _NamedFiles(MultiPartParser):
    def sanitize_file_name(self, file_name: str) -> str:
        return super().sanitize_file_name(file_name) or UNNAMED


class FormParser(BaseParser):
    """A form with files, all of them: Django leaves out what is cut, and what is named like a folder (`..`, `a/`)."""

    media_type = "multipart/form-data"

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        request = parser_context["request"]
        meta = request.META | {"CONTENT_TYPE": media_type}
        body = _Body(stream)
        try:
            form = _NamedFiles(meta, body, request.upload_handlers, settings.DEFAULT_CHARSET)  # type: ignore[arg-type]  # it reads, no more
            fields, files = form.parse()
        except (MultiPartParserError, UnreadablePostError) as error:
            raise ParseError(f"Multipart form parse error - {error}") from error
        boundary = parse_header_parameters(media_type)[1].get("boundary", "")
        if body.end and f"--{boundary}--".encode() not in body.end:
            raise ParseError("The form has no end: it was cut on its way. Send it again, whole.")
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
