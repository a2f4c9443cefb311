"""What the server has taken of a run, one JSON line a chunk, so that an interrupted run goes on where it was."""

from __future__ import annotations

import json
import os
import threading
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from idc_finder_client.errors import WrongUse

VERSION = 1
START = b'{"idc_journal": '


@dataclass(frozen=True)
class Plan:
    """What must be the same for a run to be gone on with."""

    server: str
    input: str
    options: dict[str, str]


@dataclass(frozen=True)
class Limits:
    """How the images are cut into chunks. Kept with the run: a chunk sent again must be the same chunk."""

    images: int
    request_bytes: int
    image_bytes: int


@dataclass(frozen=True)
class Refusal:
    """An image that was not taken."""

    position: int
    code: str
    message: str


class Journal:
    """In memory, and in a file if one is named. Several threads may note what was taken."""

    def __init__(self, path: Path | None, plan: Plan, limits: Limits) -> None:
        """Begins a run, or reads the one that `path` tells of.

        Raises:
            WrongUse: it tells of another run, or cannot be written.
        """
        self.path = path
        self.run = uuid.uuid4().hex
        self.limits = limits
        self.batch: str | None = None
        self.chunks: set[int] = set()
        self.refused: dict[int, Refusal] = {}
        self._turn = threading.Lock()
        self._is_begun_here = not path or not self._read(path, plan)
        if self._is_begun_here:
            head = {"idc_journal": VERSION, "run": self.run, "plan": asdict(plan), "limits": asdict(limits)}
            self._append(head)

    def note(self, chunk: int, *, batch: str | None, refused: list[Refusal]) -> None:
        """The server has answered for this chunk. On the disk when this returns."""
        with self._turn:
            self._append({"chunk": chunk, "batch": batch, "refused": [asdict(one) for one in refused]})
            self._take(chunk, batch, refused)

    def forget(self) -> None:
        """Of a run that was refused as it is: nothing was taken, and its file would stand in the way of another."""
        if self.path and self._is_begun_here and not self.chunks:
            self.path.unlink(missing_ok=True)

    def _take(self, chunk: int, batch: str | None, refused: list[Refusal]) -> None:
        self.chunks.add(chunk)
        self.batch = batch or self.batch
        self.refused |= {one.position: one for one in refused}

    def _append(self, line: dict[str, Any]) -> None:
        if not self.path:
            return
        try:
            with self.path.open("ab") as file:
                file.write(json.dumps(line).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise WrongUse(f"{self.path} cannot be written: {error.strerror}.") from error

    def _read(self, path: Path, plan: Plan) -> bool:
        """False if there is nothing to read yet."""
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise WrongUse(f"{path} cannot be read: {error.strerror}.") from error
        whole = content[: content.rfind(b"\n") + 1]
        if whole != content and content.startswith(START):
            os.truncate(path, len(whole))  # a line that was cut off while it was written tells of nothing
            content = whole
        if not content:
            return False
        try:
            head, *lines = map(json.loads, content.splitlines())
            if head["idc_journal"] != VERSION:
                raise ValueError
            self.run, kept, self.limits = head["run"], Plan(**head["plan"]), Limits(**head["limits"])
            for line in lines:
                self._take(line["chunk"], line["batch"], [Refusal(**one) for one in line["refused"]])
        except (ValueError, KeyError, TypeError) as error:
            raise WrongUse(f"{path} is no journal of `idc predict`. Choose another --csv, or remove it.") from error
        if kept != plan:
            other = next(name for name in ("server", "input", "options") if getattr(kept, name) != getattr(plan, name))
            words = {"server": "another server", "input": "other images", "options": "other options"}
            raise WrongUse(
                f"{path} is the journal of an unfinished run with {words[other]}. Give the same command as then "
                "to go on with it, choose another --csv, or remove the journal to forget that run."
            )
        return True
