"""Requests that wait for answers: told by PostgreSQL's NOTIFY as soon as a worker has written them.

One thread of the web process listens for all its waiting requests, on a connection of its own, and reads what they wait
for: a stack at once. A notification is a hint alone: whoever waits looks at the rows by themselves once a second, so a
lost one costs at most that.
"""

from __future__ import annotations

import logging
import os
import select
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Set
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from typing import NamedTuple

from django.conf import settings
from django.db import Error, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from idc_site.errors import is_database_away
from idc_site.postgres.prepared import Prepared, execute
from predictions.models.job import ENDED

logger = logging.getLogger(__name__)

FINISHED = "predictions_finished"  # payload: keys of predictions, with commas between them
# Under its own name, as its last statement does not tell it from others.
LISTEN = f"LISTEN {FINISHED}; SET application_name = 'waiting for answers'"
FIRST_LOOK_SECONDS = 0.1  # at what was finished before this process began to listen
LOOK_SECONDS = 1.0
REMEMBERED = 10_000  # keys heard last: what was finished between the commit of a request and its waiting
IDLE_SECONDS = 60.0  # without anyone who waits, the listener ends
PAUSE_SECONDS = 1.0  # before it connects again


class Answer(NamedTuple):
    """What a worker writes into a prediction, as far as those who wait are told. Field by field as in the model."""

    status: str
    probability: float | None
    flags: list[str]
    finished_at: datetime | None
    error_code: str
    error_message: str

    @property
    def is_finished(self) -> bool:
        return self.status in ENDED


# No join: to plan one takes longer than to read the rows of both.
READ = "SELECT id, {columns} FROM predictions_prediction WHERE id = ANY(%(keys)s)"
READ_ANSWERS = Prepared("read_answers", READ.format(columns=", ".join(Answer._fields)), {"keys": "bigint[]"})


class Waiter:
    """A request that waits. left: the keys of its predictions that are not known to be finished.

    answers: of those that are, as far as they were told. is_late: nobody listened when it came, so what was finished by
    then is known by looking alone.
    """

    def __init__(self, keys: Collection[int]) -> None:
        self.left = set(keys)
        self.answers: dict[int, Answer] = {}
        self.is_late = True
        self.told = threading.Event()

    def tell(self, keys: Set[int], answers: Mapping[int, Answer]) -> None:
        """These are finished."""
        mine = self.left & keys
        self.answers.update({key: answers[key] for key in mine if key in answers})
        self.left -= mine
        if not self.left:
            self.told.set()


class Ear:
    """The listening thread of this process and those who wait. All methods may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[int, set[Waiter]] = {}
        self._process = 0
        self._is_listening = False
        # Oldest first. Only answers are told, and what is answered stays so: another try is of what has failed.
        self._heard: dict[int, None] = {}
        self.places = threading.BoundedSemaphore(settings.WAITING_REQUESTS)

    @contextmanager
    def told_of(self, keys: Collection[int]) -> Iterator[Waiter]:
        """A waiter that is told whenever one of these predictions is finished, or was just before."""
        waiter = Waiter(keys)
        with self._lock:
            waiter.is_late = not self._is_listening
            if self._process != os.getpid():  # also after a fork, which takes no threads along
                self._start()
            waiter.tell(self._heard.keys() & waiter.left, {})
            for key in keys:
                self._waiting.setdefault(key, set()).add(waiter)
        try:
            yield waiter
        finally:
            with self._lock:
                for key in keys:
                    self._waiting[key].discard(waiter)
                    if not self._waiting[key]:
                        del self._waiting[key]

    def _start(self) -> None:
        try:
            threading.Thread(target=self._listen, name="finished predictions", daemon=True).start()
            self._process = os.getpid()
        except RuntimeError as error:  # the machine gives no more threads: whoever waits looks by themselves
            logger.warning("Nobody listens for answers (%s); the next request that waits tries again.", error)

    def _listen(self) -> None:
        connection = connections["default"]  # of this thread alone
        heard_at = time.monotonic()
        while True:
            try:
                connection.ensure_connection()
                with connection.cursor() as cursor:
                    cursor.execute(LISTEN)
                self._is_listening = True
                while True:
                    self._hear(_told(connection))
                    if self._waiting:
                        heard_at = time.monotonic()
                    elif self._is_over(heard_at):
                        return
            # Whatever it is: this thread is not started again, and all would wait for their own looks.
            except Exception as error:
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

    def _hear(self, keys: set[int]) -> None:
        with self._lock:
            self._heard.update(dict.fromkeys(keys))
            for key in list(islice(self._heard, max(len(self._heard) - REMEMBERED, 0))):
                del self._heard[key]
            awaited = keys & self._waiting.keys()  # whoever comes after this knows them as heard
        answers: dict[int, Answer] = {}
        try:
            answers = read_answers(awaited) if awaited else answers
        finally:  # if that failed, each reads its own
            with self._lock:
                for waiter in {waiter for key in awaited for waiter in self._waiting.get(key, ())}:
                    waiter.tell(keys, answers)


def _told(connection: BaseDatabaseWrapper) -> set[int]:
    """The keys that were notified, after LOOK_SECONDS at the latest; also what came while answers were read."""
    with connection.wrap_database_errors:
        raw = connection.connection
        if not raw.notifies and select.select([raw], [], [], LOOK_SECONDS)[0]:
            raw.poll()
        payloads = [notification.payload for notification in raw.notifies]
        raw.notifies.clear()
    return {int(key) for payload in payloads for key in payload.split(",") if key}


_ear = Ear()


def wait_for_answers(keys: Collection[int], *, seconds: float) -> dict[int, Answer]:
    """What is known of these predictions when all are finished, or the time is up; nothing of what was deleted before.

    Past WAITING_REQUESTS of this process nobody waits more.
    """
    if not _ear.places.acquire(blocking=False):
        return read_answers(keys)
    deadline = time.monotonic() + seconds
    try:
        with _ear.told_of(keys) as waiter:
            pause = FIRST_LOOK_SECONDS if waiter.is_late else LOOK_SECONDS
            while not waiter.told.wait(min(pause, max(deadline - time.monotonic(), 0))):
                answers = read_answers(keys)
                if time.monotonic() >= deadline or all(answer.is_finished for answer in answers.values()):
                    return answers
                pause = LOOK_SECONDS
    finally:
        _ear.places.release()
    untold = set(keys) - waiter.answers.keys()  # finished before it was waited for, or deleted, or not read
    return waiter.answers | (read_answers(untold) if untold else {})


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


def read_answers(keys: Collection[int]) -> dict[int, Answer]:
    """By key, of each of these predictions that is still there."""
    with connections["default"].cursor() as cursor:
        execute(cursor, {"keys": list(keys)}, READ_ANSWERS)
        return {key: Answer(*answer) for key, *answer in cursor.fetchall()}
