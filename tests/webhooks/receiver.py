"""A receiver of webhooks on this machine: real HTTP, and answers as odd as a test wants them."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from typing import Any

CERTIFICATE = Path(__file__).with_name("receiver.pem")


@dataclass
class Received:
    path: str
    headers: dict[str, str]
    body: bytes
    sni: str | None = None


Answer = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Receiver

    def do_POST(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers["content-length"]))
        with self.server.lock:
            self.server.received.append(Received(self.path, headers, body, self.server.sni))
        with suppress(OSError):  # the sender may have hung up, as some tests want it to
            self.server.answer(self)
        self.server.answered += 1
        self.close_connection = True

    def reply(self, status: int, text: str = "", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (named by http.server)
        pass


def says(status: int, text: str = "", **headers: str) -> Answer:
    return lambda handler: handler.reply(status, text, **headers)


def trickles(handler: Handler) -> None:
    """A header that never ends, a byte at a time: each read ends soon, the whole never."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
    while True:
        handler.wfile.write(b"x")
        time.sleep(0.05)


def never_ends(handler: Handler) -> None:
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.server.written += handler.wfile.write(b"x" * 4096)


def garbage(handler: Handler) -> None:
    handler.wfile.write(b"\x00\xff\xfenothing like HTTP\r\n\r\n")


def breaks_off(handler: Handler) -> None:
    handler.connection.close()


@dataclass
class Receiver(ThreadingHTTPServer):
    """Takes every POST and answers as `answer` does."""

    answer: Answer = field(default=says(200, "thanks"))
    received: list[Received] = field(default_factory=list)
    sni: str | None = None  # what the last TLS client asked for
    written: int = 0
    answered: int = 0  # how many answers are over, broken off ones included

    def __post_init__(self) -> None:
        self.lock = Lock()
        ThreadingHTTPServer.__init__(self, ("127.0.0.1", 0), Handler)
        self.daemon_threads = True
        self.scheme = "http"

    def speak_tls(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(CERTIFICATE)

        def note(connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
            self.sni = name

        context.sni_callback = note
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.scheme = "https"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that refuses the certificate is what a test is about."""

    def url(self, host: str = "127.0.0.1") -> str:
        return f"{self.scheme}://{host}:{self.server_port}/hook?a=1"


@contextmanager
def running(receiver: Receiver) -> Iterator[Receiver]:
    thread = Thread(target=receiver.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.shutdown()
        receiver.server_close()
        thread.join()
