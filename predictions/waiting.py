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

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from predictions.models import Prediction, Status

logger = logging.getLogger(__name__)

FINISHED = "predictions_finished"  # payload: keys of predictions, with commas between them
LOOK_SECONDS = 1.0
IDLE_SECONDS = 60.0  # without anyone who waits, the listener ends
PAUSE_SECONDS = 1.0  # before it connects again


class Ear:
    """The listening thread of this process and those who wait. All methods may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[int, set[threading.Event]] = {}
        self._process = 0
        self.places = threading.BoundedSemaphore(settings.WAITING_REQUESTS)

    @contextmanager
    def told_of(self, keys: Collection[int]) -> Iterator[threading.Event]:
        """An event that is set whenever one of these predictions is finished."""
        told = threading.Event()
        with self._lock:
            for key in keys:
                self._waiting.setdefault(key, set()).add(told)
            if self._process != os.getpid():  # also after a fork, which takes no threads along
                self._process = os.getpid()
                threading.Thread(target=self._listen, name="finished predictions", daemon=True).start()
        try:
            yield told
        finally:
            with self._lock:
                for key in keys:
                    self._waiting[key].discard(told)
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
                self._tell_all()  # what was finished while nobody listened
                while True:
                    for payload in _heard(connection):
                        self._tell(payload)
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
                connection.close()

    def _is_over(self, heard_at: float) -> bool:
        with self._lock:
            if self._waiting or time.monotonic() - heard_at < IDLE_SECONDS:
                return False
            self._process = 0
            return True

    def _tell(self, payload: str) -> None:
        with self._lock:
            for key in payload.split(","):
                for told in self._waiting.get(int(key or 0), ()):
                    told.set()

    def _tell_all(self) -> None:
        with self._lock:
            for waiting in self._waiting.values():
                for told in waiting:
                    told.set()


def _heard(connection: BaseDatabaseWrapper) -> list[str]:
    """The payloads of what was notified, after LOOK_SECONDS at the latest."""
    with connection.wrap_database_errors:
        if not select.select([connection.connection], [], [], LOOK_SECONDS)[0]:
            return []
        connection.connection.poll()
        notifications = [notification.payload for notification in connection.connection.notifies]
        connection.connection.notifies.clear()
        return notifications


_ear = Ear()


def wait_until_finished(keys: Collection[int], *, seconds: float) -> bool:
    """Whether all these predictions are finished in time. Past WAITING_REQUESTS of this process nobody waits more."""
    deadline = time.monotonic() + seconds
    if not _ear.places.acquire(blocking=False):
        return not _unfinished(keys)
    try:
        with _ear.told_of(keys) as told:
            while left := _unfinished(keys):
                pause = min(LOOK_SECONDS, deadline - time.monotonic())
                if pause <= 0:
                    return False
                told.wait(pause)
                told.clear()
                keys = left
            return True
    finally:
        _ear.places.release()


def _unfinished(keys: Collection[int]) -> list[int]:
    waiting = [Status.QUEUED, Status.RUNNING]
    return list(Prediction.objects.filter(pk__in=keys, status__in=waiting).values_list("pk", flat=True))
