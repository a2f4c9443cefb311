"""What the chores process does for webhooks, in a thread: notice, take back, send.

Rows are the jobs, and the thread looks for them by itself: no broker is needed, and a slow receiver holds up
neither a prediction nor another chore.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

from celery import current_app
from celery.signals import worker_process_init
from django.db import close_old_connections, connection

logger = logging.getLogger(__name__)

PAUSE_SECONDS = 2
THOROUGHLY_EVERY_SECONDS = 60


@worker_process_init.connect
def start_delivering(**kwargs: Any) -> None:
    if "chores" in current_app.amqp.queues.consume_from:
        threading.Thread(target=_go_on_delivering, name="webhooks", daemon=True).start()


def _go_on_delivering() -> None:
    pause, last_thorough = threading.Event(), float("-inf")
    while not pause.wait(PAUSE_SECONDS):
        is_thorough = time.monotonic() - last_thorough > THOROUGHLY_EVERY_SECONDS
        if _deliver_once(is_thorough=is_thorough) and is_thorough:
            last_thorough = time.monotonic()


def _deliver_once(*, is_thorough: bool) -> bool:
    """Whether all went well."""
    from webhooks import services

    try:
        close_old_connections()
        services.announce(is_thorough=is_thorough)
        if is_thorough:
            services.advance()
        services.sweep()
        services.deliver()
    # Whatever happens (a database that restarts), it goes on.
    except Exception:
        logger.exception("Webhooks were not delivered; the next try is in %d s.", PAUSE_SECONDS)
        connection.close()
        return False
    return True
