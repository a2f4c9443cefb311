"""The database backend, named as Django looks for it."""

from __future__ import annotations

import math
import select
from typing import Any

from django.db.backends.postgresql import base


class DatabaseWrapper(base.DatabaseWrapper):
    """prepared: the names of what this connection has prepared (prepared.py).

    planned_for: how large the tables were for which its plans were made (SIZES). looked_at: when that was seen last.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.prepared: set[str] = set()
        self.planned_for: list[float] | None = None
        self.looked_at = -math.inf

    def init_connection_state(self) -> None:
        super().init_connection_state()
        self.prepared = set()  # they ended with the connection before
        self.planned_for, self.looked_at = None, -math.inf

    def is_usable(self) -> bool:
        """Django asks for `SELECT 1` at each request, which is one more message to and fro.

        A server that closes a connection says so on it, before it or its machine is gone; one with nothing to say is as
        well as `SELECT 1` could tell. Where there is something to read, that is asked after all.
        """
        if self.connection is None or self.connection.closed:
            return False
        poll = select.poll()
        poll.register(self.connection.fileno(), select.POLLIN)
        return not poll.poll(0) or super().is_usable()
