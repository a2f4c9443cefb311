"""What the chores process does for webhooks, in a thread: notice, take back, send.

Rows are the jobs, and the thread looks for them by itself: no broker is needed, and a slow receiver holds up
neither a prediction nor another chore.
"""

from __future__ import annotations

import logging
import threading
import time
from datetime import timedelta
from typing import Any

from celery import current_app
from celery.signals import worker_process_init
from django.db import close_old_connections, connection

logger = logging.getLogger(__name__)

PAUSE_SECONDS = 2
# Nearly every batch is done within the hour; the older ones are looked at now and then.
YOUNG = timedelta(hours=1)
OLD_EVERY_SECONDS = 60


@worker_process_init.connect
def start_delivering(**kwargs: Any) -> None:
    if "chores" in current_app.amqp.queues.consume_from:
        threading.Thread(target=_go_on_delivering, name="webhooks", daemon=True).start()


def _go_on_delivering() -> None:
    pause, looked_at_old = threading.Event(), float("-inf")
    while not pause.wait(PAUSE_SECONDS):
        is_time = time.monotonic() - looked_at_old > OLD_EVERY_SECONDS
        if _deliver_once(look_at_old=is_time) and is_time:
            looked_at_old = time.monotonic()


def _deliver_once(*, look_at_old: bool) -> bool:
    """Whether all went well."""
    from webhooks import services
    from webhooks.services.announce import OLDEST

    try:
        close_old_connections()
        services.announce(within=OLDEST if look_at_old else YOUNG)
        services.sweep()
        services.deliver()
    # Whatever happens (a database that restarts), it goes on.
    except Exception:
        logger.exception("Webhooks were not delivered; the next try is in %d s.", PAUSE_SECONDS)
        connection.close()
        return False
    return True
