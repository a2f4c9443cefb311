"""One run: every image is sent once, in chunks over several connections, and the answers are read together.

All images become one batch on the server, under names that are unique in the run (`images.sent_names`). The batch's
table has one line per sent file with its name, so that name alone says which image a line is about, whichever order
the chunks arrived in and whichever files were rejected.
"""

from __future__ import annotations

import csv
import hashlib
import io
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from idc_finder_client.errors import NotAllowed, NotFound, ServerFailed, WrongUse
from idc_finder_client.images import Image, Unreadable, sent_names
from idc_finder_client.journal import Journal, Limits, Refusal
from idc_finder_client.results import Result, Results
from idc_finder_client.transport import Transport

PART_BYTES = 1024  # what a file costs in a request beside its content, at most
LOOK_EVERY = 1.0  # seconds between two looks at the progress while images are sent
FIRST_LOOK, LONGEST_LOOK = 0.2, 2.0  # seconds between two looks after that
PATIENCE = 600.0  # seconds without any new answer until a run gives up


@dataclass(frozen=True)
class Progress:
    """sent: images the server has taken or refused. answered: those of them that are done."""

    total: int
    sent: int
    answered: int


@dataclass(frozen=True)
class Chunk:
    """Images of one request. first: the place of the first of them in the run."""

    number: int
    first: int
    images: Sequence[Image]


class Run:
    def __init__(
        self,
        transport: Transport,
        journal: Journal,
        images: Sequence[Image],
        *,
        options: dict[str, str],
        concurrency: int,
        report: Callable[[Progress], None],
        patience: float = PATIENCE,
    ) -> None:
        self.transport = transport
        self.journal = journal
        self.images = images
        self.options = options
        self.concurrency = concurrency
        self.report = report
        self.patience = patience
        self.names = sent_names([image.path for image in images])
        self.chunks = list(chunks_of(images, journal.limits))
        self.answered = 0

    def results(self) -> Results:
        """Send what is not sent yet, wait for all answers and read them. Raises IdcError."""
        try:
            self._send_all()
            rows = self._answers()
        except (WrongUse, NotAllowed):
            self.journal.forget()
            raise
        except NotFound as error:
            if not self.journal.batch:
                raise
            raise WrongUse(
                f"{self.transport.server} knows no batch {self.journal.batch} of yours: this run cannot go on."
            ) from error
        where = f"{self.transport.server}/batches/{self.journal.batch}/" if self.journal.batch else ""
        return Results((self._result(position, rows) for position in range(len(self.images))), batch_url=where)

    def progress(self) -> Progress:
        sent = sum(len(chunk.images) for chunk in self.chunks if chunk.number in self.journal.chunks)
        return Progress(len(self.images), sent, min(self.answered, sent))

    # --- sending -----------------------------------------------------------------------------------------

    def _send_all(self) -> None:
        waiting = [chunk for chunk in self.chunks if chunk.number not in self.journal.chunks]
        running: set[Future[None]] = set()
        looked = time.monotonic()
        if self.journal.chunks:
            self._look(tries=1)
        self.report(self.progress())
        with ThreadPoolExecutor(self.concurrency) as pool:
            try:
                while waiting or running:
                    # Until a chunk has made the batch, the others cannot name it.
                    while waiting and len(running) < (self.concurrency if self.journal.batch else 1):
                        running.add(pool.submit(self._send, waiting.pop(0)))
                    done, running = wait(running, timeout=LOOK_EVERY, return_when=FIRST_COMPLETED)
                    for future in done:
                        future.result()
                    if time.monotonic() - looked > LOOK_EVERY:
                        self._look(tries=1)
                        looked = time.monotonic()
                    self.report(self.progress())
            except BaseException:
                # What is under way ends, and is noted in the journal, before the error goes on.
                self.transport.stop.set()
                raise

    def _send(self, chunk: Chunk) -> None:
        files: list[tuple[str, bytes]] = []
        refused: list[Refusal] = []
        places: dict[str, int] = {}
        for position, image in enumerate(chunk.images, start=chunk.first):
            content = self._content(image, position, refused)
            if content is not None:
                files.append((self.names[position], content))
                places[self.names[position]] = position
        if not files:
            self.journal.note(chunk.number, batch=None, refused=refused)
            return
        batch, rejected = self.transport.post_images(files, fields=self._fields(), key=self._key(chunk, files))
        try:
            batch = str(UUID(batch)) if batch else None
            refused += [Refusal(places.pop(one["name"]), str(one["code"]), str(one["message"])) for one in rejected]
        except (KeyError, TypeError, ValueError) as error:
            raise ServerFailed(f"{self.transport.server} answers about files that were not sent.") from error
        self.journal.note(chunk.number, batch=batch, refused=refused)

    def _content(self, image: Image, position: int, refused: list[Refusal]) -> bytes | None:
        """None, and a refusal more, for what the server need not see."""
        most = self.journal.limits.image_bytes
        try:
            content = image.read(most + 1)
        except Unreadable as error:
            refused.append(Refusal(position, "unreadable", str(error)))
            return None
        if len(content) > most:
            refused.append(Refusal(position, "too_large", f"The image is larger than {most // 1024**2} MB."))
            return None
        return content

    def _fields(self) -> dict[str, str]:
        return self.options | ({"batch": self.journal.batch} if self.journal.batch else {})

    def _key(self, chunk: Chunk, files: list[tuple[str, bytes]]) -> str:
        """The same for the same chunk of the same run."""
        digest = hashlib.sha256(f"{self.journal.run} {chunk.number}".encode())
        for name, content in files:
            digest.update(f" {name} {len(content)} ".encode())
            digest.update(content)
        return digest.hexdigest()

    # --- reading -----------------------------------------------------------------------------------------

    def _answers(self) -> dict[str, dict[str, str]]:
        """The batch's table by name, once it is complete."""
        if not self.journal.batch:
            self.answered = len(self.images)
            self.report(self.progress())
            return {}
        pause, deadline, answered = FIRST_LOOK, time.monotonic() + self.patience, self.answered
        while True:
            if self._look():
                rows = self._table()
                if all(row["status"] not in ("queued", "running") for row in rows.values()):
                    self.answered = len(self.images)
                    self.report(self.progress())
                    return rows
            self.report(self.progress())
            if self.answered > answered:
                answered, deadline = self.answered, time.monotonic() + self.patience
            if time.monotonic() > deadline:
                raise ServerFailed(
                    f"{self.transport.server} has taken all images but given no new answer for "
                    f"{self.patience:.0f} seconds: {self.answered} of {len(self.images)} are answered."
                )
            time.sleep(pause)
            pause = min(LONGEST_LOOK, pause * 1.5)

    def _look(self, *, tries: int | None = None) -> bool:
        """Whether the server has finished what it has. With one try, a look that fails is left out."""
        if not self.journal.batch:
            self.answered = len(self.journal.refused)
            return False
        try:
            state = self.transport.get_json(f"batches/{self.journal.batch}/", tries=tries)
            waiting, is_finished = int(state["waiting"]), bool(state["is_finished"])
        except NotFound:
            raise
        except ServerFailed:
            if tries != 1:
                raise
            return False
        except (KeyError, TypeError, ValueError) as error:
            raise ServerFailed(f"{self.transport.server} answers in a form that this program does not know.") from error
        self.answered = max(self.answered, self.progress().sent - waiting)
        return is_finished

    def _table(self) -> dict[str, dict[str, str]]:
        text = self.transport.get(f"batches/{self.journal.batch}/predictions.csv").text
        rows: dict[str, dict[str, str]] = {}
        for row in csv.DictReader(io.StringIO(text, newline="")):
            rows[row["name"]] = row
        return rows

    def _result(self, position: int, rows: dict[str, dict[str, str]]) -> Result:
        path, refusal, row = (
            self.images[position].path,
            self.journal.refused.get(position),
            rows.get(self.names[position]),
        )
        if refusal:
            return Result(path, "rejected", error=refusal.code, message=refusal.message)
        if row is None:
            raise ServerFailed(f"{self.transport.server} has no line about {path}.")
        return _result_of(path, row, self.transport.server)


