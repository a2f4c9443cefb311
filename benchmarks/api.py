"""The API of a running site: a thousand patches in bulk, one patch at a time, twenty clients at once."""

from __future__ import annotations

import http.client
import io
import json
import os
import threading
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.pool import ThreadPool
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import uuid4

import numpy as np

from benchmarks.patches import KIND, patches
from benchmarks.running_site import flask_page, running_site

if TYPE_CHECKING:
    from tests.processes import Processes

BULK = 1000
A_REQUEST = 100
A_ZIP = 250
CONNECTIONS = 5
TIMES = 5  # each in turn with others: neighbours of a virtual machine are felt for seconds
SINGLE = 200
CLIENTS = 20
A_CLIENT = 40
REST = 3.0  # seconds before measuring: the site is idle
BOUNDARY = "a-line-that-no-patch-holds"


@dataclass
class Caller:
    """A program with a connection and a token of its own."""

    address: str
    token: str

    def __post_init__(self) -> None:
        parts = urlsplit(self.address)
        self.connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=60)

    def get(self, path: str) -> Any:
        return self._ask("GET", path)

    def send(self, files: list[bytes], *, field: str = "image", wait: int = 30) -> Any:
        """The answer to an upload with `Prefer: wait`."""
        headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}", "Prefer": f"wait={wait}"}
        return self._ask("POST", "/api/v1/predictions/", body=_form(files, field), headers=headers)

    def ask_flask(self, content: bytes) -> None:
        headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
        self._ask("POST", "/predict", body=_form([content]), headers=headers)

    def _ask(self, method: str, path: str, *, body: bytes | None = None, headers: dict[str, str] | None = None) -> Any:
        sent = {"Authorization": f"Bearer {self.token}"} | (headers or {})
        self.connection.request(method, path, body=body, headers=sent)
        response = self.connection.getresponse()
        content = response.read()
        if response.status not in (200, 202):
            raise RuntimeError(f"{method} {path}: {response.status} {content[:300]!r}")
        return json.loads(content)


def _form(files: list[bytes], field: str = "image") -> bytes:
    head = '--{}\r\nContent-Disposition: form-data; name="{}"; filename="{}"\r\n\r\n'
    parts = [head.format(BOUNDARY, field, place).encode() + content + b"\r\n" for place, content in enumerate(files)]
    return b"".join([*parts, f"--{BOUNDARY}--\r\n".encode()])


def rows() -> list[tuple[str, str]]:
    """(what, figure) for the table."""
    everything = patches(BULK + SINGLE + CLIENTS * A_CLIENT + 100)
    files, contents = everything[:BULK], everything[BULK + SINGLE : -100]
    bare, bulk, zipped = [_bare_rate(files)], [], []
    crowds = []
    os.environ |= {"PATCHES_PER_DAY": "1000000"}
    with running_site() as processes:
        processes.start_worker(LEASE_SECONDS="30")
        address = processes.start_web(WEB_CONCURRENCY="2")
        callers = _callers(processes, address)
        for caller, content in zip(callers, everything[-100:], strict=False):
            caller.send([content])  # connections are made, code is loaded
        _rest(callers)
        single = [_timed(callers[0], content) for content in everything[BULK : BULK + SINGLE]]
        for _ in range(TIMES):
            # Accounts that have sent nothing yet: what is known is answered without the engine.
            callers = _callers(processes, address)
            _rest(callers)
            crowds.append(_crowd(callers, contents, _timed))
            _rest(callers)
            bulk.append(_bulk(callers[:CONNECTIONS], files))
            _rest(callers)
            zipped.append(_bulk(callers[CONNECTIONS : CONNECTIONS + 2], files, is_zip=True))
            _rest(callers)
            bare.append(_bare_rate(files))
    with flask_page() as address:
        callers = [Caller(address, "") for _number in range(CLIENTS)]
        _crowd(callers, contents[:CLIENTS], _timed_by_flask)
        flask, flask_seconds = _crowd(callers, contents, _timed_by_flask)
    crowd = [one for times, _ in crowds for one in times]
    rates = [len(times) / seconds for times, seconds in crowds]
    return [
        (f"the bare engine, which measures what is bulk ({TIMES + 1} times)", f"{_range(bare)}/s"),
        *(
            (
                f"{BULK:,} {KIND} patches {how}, first byte to last result ({TIMES} times); share of the bare engine's",
                f"{_range([BULK / one for one in seconds])}/s; {100 * BULK / median(seconds) / median(bare):.0f} %",
            )
            for how, seconds in ((f"in requests of {A_REQUEST}", bulk), (f"in zips of {A_ZIP}", zipped))
        ),
        ("one patch with Prefer: wait, idle: p50, p95", _spread(single)),
        (f"{CLIENTS} clients at once, one patch a request ({TIMES} times): p50, p95", _spread(crowd)),
        (f"{CLIENTS} clients at once: patches per second, errors", f"{_range(rates)}/s, 0"),
        ("the same with a Flask page that calls keras.Model.predict: p50, p95", _spread(flask)),
        ("the same with that page: patches per second", f"{len(flask) / flask_seconds:,.0f}/s"),
    ]


