"""Bodies of requests are whole, or refused: half of a form looks like a form."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django.core.exceptions import BadRequest

Environ = dict[str, Any]
Application = Callable[[Environ, Any], Iterable[bytes]]


class CutBody(BadRequest):
    """The body has no end: what there is of it must not be taken for all."""


class WholeBody:
    """A server's `wsgi.input` of `length` bytes. Reading raises CutBody where the sender stops before that."""

    def __init__(self, stream: Any, length: int) -> None:
        self._stream = stream
        self._left = length

    def read(self, size: int = -1) -> bytes:
        return self._counted(self._stream.read, size, least=self._left if size < 0 else min(size, self._left))

    def readline(self, size: int = -1) -> bytes:
        return self._counted(self._stream.readline, size, least=min(1, self._left))

    def _counted(self, read: Callable[[int], bytes], size: int, *, least: int) -> bytes:
        try:
            content = read(size)
        except OSError as error:  # the connection broke
            raise CutBody(str(error)) from error
        self._left -= len(content)
        if len(content) < least:
            raise CutBody(f"{self._left} bytes of the body did not come")
        return content


def whole_bodies(application: Application) -> Application:
    """The same application, which is never given a part of a body as if it were the whole."""

    def answer(environ: Environ, start_response: Any) -> Iterable[bytes]:
        length = environ.get("CONTENT_LENGTH") or "0"
        environ["wsgi.input"] = WholeBody(environ["wsgi.input"], int(length) if length.isdecimal() else 0)
        return application(environ, start_response)

    return answer