def chunks_of(images: Sequence[Image], limits: Limits) -> Iterator[Chunk]:
    """Cut in the order given, so that each fits into a request. The same images are always cut alike."""
    first, size, number = 0, 0, 0
    for position, image in enumerate(images):
        cost = min(image.size, limits.image_bytes) + PART_BYTES
        if position > first and (position - first == limits.images or size + cost > limits.request_bytes - PART_BYTES):
            yield Chunk(number, first, images[first:position])
            first, size, number = position, 0, number + 1
        size += cost
    if first < len(images):
        yield Chunk(number, first, images[first:])


def _result_of(path: str, row: dict[str, Any], server: str) -> Result:
    status, known = row["status"], row["id"]
    words = {
        "failed": f"The server could not answer. It can be asked again on {server}/predictions/{known}/",
        "deleted": "It was deleted on the server before its answer was read.",
    }
    try:
        return Result(
            path,
            status,
            probability=float(row["probability"]) if row["probability"] else None,
            label=row["label"],
            threshold=float(row["threshold"]) if row["threshold"] else None,
            model=row["model"],
            flags=tuple(row["flags"].split()),
            id=known,
            error=row["error"] or ("deleted" if status == "deleted" else ""),
            message=words.get(status, ""),
        )
    except (ValueError, AttributeError) as error:
        raise ServerFailed(f"{server} answers in a form that this program does not know.") from error
