"""The one message this site sends: there may be work."""

from __future__ import annotations

import logging
from collections.abc import Callable
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
# While this key is there, a wake-up lies unread in the queue or a worker is at work: another would say nothing new. Who
# removes it looks for work once more (`drain`), so whatever was committed before the key was seen is found. A message
# or a worker that is lost leaves the key for no longer than this, which is less than the sweep waits.
AWAKE, AWAKE_MS = "idc:awake", 1_000


def wake() -> None:
    """Tell the workers that there may be work. Losing or doubling it changes nothing."""

    def tell(broker: Redis) -> None:
        if broker.set(AWAKE, 1, nx=True, px=AWAKE_MS):
            _send()

    _try(tell)


def wake_another() -> None:
    """There is more than one worker can take at once."""
    _try(lambda broker: _send())


def say_awake() -> None:
    """This worker is at work: nobody needs to wake it."""
    _try(lambda broker: broker.set(AWAKE, 1, px=AWAKE_MS))


def say_asleep() -> None:
    """Whoever has work from now on must wake a worker."""
    _try(lambda broker: broker.delete(AWAKE))


def _send() -> None:
    from predictions.tasks import drain_task

    drain_task.apply_async(expires=EXPIRES)


def _try(tell: Callable[[Redis], object]) -> None:
    try:
        tell(_broker())
    except (OperationalError, RedisError) as error:
        logger.warning("The broker did not take a wake-up (%s); the next sweep sends another.", error)


def wake_on_commit() -> None:
    transaction.on_commit(wake, robust=True)


@cache
def _broker() -> Redis:
    # One more try, for a connection that was closed while idle: neither uploads nor workers wait for a hint.
    return Redis.from_url(
        settings.REDIS_URL, socket_connect_timeout=0.5, socket_timeout=0.5, retry=Retry(NoBackoff(), 1)
    )
