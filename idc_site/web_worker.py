"""How the web processes share connections."""

from __future__ import annotations

import time
from socket import socket

from gunicorn.workers.gthread import ThreadWorker

PAUSE = 0.0005  # s for each connection that this process has, as far as MOST of them
MOST = 8


class EvenThreadWorker(ThreadWorker):
    """gunicorn's threads; whichever process has fewer connections is the quicker to accept the next.

    All processes listen on one socket, and connections that come at once would fall on them as they happen to wake: of
    five often four on one. As a connection stays where it is, that process would work alone while a core is idle.
    """

    def accept(self, listener: socket) -> None:
        if self.cfg.workers > 1:
            time.sleep(PAUSE * min(self.nr_conns, MOST))
        super().accept(listener)
