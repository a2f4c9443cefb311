"""What the chores process does for people's data: a thread that writes archives, and one that removes what must go.

Rows are the jobs, and the threads look for them by themselves; a long archive does not keep an erasure waiting.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from celery import current_app
from celery.signals import worker_process_init
from django.db import close_old_connections, connection

logger = logging.getLogger(__name__)

PAUSE_SECONDS = 2
PAUSE_AFTER_FAILURE_SECONDS = 30
EXPIRE_EVERY_SECONDS = 600


@worker_process_init.connect
def start(**kwargs: Any) -> None:
    if "chores" in current_app.amqp.queues.consume_from:
        for name, step in (("exports", _write), ("removals", Removals().step)):
            threading.Thread(target=_go_on, args=(step,), name=name, daemon=True).start()


def _go_on(step: Callable[[], bool]) -> None:
    pause = threading.Event()
    while True:
        pause.wait(_once(step))


def _once(step: Callable[[], bool]) -> float:
    """One step; how many seconds to wait before the next."""
    try:
        close_old_connections()
        return 0 if step() else PAUSE_SECONDS
    # Whatever happens (a database that restarts), it goes on.
    except Exception:
        logger.exception("People's data: a step failed; the next try is in %d s.", PAUSE_AFTER_FAILURE_SECONDS)
        connection.close()
        return PAUSE_AFTER_FAILURE_SECONDS


def _write() -> bool:
    from accounts import exports

    return exports.write_next()


class Removals:
    """Erased accounts first, then what is overdue, every ten minutes."""

    def __init__(self) -> None:
        self.looked_at = float("-inf")

    def step(self) -> bool:
        from accounts import erasure
        from predictions import services

        if erasure.remove_some():
            return True
        if time.monotonic() - self.looked_at > EXPIRE_EVERY_SECONDS:
            if services.expire():
                return True
            self.looked_at = time.monotonic()
        return False