def _range(values: list[float]) -> str:
    """The median, and how far the values reach."""
    return f"{median(values):,.0f} ({min(values):,.0f} to {max(values):,.0f})"


def _bare_rate(files: list[bytes]) -> float:
    """Patches a second of the bare engine in stacks of 64, without a site beside it."""
    from ml.card import MODELS, default_version, read_card
    from ml.engine import load_engine
    from ml.images import decode_patch

    folder = MODELS / default_version()
    engine = load_engine(folder, read_card(folder))
    pixels = np.stack([decode_patch(content).pixels for content in files])
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        for start in range(0, len(pixels), 64):
            engine.predict(pixels[start : start + 64])
        seconds.append(time.perf_counter() - started)
    return len(pixels) / median(seconds)


def _callers(processes: Processes, address: str) -> list[Caller]:
    import django

    django.setup()
    from accounts.models import Scope, User
    from accounts.tokens import create_token

    made = []
    for _number in range(CLIENTS):
        user = User.objects.create_user(f"{uuid4()}@example.org")
        made.append(Caller(address, create_token(user=user, name="bench", scopes=list(Scope))[1]))
    return made


def _rest(callers: list[Caller]) -> None:
    """Let the site come to rest; connections that it closes meanwhile are made anew."""
    time.sleep(REST)
    for caller in callers:
        caller.connection.close()


def _timed(caller: Caller, content: bytes) -> float:
    started = time.perf_counter()
    answer = caller.send([content])
    _finish(caller, answer)
    return time.perf_counter() - started


def _timed_by_flask(caller: Caller, content: bytes) -> float:
    started = time.perf_counter()
    caller.ask_flask(content)
    return time.perf_counter() - started


def _finish(caller: Caller, answer: Any) -> None:
    """Ask until every prediction of the answer is there: past its bound the site does not wait."""
    for prediction in answer["predictions"]:
        while prediction["status"] not in ("succeeded", "failed"):
            time.sleep(0.02)
            prediction = caller.get(f"/api/v1/predictions/{prediction['id']}/")
        if prediction["status"] == "failed":
            raise RuntimeError(prediction)


def _crowd(
    callers: list[Caller], contents: list[bytes], timed: Callable[[Caller, bytes], float]
) -> tuple[list[float], float]:
    """Seconds of each request of all callers at once, and of the whole."""
    start = threading.Barrier(len(callers) + 1)

    def work(number: int) -> list[float]:
        start.wait()
        return [timed(callers[number], content) for content in contents[number :: len(callers)]]

    with ThreadPool(len(callers)) as pool:
        pending = pool.map_async(work, range(len(callers)), chunksize=1)
        start.wait()
        started = time.perf_counter()
        times = pending.get()
        return [one for some in times for one in some], time.perf_counter() - started


def _bulk(callers: list[Caller], contents: list[bytes], *, is_zip: bool = False) -> float:
    """Seconds from the first byte to the last result: requests of A_REQUEST patches over a few connections."""
    most = A_ZIP if is_zip else A_REQUEST
    chunks = [contents[start : start + most] for start in range(0, len(contents), most)]
    if is_zip:
        chunks = [[_archive(chunk)] for chunk in chunks]

    def work(number: int) -> None:
        for chunk in chunks[number :: len(callers)]:
            answer = callers[number].send(chunk, field="zip" if is_zip else "image")
            while any(one["status"] not in ("succeeded", "failed") for one in answer["predictions"]):
                time.sleep(0.02)
                progress = callers[number].get(f"/api/v1/batches/{answer['batch']}/")
                if progress["is_finished"]:
                    break

    started = time.perf_counter()
    with ThreadPool(len(callers)) as pool:
        pool.map(work, range(len(callers)), chunksize=1)
    return time.perf_counter() - started


def _archive(contents: list[bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for place, content in enumerate(contents):
            archive.writestr(f"{place}.png", content)
    return stream.getvalue()


def _spread(seconds: list[float]) -> str:
    cuts = quantiles(seconds, n=20)
    return f"{1000 * median(seconds):.0f} ms, {1000 * cuts[18]:.0f} ms"


def main() -> None:
    """Print the table by itself: `make bench-api`."""
    for what, figure in rows():
        print(f"| {what} | {figure} |")


if __name__ == "__main__":
    main()
