"""How the web processes share connections and their threads, and which connections they end."""

from __future__ import annotations

import select
import struct
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from socket import SHUT_RDWR, SHUT_WR, SO_RCVTIMEO, SOL_SOCKET, socket
from typing import Any

from gunicorn.http.body import Body, ChunkedReader
from gunicorn.workers.gthread import TConn, ThreadWorker

PAUSE = 0.0005  # s for each connection that this process has, as far as MOST of them
MOST = 8
STAY_MS = 50  # that a thread waits for the next request of a program that has its answer
LINGER, SILENCE = 10.0, 2.0  # s that a program may go on sending after its answer, and that it may pause
STALLED = struct.pack("ll", 30, 0)  # s, and microseconds, without a byte of a request that has begun
PIECE = 256 * 1024  # bytes
PASSED_OVER = 32 * 1024  # bytes of a body that nobody has read; from 64 kB on gunicorn ends the connection

Application = Callable[[dict[str, Any], Any], Iterable[bytes]]


class EvenThreadWorker(ThreadWorker):
    """gunicorn's threads, some differences:

    Whichever process has fewer connections is the quicker to accept the next. All listen on one socket, and connections
    that come at once would fall on them as they happen to wake: of five often four on one. As a connection stays where
    it is, that process would work alone while a core is idle.

    And as long as there is a thread for each connection, a thread that has answered waits a moment for the next request
    itself: to hand the connection to the main thread and back takes as long as to read a request.

    An answer that leaves a body unread says that the connection ends with it. gunicorn ends it too, but says that it
    stays, and the next request of a program that believes so is lost.

    And a connection is ended by the thread that answered, not by the main thread, which would wait two seconds for a
    program that keeps its end, and accept nobody meanwhile. What the program still sends is passed over for a while:
    the kernel resets what is closed before that, and the answer would be lost. Nor does a thread wait for ever for a
    program that falls silent in the midst of a request: a few of them would be all threads there are.
    """

    wsgi: Application

    def load_wsgi(self) -> None:
        super().load_wsgi()
        self.wsgi = _ending(self.wsgi)

    def accept(self, listener: socket) -> None:
        if self.cfg.workers > 1:
            time.sleep(PAUSE * min(self.nr_conns, MOST))
        super().accept(listener)

    def handle(self, conn: TConn) -> object:
        """Whether to keep the connection, or gunicorn's own sign that nothing has come yet."""
        if not conn.initialized:
            conn.sock.setsockopt(SOL_SOCKET, SO_RCVTIMEO, STALLED)
        while True:
            is_kept = super().handle(conn)
            if is_kept is False:
                _part(conn.sock)
            if is_kept is not True or not self._comes_more(conn):
                return is_kept

    def _comes_more(self, conn: TConn) -> bool:
        """Whether the next request is there within a moment, and a thread can be spared to wait for it."""
        is_read_already = bool(conn.parser.unreader.buf.getvalue())  # with the one before: gunicorn goes on with it
        if is_read_already or not self.alive or self.nr_conns > self.cfg.threads:
            return False
        poll = select.poll()
        poll.register(conn.sock, select.POLLIN)
        return bool(poll.poll(STAY_MS))


def _part(connection: socket) -> None:
    """Say that no more is sent, and read until the program says so too, falls silent or has had its time (RFC 9112,
    9.6)."""
    deadline = time.monotonic() + LINGER
    with suppress(OSError):  # whatever it is, the connection ends
        connection.shutdown(SHUT_WR)
        while (left := deadline - time.monotonic()) > 0:
            connection.settimeout(min(left, SILENCE))
            if not connection.recv(PIECE):
                break
    with suppress(OSError):
        connection.shutdown(SHUT_RDWR)


def _ending(application: Application) -> Application:
    """The same application; whoever was refused before their body was read is told that the connection ends."""

    def answer(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        response = start_response.__self__  # gunicorn's

        def start(*args: Any) -> Any:
            if _is_left_unread(response.req.body):
                response.force_close()
            return start_response(*args)

        return application(environ, start)

    return answer


def _is_left_unread(body: Body) -> bool:
    """More of it than gunicorn passes over, as far as it says how long it is; or nobody knows where it ends."""
    return body.failed or isinstance(body.reader, ChunkedReader) or getattr(body.reader, "length", 0) > PASSED_OVER
