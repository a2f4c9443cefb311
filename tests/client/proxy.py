"""A small TCP proxy on loopback that loses or replaces answers: what stands between client and server on a bad day."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from urllib.parse import urlsplit


class LosingProxy:
    """Passes everything on, but not the first `lose` answers to `lost_path`: these become `instead` and an end.

    For clients that make one request at a time. requests: the bytes of each. times: when each began.
    """

    def __init__(self, upstream: str, *, lost_path: bytes, lose: int, instead: bytes = b"") -> None:
        parts = urlsplit(upstream)
        self.upstream = (str(parts.hostname), int(parts.port or 80))
        self.lost_path, self.lose, self.instead = lost_path, lose, instead
        self.requests: list[bytes] = []
        self.times: list[float] = []
        self._turn = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> LosingProxy:
        return self

    def __exit__(self, *error: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):  # closed at the end
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=[client], daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(self.upstream) as server, suppress(OSError):
            threading.Thread(target=self._answers, args=[server, client], daemon=True).start()
            while piece := client.recv(65536):
                with self._turn:
                    if piece.startswith((b"GET ", b"POST ")):
                        self.requests.append(piece)
                        self.times.append(time.monotonic())
                    else:
                        self.requests[-1] += piece
                server.sendall(piece)

    def _answers(self, server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while piece := server.recv(65536):
                with self._turn:
                    is_lost = self.lose > 0 and self.lost_path in self.requests[-1].split(b"\r\n", 1)[0]
                    self.lose -= is_lost
                if is_lost:
                    client.sendall(self.instead)
                    client.shutdown(socket.SHUT_RDWR)
                    return
                client.sendall(piece)
            client.shutdown(socket.SHUT_RDWR)

    def posts(self) -> list[tuple[float, bytes]]:
        with self._turn:
            pairs = zip(self.times, self.requests, strict=True)
            return [(begun, request) for begun, request in pairs if request.startswith(b"POST ")]
