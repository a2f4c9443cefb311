"""Bodies from strangers."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http.multipartparser import MultiPartParser, MultiPartParserError
from django.utils.translation import gettext as _
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser, DataAndFiles, JSONParser, get_encoding  # type: ignore[attr-defined]  # its stubs are older
from rest_framework.utils import json

from idc_site.bodies import CutBody

UNNAMED = "unnamed"
MOST_DIGITS = 1000  # of a number; Python refuses to read more than 4,300


class _Body:
    """The bytes of a form, in which its boundaries are counted as they pass."""

    def __init__(self, stream: Any, boundary: bytes) -> None:
        self._stream = stream
        self._boundary = boundary
        self._seam = b""  # as long as a boundary with all but the end of its `--`
        self.is_empty = True
        self.has_end = False
        self.boundaries = 0

    def read(self, size: int) -> bytes:
        content: bytes = self._stream.read(size)
        seen = self._seam + content
        self.boundaries += seen.count(self._boundary) - self._seam.count(self._boundary)
        self.has_end = self.has_end or self._boundary + b"--" in seen
        self.is_empty = self.is_empty and not content
        self._seam = seen[-len(self._boundary) - 1 :]
        return content


class _NamedFiles(MultiPartParser):
    def sanitize_file_name(self, file_name: str) -> str:
        return super().sanitize_file_name(file_name) or UNNAMED


class FormParser(BaseParser):
    """A form with files, all of them: Django leaves out what is cut, what has no name, and what is named like a folder
    (`..`, `a/`)."""

    media_type = "multipart/form-data"

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        """The fields, and the files.

        Raises:
            CutBody: the last boundary is missing.
            ParseError: it is no form, or a part of it cannot be read.
        """
        request = parser_context["request"]
        meta = request.META | {"CONTENT_TYPE": media_type}
        body = _Body(stream, b"--" + request.content_params.get("boundary", "").encode())
        try:
            form = _NamedFiles(meta, body, request.upload_handlers, settings.DEFAULT_CHARSET)  # type: ignore[arg-type]  # it reads, no more
            fields, files = form.parse()
        except MultiPartParserError as error:
            raise ParseError(f"Multipart form parse error - {error}") from error
        if body.is_empty:
            return DataAndFiles(fields, files)
        if not body.boundaries:
            raise ParseError(_("The boundary that Content-Type names is not in the form."))
        if not body.has_end:
            raise CutBody("The form has no last boundary")
        if body.boundaries - 1 != sum(len(values) for _name, values in (*fields.lists(), *files.lists())):
            raise ParseError(_("A part of the form cannot be read: it has no name, or one that is not UTF-8."))
        return DataAndFiles(fields, files)


class BoundedJSONParser(JSONParser):
    """Answers 400 to nesting that exhausts the parser, to text that is none (lone surrogates), to a number of thousands
    of digits, and to a name that is there twice, of which one would be lost."""

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        try:
            text = stream.read().decode(get_encoding(parser_context))
            parsed = json.loads(text, parse_int=_integer, object_pairs_hook=_object)
            json.dumps(parsed, ensure_ascii=False).encode()
        except RecursionError as error:
            raise ParseError("JSON parse error - nested too deeply") from error
        except UnicodeEncodeError as error:
            raise ParseError("JSON parse error - a lone surrogate is no character") from error
        except ValueError as error:
            raise ParseError(f"JSON parse error - {error}") from error
        return parsed


def _integer(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise ValueError(f"a number of {len(digits)} digits")
    return int(digits)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name is there twice")
    return found
