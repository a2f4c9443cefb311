"""An archive of everything of one user's: asked for on a page, written by the chores process, kept for three days.

The row is the job. Whoever writes it stores each piece together with a longer lease, and only while the attempt is
still theirs: a process that was taken for dead can neither spoil nor prolong what another has begun anew.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from datetime import datetime, timedelta
from math import ceil
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from accounts.archive import write_archive
from accounts.models import Export, ExportChunk, ExportQuerySet, User
from predictions.exceptions import ServiceError
from predictions.models import Event, Patch, Status
from predictions.sending import Places, Sent

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

logger = logging.getLogger(__name__)

EXPORTS_PER_DAY = 3
CHUNK_BYTES = 1024 * 1024
DROPPED_AT_ONCE = 100  # pieces
LEASE = timedelta(seconds=60)  # from one piece to the next
PAUSE = timedelta(seconds=60)  # after an attempt that failed
# An archive is larger than the file of a list: its reader has EXPORT_SECONDS for each so many bytes that are begun.
BYTES_IN_TIME = 10 * CHUNK_BYTES
PLACES = Places(most=2, each=1)  # of this process, beside those of lists

CLAIM = """
UPDATE accounts_export SET status = 'running', attempt = attempt + 1, patches_done = 0,
    started_at = statement_timestamp(), lease_until = statement_timestamp() + %(lease)s
WHERE id = (
    SELECT id FROM accounts_export WHERE status = 'queued' AND next_attempt_at <= statement_timestamp()
    ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED
)
RETURNING *
"""


class TooManyExports(ServiceError):
    code = "too_many_exports"
    message = _("You asked for your data three times within a day. Take the archive that is there, or come tomorrow.")
    status = 429


class Superseded(Exception):
    """The attempt is not the current one any more, or its owner has gone: stop, and write nothing."""


@transaction.atomic
def ask_for_export(*, user: User) -> Export:
    """Queue an archive of all that is `user`'s. One that is being made is the answer.

    Raises:
        TooManyExports: EXPORTS_PER_DAY were asked for within a day.
    """
    User.objects.select_for_update(no_key=True).get(pk=user.pk)
    if running := Export.objects.filter(owner=user, finished_at__isnull=True).first():
        return running
    if Export.objects.filter(owner=user, queued_at__gt=Now() - timedelta(days=1)).count() >= EXPORTS_PER_DAY:
        raise TooManyExports
    export = Export.objects.create(owner=user, patches=Patch.objects.filter(owner=user).count())
    Event.objects.create(kind=Event.Kind.EXPORT_ASKED, actor=user, subject=str(export.uuid))
    return export


def write_next() -> bool:
    """Write one archive that waits; whether there was one."""
    sweep()
    claimed = list(Export.objects.raw(CLAIM, {"lease": LEASE}))
    for export in claimed:
        _write(export)
    return bool(claimed)


def _write(export: Export) -> None:
    file = ArchiveFile(export)
    try:
        drop_chunks(Export.objects.filter(pk=export.pk))  # of an attempt before this one
        write_archive(export.owner, file)
        finish(export, size=file.close_and_measure())
    except Superseded:
        logger.info("Export %s is not this process's any more.", export.uuid)
    # Whatever it was, the page says that it failed; the next attempt may do better.
    except Exception:
        logger.exception("Export %s was not written.", export.uuid)
        give_up(export)


def drop_chunks(archives: ExportQuerySet) -> None:
    """Delete what was written of some archives, a statement for each DROPPED_AT_ONCE: none takes too long."""
    chunks = ExportChunk.objects.filter(export__in=archives.values("pk"))
    while keys := list(chunks.values_list("pk", flat=True)[:DROPPED_AT_ONCE]):
        ExportChunk.objects.filter(pk__in=keys).delete()


@transaction.atomic
def finish(export: Export, *, size: int) -> None:
    """running -> succeeded. Archives of the same owner that were made earlier go.

    Raises:
        Superseded: the attempt is not the current one.
    """
    done = {"status": Status.SUCCEEDED, "finished_at": Now(), "lease_until": None, "error_code": ""}
    if not _mine(export).update(**done, size=size, patches_done=F("patches")):
        raise Superseded
    earlier = Export.objects.filter(owner=export.owner_id, size__isnull=False).exclude(pk=export.pk)
    drop_chunks(earlier)
    earlier.update(size=None)


@transaction.atomic
def take_back(owner: int, *, since: datetime) -> None:
    """Patches of this user, none of them sent before `since`, are deleted or to be forgotten: no archive keeps them.

    What is ready goes, and what is being made begins anew, after a pause in which others have their turn. In the
    transaction that deletes or marks the patches: an archive that begins later leaves them out.
    """
    archives = Export.objects.filter(owner=owner)
    # What waits too: taken up in this moment, it would not see the mark. Newest first, as `finish` goes.
    unfinished = archives.filter(finished_at__isnull=True)
    unfinished.update(status=Status.QUEUED, lease_until=None, next_attempt_at=Now() + PAUSE)
    concerned = archives.exclude(finished_at__lt=since)
    concerned.filter(size__isnull=False).update(size=None, error_code=Export.FORGOTTEN)
    drop_chunks(concerned)


@transaction.atomic
def give_up(export: Export) -> None:
    """running -> queued after a pause, or failed."""
    said = {"lease_until": None, "error_code": "interrupted"}
    if export.attempt >= export.attempt_limit:
        _mine(export).update(**said, status=Status.FAILED, finished_at=Now())
    else:
        _mine(export).update(**said, status=Status.QUEUED, next_attempt_at=Now() + PAUSE)


@transaction.atomic
def sweep() -> int:
    """Take back what a process that died was writing; return how many."""
    expired = Export.objects.filter(status=Status.RUNNING, lease_until__lt=Now())
    failed = expired.filter(attempt__gte=F("attempt_limit")).update(
        status=Status.FAILED, lease_until=None, finished_at=Now(), error_code="interrupted"
    )
    return failed + expired.update(status=Status.QUEUED, lease_until=None, next_attempt_at=Now())


def tidy() -> int:
    """Forget archives that are older than KEPT, and that there were any; return how many."""
    old = Export.objects.filter(finished_at__lt=Now() - Export.KEPT)
    drop_chunks(old)
    return old.delete()[0]


def sent(request: HttpRequest, export: Export) -> Sent:
    """The archive on its way to its owner.

    Raises:
        predictions.exceptions.TooManyExports: this process has no place left for it.
    """
    return Sent(request, pieces(export), places=PLACES, seconds=seconds_for(export.size or 0))


def seconds_for(size: int) -> int:
    """In which an archive of so many bytes must be taken."""
    seconds: int = settings.EXPORT_SECONDS * ceil(size / BYTES_IN_TIME)
    return seconds


def pieces(export: Export) -> Iterator[bytes]:
    """The archive's bytes, one piece in memory at a time. They end early where the archive is taken away meanwhile."""
    position = 0
    while piece := ExportChunk.objects.filter(export=export, position=position).values_list("data", flat=True).first():
        yield bytes(piece)
        position += 1


