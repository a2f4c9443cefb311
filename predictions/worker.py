"""What a Celery child does beside its tasks: load the model, say that it lives, sweep; and in chores, move runs on.

The parent never loads an engine: TensorFlow used before the fork hangs every child. The watch runs in the
child, where the engine is, in a thread: a heartbeat is true only where predictions are made.
"""

from __future__ import annotations

import gc
import logging
import os
import socket
import threading
from typing import Any

from celery import current_app
from celery.signals import worker_before_create_process, worker_process_init
from django.db import close_old_connections, connection

logger = logging.getLogger(__name__)

WATCH_SECONDS = 3
RUNS_PAUSE_SECONDS = 2


@worker_before_create_process.connect
def keep_what_is_shared(**kwargs: Any) -> None:
    """What the parent has loaded stays out of the collector of cycles, which would write to it and so unshare it."""
    gc.collect()
    gc.freeze()


@worker_process_init.connect
def start_watch(**kwargs: Any) -> None:
    """Every child keeps watch; those that serve the queue `predictions` load the active model first."""
    answers = "predictions" in current_app.amqp.queues.consume_from
    _watch_once(answers=answers)
    # What is loaded now stays: the collector of cycles need not look at it again and again.
    gc.collect()
    gc.freeze()
    threading.Thread(target=_watch, args=(answers,), name="watch", daemon=True).start()
    if "chores" in current_app.amqp.queues.consume_from:
        threading.Thread(target=_go_on_with_runs, name="runs", daemon=True).start()


def _watch(answers: bool) -> None:
    pause = threading.Event()
    while not pause.wait(WATCH_SECONDS):
        _watch_once(answers=answers)


def _watch_once(*, answers: bool) -> None:
    from predictions import services

    try:
        close_old_connections()
        if answers:
            _beat()
        services.sweep()
    # Whatever happens (a database that restarts, a broker that is away), the watch goes on.
    except Exception:
        logger.exception("The watch failed; it goes on in %d s.", WATCH_SECONDS)
        connection.close()


def _go_on_with_runs() -> None:
    """Shadow runs and re-runs: rows are the jobs here, too, and no broker is needed."""
    from predictions import services

    pause = threading.Event()
    while not pause.wait(RUNS_PAUSE_SECONDS):
        try:
            close_old_connections()
            services.advance_runs()
        # Whatever happens (a database that restarts), it goes on.
        except Exception:
            logger.exception("Runs were not moved on; the next try is in %d s.", RUNS_PAUSE_SECONDS)
            connection.close()


def _beat() -> None:
    """Load the active model if it is not loaded yet, and say so, or say why not."""
    from django.db.models.functions import Now

    from ml.card import ModelError
    from predictions import inference
    from predictions.models import ModelVersion, WorkerHeartbeat

    problem, active = "", ModelVersion.objects.active()
    try:
        if active:
            inference.get_engine(active)
    except ModelError as error:
        problem = str(error)
        logger.error("This worker cannot answer with %s: %s", active, problem)
    WorkerHeartbeat.objects.update_or_create(
        worker=f"{socket.gethostname()}:{os.getpid()}",
        defaults={"model_hashes": inference.loaded_hashes(), "problem": problem, "seen_at": Now()},
    )
