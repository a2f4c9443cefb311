"""Requests to one server, tried again while there is hope."""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

import httpx

from idc_finder_client.credentials import Credentials
from idc_finder_client.errors import IdcError, Interrupted, NotAllowed, NotFound, QuotaExceeded, ServerFailed, WrongUse

TRIES = 8
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0  # seconds; doubled from try to try
LONGEST_WISH = 300.0  # a server that asks for more patience than this is not waited for
TIMEOUT = httpx.Timeout(60, connect=10)
PASSING = {408, 425, 429, 500, 502, 503, 504}
UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f]")
USER_AGENT = "idc-finder-client/0.1.0"


class Transport:
    """Threads may share one. `stop` ends every wait with Interrupted."""

    def __init__(self, credentials: Credentials, *, tries: int = TRIES) -> None:
        self.server = credentials.server
        self.tries = tries
        self.stop = threading.Event()
        self._http = httpx.Client(
            base_url=f"{credentials.server}/api/v1/",
            headers={"Authorization": f"Bearer {credentials.token}", "User-Agent": USER_AGENT},
            timeout=TIMEOUT,
        )

    def close(self) -> None:
        self._http.close()

    def get(self, path: str, *, tries: int | None = None) -> httpx.Response:
        """The 200 of `path`. Raises IdcError."""
        response = self._answer("GET", path, tries=tries)
        if response.status_code != HTTPStatus.OK:
            raise self._failure(response)
        return response

    def get_json(self, path: str, *, tries: int | None = None) -> dict[str, Any]:
        return self.json_of(self.get(path, tries=tries))

    def post_images(
        self, files: Sequence[tuple[str, bytes]], *, fields: dict[str, str], key: str
    ) -> tuple[str | None, list[dict[str, Any]]]:
        """Send images as one request that may be repeated under the same key.

        Returns the batch (None if no file was taken) and the rejected files. Raises IdcError.
        """
        response = self._answer(
            "POST",
            "predictions/",
            data=fields,
            files=[("image", (name, content, "application/octet-stream")) for name, content in files],
            # The boundary is chosen here so that a repetition is the same to the last byte.
            headers={"Idempotency-Key": key, "Content-Type": f"multipart/form-data; boundary={key}"},
        )
        taken = response.status_code in (HTTPStatus.OK, HTTPStatus.ACCEPTED)
        if not taken and response.status_code not in (400, 413, 415):
            raise self._failure(response)
        body = self.json_of(response) if taken else _json_or_nothing(response)
        if not taken and not body.get("rejected"):
            raise self._failure(response)
        try:
            return (str(body["batch"]) if taken else None, list(body["rejected"]))
        except (KeyError, TypeError) as error:
            raise ServerFailed(f"{self.server} answers in a form that this program does not know.") from error

    def json_of(self, response: httpx.Response) -> dict[str, Any]:
        body = _json_or_nothing(response)
        if not body:
            raise ServerFailed(f"{self.server} answers with something else than JSON. Is it an IDC Finder?")
        return body

    def _answer(self, method: str, path: str, *, tries: int | None = None, **content: Any) -> httpx.Response:
        """The first answer that another try would not better."""
        most = tries or self.tries
        for number in range(1, most + 1):
            if self.stop.is_set():
                raise Interrupted("Interrupted.")
            pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (number - 1)) * random.uniform(0.5, 1)  # noqa: S311  # no secret
            try:
                response = self._http.request(method, path, **content)
            except httpx.RequestError as error:
                trouble = _trouble(error)
            else:
                wish = _retry_after(response)
                if not _is_passing(response, wish):
                    return response
                trouble = str(self._failure(response)).removeprefix(f"{self.server} ").rstrip(".")
                pause = max(pause, wish or 0)
                if pause > LONGEST_WISH:
                    raise ServerFailed(f"{self.server} {trouble}. It asks to wait for {pause / 60:.0f} min.")
            if number == most:
                break
            if self.stop.wait(pause):
                raise Interrupted("Interrupted.")
        raise ServerFailed(f"{self.server} {trouble} ({most} {'try' if most == 1 else 'tries'}).")

    def _failure(self, response: httpx.Response) -> IdcError:
        """The error that an answer stands for."""
        error = _json_or_nothing(response).get("error")
        error = error if isinstance(error, dict) else {}
        code, field = error.get("code"), error.get("field")
        words = UNPRINTABLE.sub(" ", str(error.get("message", "")))[:500]
        said = f": {field}: {words}" if field else f": {words}" if words else ""
        status = response.status_code
        if code == "quota_exceeded":
            return QuotaExceeded(words)
        if status in (401, 403):
            return NotAllowed(f"{self.server} does not allow this{said}")
        if response.is_redirect:
            there = UNPRINTABLE.sub("", response.headers.get("Location", ""))[:200]
            return ServerFailed(f"{self.server} sends elsewhere, to {there}. Give that server's address.")
        if status == HTTPStatus.NOT_FOUND:
            return NotFound(f"{self.server} does not know the address {response.url.path}{said}")
        if status == HTTPStatus.BAD_REQUEST:
            return WrongUse(f"{self.server} does not understand this{said}")
        return ServerFailed(f"{self.server} answers {status}{said}")


def _trouble(error: httpx.RequestError) -> str:
    if isinstance(error, httpx.TimeoutException):
        return "did not answer in time"
    if isinstance(error, httpx.ConnectError):  # its text names the certificate or the network, and no header
        return f"cannot be reached: {UNPRINTABLE.sub(' ', str(error))}"
    return "broke off the connection"


def _is_passing(response: httpx.Response, wish: float | None) -> bool:
    """Whether the same request may be answered otherwise soon."""
    if response.status_code == HTTPStatus.CONFLICT:  # the first try of this key is still under way
        return wish is not None
    if response.status_code == HTTPStatus.TOO_MANY_REQUESTS:
        error = _json_or_nothing(response).get("error")
        return not (isinstance(error, dict) and error.get("code") == "quota_exceeded")
    return response.status_code in PASSING


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds; the header may hold them or a date."""
    value = response.headers.get("Retry-After", "")
    if value.isascii() and value.isdecimal():
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None


def _json_or_nothing(response: httpx.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
