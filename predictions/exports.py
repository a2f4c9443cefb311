"""Tables for people and programs: CSV that no spreadsheet runs as a formula, and JSON, streamed.

A file is read from the database in pieces of ROWS_READ, each a query of its own by the key that comes after the last:
no cursor and no transaction is held, so it works through pooled connections too, and what was hidden while it ran is
in no later piece.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, TextIO
from uuid import UUID

from django.conf import settings
from django.db.models import OuterRef, Subquery
from django.http import HttpRequest, HttpResponseBase, StreamingHttpResponse

from predictions.exceptions import ExportTooLarge
from predictions.models import BatchItem
from predictions.models.patch import PatchQuerySet
from predictions.sending import Places, Sent
from predictions.sorting import NEWEST

ROWS_READ = 1000  # at once
ROWS_AT_MOST = 100_000  # of a file: it is told whole or not at all

# What a spreadsheet would run; the wide forms too, which some take for the narrow ones.
FORMULA = "=+@＝＋－＠-"
# Where a cell begins: with the text, and within it for a program that separates by semicolons or tabs. Such a one takes
# only the first quotes of a row for quotes, so that a line that ends in a later cell ends the row.
FORMULA_BEGINS = re.compile(rf'(^|[;\t\r\n])(?=[\s"]*[{FORMULA}])|^(?=[\t\r\n])')

Row = Sequence[Any]
Writer = Callable[[Iterable[Iterable[Row]], Sequence[str]], Iterator[bytes]]


class Column(NamedTuple):
    """A column of an exported patch: its name, the field it is read from, and what is made of that."""

    name: str
    field: str
    shown: Callable[[Any], Any] = lambda value: value


def _time(value: datetime | None) -> str | None:
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z") if value else None


ANSWER = "current_prediction__"
PUBLIC = (
    Column("id", f"{ANSWER}uuid", str),
    Column("status", f"{ANSWER}status"),
    Column("probability", f"{ANSWER}probability"),
    Column("label", "is_positive", {True: "positive", False: "negative", None: None}.__getitem__),
    Column("threshold", f"{ANSWER}threshold"),
    Column("model", f"{ANSWER}model_version__version"),
    Column("flags", f"{ANSWER}flags", lambda flags: flags or []),
    Column("reviewers_say", "reviewers_say"),
    Column("created_at", "created_at", _time),
    Column("finished_at", f"{ANSWER}finished_at", _time),
)
OWNERS = (
    Column("name", "original_name"),
    *PUBLIC,
    Column("visibility", "visibility"),
    Column("batch", "batch_uuid", lambda batch: str(batch) if batch else None),
    Column("error", f"{ANSWER}error_code"),
)


def csv_response(request: HttpRequest, patches: PatchQuerySet, *, name: str, is_owners: bool) -> HttpResponseBase:
    """`patches` with their current answers, newest first. is_owners: they are all the reader's own.

    Raises:
        ExportTooLarge: they are more than ROWS_AT_MOST.
        TooManyExports: this process has no place left for the reader.
    """
    return _patches_response(request, patches, name=f"{name}.csv", is_owners=is_owners, write=as_csv)


def json_response(request: HttpRequest, patches: PatchQuerySet, *, name: str, is_owners: bool) -> HttpResponseBase:
    """As `csv_response`: a list of objects with the same names."""
    return _patches_response(request, patches, name=f"{name}.json", is_owners=is_owners, write=as_json)


def csv_table(
    request: HttpRequest, columns: Sequence[str], pieces: Iterable[Iterable[Row]], name: str
) -> HttpResponseBase:
    """A CSV of any rows, in the pieces in which they are read.

    Raises:
        TooManyExports: this process has no place left for the reader.
    """
    return _stream(request, as_csv(pieces, columns), f"{name}.csv")


def write_rows(stream: TextIO, rows: Iterable[Row]) -> None:
    """All CSV of the site: each cell disarmed, and in quotes, so that none is taken for two."""
    csv.writer(stream, quoting=csv.QUOTE_ALL).writerows(map(disarmed, row) for row in rows)


def disarmed(value: Any) -> Any:
    """The cell as a spreadsheet shows and does not run it, by whatever sign it separates; a list as its words."""
    if isinstance(value, list):
        value = " ".join(value)
    return FORMULA_BEGINS.sub(r"\g<1>'", value) if isinstance(value, str) else value


def as_csv(pieces: Iterable[Iterable[Row]], columns: Sequence[str]) -> Iterator[bytes]:
    stream = io.StringIO()
    write_rows(stream, [columns])
    for rows in pieces:
        write_rows(stream, rows)
        yield stream.getvalue().encode()
        stream.seek(0)
        stream.truncate()
    yield stream.getvalue().encode()  # the names, where there was no row at all


def as_json(pieces: Iterable[Iterable[Row]], columns: Sequence[str]) -> Iterator[bytes]:
    """A list of objects. One that was cut off on its way is no JSON, and so cannot be taken for whole."""
    yield b"["
    lead = "\n"
    for rows in pieces:
        objects = [json.dumps(dict(zip(columns, row, strict=True)), ensure_ascii=False) for row in rows]
        yield (lead + ",\n".join(objects)).encode()
        lead = ",\n"
    yield b"\n]\n"


def rows_of(patches: PatchQuerySet, columns: Sequence[Column]) -> Iterator[list[Row]]:
    """The patches in pieces, newest first, however many there are."""
    fields = [column.field for column in columns]
    if "batch_uuid" in fields:
        patches = patches.annotate(batch_uuid=latest_batch())
    following = patches = NEWEST.applied(patches)
    while True:
        found = list(following.values_list(*fields, NEWEST.key, "pk")[:ROWS_READ])
        if found:
            yield [[column.shown(value) for column, value in zip(columns, row, strict=False)] for row in found]
        if len(found) < ROWS_READ:
            return
        following = NEWEST.beyond(patches, found[-1][-2:])


def latest_batch() -> Subquery:
    """The uuid of the batch that a patch came with last."""
    items = BatchItem.objects.filter(patch=OuterRef("pk")).order_by("-batch")
    return Subquery(items.values("batch__uuid")[:1])


def _patches_response(
    request: HttpRequest, patches: PatchQuerySet, *, name: str, is_owners: bool, write: Writer
) -> HttpResponseBase:
    if NEWEST.applied(patches).values("pk")[ROWS_AT_MOST : ROWS_AT_MOST + 1].exists():
        raise ExportTooLarge
    columns = OWNERS if is_owners else PUBLIC
    return _stream(request, write(rows_of(patches, columns), [column.name for column in columns]), name)


# The other threads of the process stay free for everyone else, and strangers take no place of somebody signed in.
ANONYMOUS = Places(most=2, each=1)
SIGNED_IN = Places(most=3, each=2)


def _stream(request: HttpRequest, pieces: Iterator[bytes], name: str) -> HttpResponseBase:
    kind = "application/json" if name.endswith(".json") else "text/csv; charset=utf-8"
    places = SIGNED_IN if request.user.is_authenticated else ANONYMOUS
    sent = Sent(request, pieces, places=places, seconds=settings.EXPORT_SECONDS)
    response = StreamingHttpResponse(sent, content_type=kind)
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["Cache-Control"] = "private, no-store"
    return response


def selected(patches: PatchQuerySet, ids: Iterable[str]) -> PatchQuerySet:
    """Those of `patches` whose current predictions have these ids; what is no id is none of them."""
    wanted = []
    for one in ids:
        try:
            wanted.append(UUID(one))
        except ValueError:
            continue
    return patches.filter(current_prediction__uuid__in=wanted)