def _mine(export: Export) -> ExportQuerySet:
    return Export.objects.filter(pk=export.pk, status=Status.RUNNING, attempt=export.attempt)


class ArchiveFile(io.RawIOBase):
    """What the archive is written to, from its beginning to its end: rows of CHUNK_BYTES each."""

    def __init__(self, export: Export) -> None:
        super().__init__()
        self.export = export
        self.buffer = bytearray()
        self.position = self.size = self.patches_done = 0

    def writable(self) -> bool:
        return True

    def write(self, data: ReadableBuffer) -> int:
        self.buffer += data
        while len(self.buffer) >= CHUNK_BYTES:
            self._store(bytes(self.buffer[:CHUNK_BYTES]))
            del self.buffer[:CHUNK_BYTES]
        return memoryview(data).nbytes

    def note(self, patches_done: int) -> None:
        """How far it is, for the page; and that this process lives."""
        self.patches_done = patches_done
        self._renew()

    def close_and_measure(self) -> int:
        if self.buffer:
            self._store(bytes(self.buffer))
            self.buffer.clear()
        return self.size

    @transaction.atomic
    def _store(self, data: bytes) -> None:
        self._renew()
        ExportChunk.objects.create(export=self.export, position=self.position, data=data)
        self.position += 1
        self.size += len(data)

    def _renew(self) -> None:
        if not _mine(self.export).update(lease_until=Now() + LEASE, patches_done=self.patches_done):
            raise Superseded
