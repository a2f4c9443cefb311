"""What became of each image, and the table of it."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from idc_finder_client.errors import WrongUse

COLUMNS = ("path", "status", "probability", "label", "threshold", "model", "flags", "id", "error", "message")
# Before what a spreadsheet would run: where a cell begins for one that separates by commas, semicolons or tabs.
FORMULA_BEGINS = re.compile(r'(^|[;\t\r\n])(?=[\s"]*[=+@＝＋－＠-])|^(?=[\t\r\n])')


@dataclass(frozen=True)
class Result:
    """One image. status: succeeded, failed, rejected, or deleted on the server in the meantime."""

    path: str
    status: str
    probability: float | None = None
    label: str = ""
    threshold: float | None = None
    model: str = ""
    flags: tuple[str, ...] = ()
    id: str = ""
    error: str = ""
    message: str = ""


class Results(list[Result]):
    """In the order of the input."""

    def __init__(self, results: Iterable[Result], *, batch_url: str = "") -> None:
        super().__init__(results)
        self.batch_url = batch_url

    @property
    def are_all_answered(self) -> bool:
        return all(result.status == "succeeded" for result in self)

    def write_csv(self, path: str | Path) -> None:
        """The whole table at once: it is never seen half written.

        Raises:
            WrongUse: the file cannot be written.
        """
        path = Path(path)
        temporary = path.with_name(f"{path.name}.part")
        try:
            # Names of files that are no Unicode keep their bytes.
            with temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
                writer = csv.writer(file, quoting=csv.QUOTE_ALL)
                writer.writerow(COLUMNS)
                writer.writerows(map(_row, self))
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except OSError as error:
            raise WrongUse(f"{path} cannot be written: {error.strerror}.") from error


def _row(result: Result) -> tuple[object, ...]:
    return (
        _disarmed(result.path),
        result.status,
        result.probability,
        result.label,
        result.threshold,
        result.model,
        " ".join(result.flags),
        result.id,
        result.error,
        _disarmed(result.message),
    )


def _disarmed(text: str) -> str:
    return FORMULA_BEGINS.sub(r"\g<1>'", text)
