"""Files on their way to readers who may be slow, or gone: each holds a place of its kind, and none for ever.

While a piece travels to its reader the thread has no database connection at all.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from threading import Lock

from allauth.account.adapter import get_adapter
from django.db import connection
from django.http import HttpRequest

from predictions.exceptions import TooManyExports

STALLED_SECONDS = 30  # after which a reader who does not take a piece is let go


class Places:
    """Whom this process sends files at the moment: `most` readers of one kind, and `each` of the same reader's."""

    def __init__(self, *, most: int, each: int) -> None:
        self.most, self.each = most, each
        self._readers: list[str] = []
        self._lock = Lock()

    def take(self, reader: str) -> None:
        """Raises TooManyExports."""
        with self._lock:
            if len(self._readers) >= self.most or self._readers.count(reader) >= self.each:
                raise TooManyExports
            self._readers.append(reader)

    def leave(self, reader: str) -> None:
        self._readers.remove(reader)  # in one step and without the lock: the collector may call this within `take`


class Sent:
    """Pieces of one file, which hold a place until they are all taken or given up, or the time for it is over."""

    def __init__(self, request: HttpRequest, pieces: Iterator[bytes], *, places: Places, seconds: int) -> None:
        """Raises TooManyExports: there is no place left for the reader."""
        user = request.user
        self.reader = f"user {user.pk}" if user.is_authenticated else get_adapter().get_client_ip(request)
        self.places = places
        self.places.take(self.reader)
        self.is_open = True
        self.pieces, self.socket = pieces, request.META.get("gunicorn.socket")
        self.seconds, self.ends_at = seconds, time.monotonic() + seconds

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        """Raises TimeoutError, as the socket does: gunicorn breaks off, and what was sent does not look whole."""
        piece = next(self.pieces, None)
        if piece is None:
            self.close()  # before a reader who was not told the length knows the end and may ask for another file
            raise StopIteration
        left = self.ends_at - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"A file was not taken within {self.seconds} s")
        if self.socket:
            # For the whole piece, however slowly it goes. Gunicorn sets it anew for the next request.
            self.socket.settimeout(min(STALLED_SECONDS, left))
        # Slow readers hold a thread, and no connection: the next piece opens its own. (A test's transaction stays.)
        if not connection.in_atomic_block:
            connection.close()
        return piece

    def close(self) -> None:
        """Django calls it when the answer is sent, and when its reader has gone."""
        if self.is_open:
            self.is_open = False
            self.places.leave(self.reader)

    def __del__(self) -> None:
        """Also one that was dropped without being sent gives its place back."""
        if getattr(self, "is_open", False):
            self.close()
