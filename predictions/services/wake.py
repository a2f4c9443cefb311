"""The one message this site sends: there may be work."""

from __future__ import annotations

import logging

from django.db import transaction
from kombu.exceptions import OperationalError

logger = logging.getLogger(__name__)

# A wake-up that waited longer says nothing new: the sweep has sent another by then.
EXPIRES = 30


def wake() -> None:
    """Tell the workers that there may be work. Losing or doubling it changes nothing."""
    from predictions.tasks import drain_task

    try:
        drain_task.apply_async(expires=EXPIRES)
    except OperationalError as error:
        logger.warning("The broker did not take a wake-up (%s); the next sweep sends another.", error)


def wake_on_commit() -> None:
    transaction.on_commit(wake, robust=True)
