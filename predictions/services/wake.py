"""The one message this site sends: there may be work."""

from __future__ import annotations

import logging
from functools import cache

from django.conf import settings
from django.db import transaction
from kombu.exceptions import OperationalError
from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry

logger = logging.getLogger(__name__)

# A wake-up that waited longer says nothing new: the sweep has sent another by then.
EXPIRES = 30
# While this key is there, a wake-up lies unread in the queue, and another would say the same. `heard` removes it before
# anything is claimed, so whatever was committed before the key was seen is found by that very wake-up. A message that
# is lost leaves the key for no longer than this, which is less than the sweep waits.
PENDING, PENDING_MS = "idc:woken", 1_000


def wake() -> None:
    """Tell the workers that there may be work. Losing or doubling it changes nothing."""
    from predictions.tasks import drain_task

    try:
        if _broker().set(PENDING, 1, nx=True, px=PENDING_MS):
            drain_task.apply_async(expires=EXPIRES)
    except (OperationalError, RedisError) as error:
        logger.warning("The broker did not take a wake-up (%s); the next sweep sends another.", error)


def heard() -> None:
    """The wake-up is read: what comes from now on needs another."""
    try:
        _broker().delete(PENDING)
    except RedisError as error:
        logger.warning("The broker does not answer (%s).", error)


def wake_on_commit() -> None:
    transaction.on_commit(wake, robust=True)


@cache
def _broker() -> Redis:
    options = settings.CELERY_BROKER_TRANSPORT_OPTIONS
    return Redis.from_url(
        settings.REDIS_URL,
        socket_connect_timeout=options["socket_connect_timeout"],
        socket_timeout=options["socket_timeout"],
        retry=Retry(NoBackoff(), 1),  # a connection that was closed while idle; whoever uploads waits for nothing more
    )
