"""One POST to a receiver that nobody vouches for: bounded in time and size, and only where it may go."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import httpcore
import httpx
from django.conf import settings

from predictions.exceptions import ServiceError
from webhooks.addresses import Resolver, Target, checked_target, resolve

USER_AGENT = "IDC-Finder-Webhooks/1"
READ_BYTES = 16 * 1024
TEXT_CHARACTERS = 500


@dataclass(frozen=True)
class Outcome:
    """What became of one attempt. error_code: "" if it arrived, else a key of exceptions.FAILURES.

    text: the beginning of what the receiver said. retry_after: seconds that it asked us to wait.
    """

    error_code: str
    duration_ms: int
    status: int | None = None
    text: str = ""
    retry_after: int = 0


@dataclass(frozen=True)
class _Answer:
    status: int
    text: str
    retry_after: int


def post(url: str, *, headers: Mapping[str, str], body: str, resolver: Resolver = resolve) -> Outcome:
    """Send `body` (JSON) to `url`. Never raises: whatever goes wrong is an outcome. No redirect is followed."""
    started = time.monotonic()
    answer, code = None, ""
    try:
        answer = _exchange(checked_target(url, resolver=resolver), headers, body.encode())
        code = _code_of(answer.status)
    except ServiceError as refusal:
        code = refusal.code
    except httpcore.TimeoutException:
        code = "timeout"
    except httpcore.NetworkError as error:
        # The pool drops the cause, but what httpcore translated is the argument of its own error.
        is_tls = any(isinstance(cause, ssl.SSLError) for cause in error.args)
        code = "tls_failed" if is_tls else "connection_failed"
    except (httpcore.ProtocolError, ValueError):
        code = "not_http"
    duration = round((time.monotonic() - started) * 1000)
    if answer is None:
        return Outcome(code, duration)
    return Outcome(code, duration, answer.status, answer.text, answer.retry_after)


def _exchange(target: Target, headers: Mapping[str, str], body: bytes) -> _Answer:
    deadline = time.monotonic() + settings.WEBHOOK_TIMEOUT_SECONDS
    url = target.url
    sent = {
        "Host": url.netloc.decode("ascii"),
        "User-Agent": USER_AGENT,
        "Content-Type": "application/json",
        "Accept-Encoding": "identity",
        **headers,
    }
    # The receiver's certificate is verified for the name in the URL: the pool takes it from there, the backend
    # alone knows the addresses. A proxy of the environment would connect for us, unchecked: none is asked.
    pool = httpcore.ConnectionPool(
        ssl_context=httpx.create_ssl_context() if url.scheme == "https" else None,
        max_connections=1,
        max_keepalive_connections=0,
        network_backend=_Pinned(target.addresses, deadline),
    )
    where = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=target.port, target=url.raw_path)
    with pool, pool.stream("POST", where, headers=list(sent.items()), content=body) as response:
        wait = {name.lower(): value for name, value in response.headers}.get(b"retry-after", b"")
        return _Answer(response.status, readable(_beginning(response)), int(wait) if wait.isdigit() else 0)


def _beginning(response: httpcore.Response) -> bytes:
    """The first bytes of the body. The status is known by now, so that a body which breaks off changes nothing."""
    read = bytearray()
    try:
        for part in response.iter_stream():
            read += part
            if len(read) >= READ_BYTES:
                break
    except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError):
        pass
    return bytes(read[:READ_BYTES])


def readable(body: bytes) -> str:
    """Its first characters as plain text: nothing that hides, moves or cannot be stored."""
    text = body[: TEXT_CHARACTERS * 4].decode("utf-8", "replace")[:TEXT_CHARACTERS]
    return "".join(character if character.isprintable() or character == "\n" else " " for character in text).strip()


def _code_of(status: int) -> str:
    if 200 <= status < 300:
        return ""
    if 300 <= status < 400:
        return "redirected"
    return "gone" if status == 410 else "http_error"


class _Pinned(httpcore.NetworkBackend):
    """Connects to the addresses that were checked, whatever host it is asked for."""

    def __init__(self, addresses: Iterable[str], deadline: float) -> None:
        self.addresses = tuple(addresses)
        self.deadline = deadline
        self.backend = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        half = settings.WEBHOOK_TIMEOUT_SECONDS / 2  # for all addresses together
        until = time.monotonic() + half
        failure: Exception = httpcore.ConnectTimeout()
        for address in self.addresses:
            left = until - time.monotonic()
            if left <= 0:
                break
            try:
                stream = self.backend.connect_tcp(address, port, left, None, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                return _Timed(stream, self.deadline)
        raise failure


class _Timed(httpcore.NetworkStream):
    """A connection whose every step ends at one deadline: a receiver that sends a byte now and then is cut off."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: float) -> None:
        self.stream = stream
        self.deadline = deadline

    def _left(self) -> float:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout
        return left

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self.stream.read(max_bytes, self._left())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self.stream.write(buffer, self._left())

    def close(self) -> None:
        self.stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _Timed(self.stream.start_tls(ssl_context, server_hostname, self._left()), self.deadline)

    def get_extra_info(self, info: str) -> Any:
        return self.stream.get_extra_info(info)
