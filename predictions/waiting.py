"""Requests that wait for answers: told by PostgreSQL's NOTIFY as soon as a worker has written them.

One thread of the web process listens for all its waiting requests, on a connection of its own. It is a hint alone:
whoever waits looks at the rows by themselves once a second, so a lost notification costs at most that.
"""

from __future__ import annotations

import logging
import os
import select
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

from django.conf import settings
from django.db import DatabaseError, Error, InterfaceError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from idc_site.errors import is_database_away
from idc_site.postgres.prepared import Prepared, execute

logger = logging.getLogger(__name__)

FINISHED = "predictions_finished"  # payload: keys of predictions, with commas between them
FIRST_LOOK_SECONDS = 0.1  # at what was finished before this process began to listen
LOOK_SECONDS = 1.0
# What a worker writes into a prediction, as far as those who wait are told.
ANSWER = ("status", "probability", "flags", "finished_at", "error_code", "error_message")
# No join: to plan one takes longer than to read the rows of both.
READ = "SELECT id, {columns} FROM predictions_prediction WHERE id = ANY(%(keys)s)"
READ_ANSWERS = Prepared("read_answers", READ.format(columns=", ".join(ANSWER)), {"keys": "bigint[]"})
REMEMBERED = 10_000  # keys heard last: what was finished between the commit of a request and its waiting
IDLE_SECONDS = 60.0  # without anyone who waits, the listener ends
PAUSE_SECONDS = 1.0  # before it connects again


class Waiter:
    """A request that waits. left: the keys of its predictions that are not known to be finished.

    is_late: nobody listened when it came, so what was finished by then is known by looking alone.
    """

    def __init__(self, keys: Collection[int]) -> None:
        self.left = set(keys)
        self.is_late = True
        self.told = threading.Event()

    def tell(self, keys: Collection[int]) -> None:
        self.left.difference_update(keys)
        if not self.left:
            self.told.set()


class Ear:
    """The listening thread of this process and those who wait. All methods may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[int, set[Waiter]] = {}
        self._process = 0
        self._is_listening = False
        self._heard: dict[int, None] = {}  # oldest first
        self.places = threading.BoundedSemaphore(settings.WAITING_REQUESTS)

    @contextmanager
    def told_of(self, keys: Collection[int]) -> Iterator[Waiter]:
        """A waiter that is told whenever one of these predictions is finished, or was just before."""
        waiter = Waiter(keys)
        with self._lock:
            waiter.tell(self._heard.keys() & waiter.left)
            waiter.is_late = not self._is_listening
            for key in keys:
                self._waiting.setdefault(key, set()).add(waiter)
            if self._process != os.getpid():  # also after a fork, which takes no threads along
                self._process = os.getpid()
                threading.Thread(target=self._listen, name="finished predictions", daemon=True).start()
        try:
            yield waiter
        finally:
            with self._lock:
                for key in keys:
                    self._waiting[key].discard(waiter)
                    if not self._waiting[key]:
                        del self._waiting[key]

    def _listen(self) -> None:
        connection = connections["default"]  # of this thread alone
        heard_at = time.monotonic()
        while True:
            try:
                connection.ensure_connection()
                with connection.cursor() as cursor:
                    cursor.execute(f"LISTEN {FINISHED}")
                self._is_listening = True
                while True:
                    for payload in _heard(connection):
                        self._tell({int(key) for key in payload.split(",") if key})
                    if self._waiting:
                        heard_at = time.monotonic()
                    elif self._is_over(heard_at):
                        return
            except (DatabaseError, InterfaceError, OSError, ValueError) as error:
                if self._is_over(heard_at):
                    return
                logger.warning("Listening for answers failed (%s); again in %d s.", error, PAUSE_SECONDS)
                time.sleep(PAUSE_SECONDS)
            finally:
                self._is_listening = False
                connection.close()

    def _is_over(self, heard_at: float) -> bool:
        with self._lock:
            if self._waiting or time.monotonic() - heard_at < IDLE_SECONDS:
                return False
            self._process = 0
            return True

    def _tell(self, keys: set[int]) -> None:
        with self._lock:
            self._heard.update(dict.fromkeys(keys))
            for key in list(islice(self._heard, max(len(self._heard) - REMEMBERED, 0))):
                del self._heard[key]
            for waiter in {waiter for key in keys for waiter in self._waiting.get(key, ())}:
                waiter.tell(keys)


def _heard(connection: BaseDatabaseWrapper) -> list[str]:
    """The payloads of what was notified, after LOOK_SECONDS at the latest."""
    with connection.wrap_database_errors:
        if not select.select([connection.connection], [], [], LOOK_SECONDS)[0]:
            return []
        connection.connection.poll()
        payloads = [notification.payload for notification in connection.connection.notifies]
        connection.connection.notifies.clear()
        return payloads


_ear = Ear()


def wait_until_finished(keys: Collection[int], *, seconds: float) -> bool:
    """Whether all these predictions are finished in time. Past WAITING_REQUESTS of this process nobody waits more."""
    if not _ear.places.acquire(blocking=False):
        return not _unfinished(keys)
    deadline = time.monotonic() + seconds
    try:
        with _ear.told_of(keys) as waiter:
            pause = FIRST_LOOK_SECONDS if waiter.is_late else LOOK_SECONDS
            while not waiter.told.wait(min(pause, max(deadline - time.monotonic(), 0))):
                left = _unfinished(keys)
                if not left or time.monotonic() >= deadline:
                    return not left
                pause = LOOK_SECONDS
            return True
    finally:
        _ear.places.release()


@contextmanager
def known_suffices() -> Iterator[None]:
    """For what is read after all is stored: where the database is away by then, the answer is what is known already.

    An error would say that nothing was stored.
    """
    try:
        yield
    except Error as error:
        if not is_database_away(error):
            raise
        logger.warning("The database went away while a request waited for answers (%s).", error)


def read_answers(keys: Collection[int]) -> list[tuple[Any, ...]]:
    """Of each of these predictions that is still there: its key, and ANSWER."""
    with connections["default"].cursor() as cursor:
        execute(cursor, {"keys": list(keys)}, READ_ANSWERS)
        return list(cursor.fetchall())


def _unfinished(keys: Collection[int]) -> list[int]:
    statement = "SELECT id FROM predictions_prediction WHERE id = ANY(%s) AND status IN ('queued', 'running')"
    with connections["default"].cursor() as cursor:
        cursor.execute(statement, [list(keys)])
        return [key for (key,) in cursor.fetchall()]
