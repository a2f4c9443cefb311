"""The web processes on real connections."""

from __future__ import annotations

import http.client
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from urllib.parse import urlsplit

import psutil

from tests.processes import Processes, wait_for

CLIENTS = 12
TIMES = 12


def test_connections_that_come_at_once_fall_evenly_on_the_processes(processes: Processes) -> None:
    address = urlsplit(processes.start_web(WEB_CONCURRENCY="2"))
    parent = psutil.Process(processes.started[-1].pid)

    def share() -> list[int]:
        """How many of the connections that are made at once each process gets, ascending."""
        together = Barrier(CLIENTS)

        def connect(_: int) -> http.client.HTTPConnection:
            connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=30)
            together.wait()
            connection.request("GET", "/healthz")
            assert connection.getresponse().read()
            return connection

        with ThreadPoolExecutor(CLIENTS) as pool:
            connections = list(pool.map(connect, range(CLIENTS)))
        ours = {connection.sock.getsockname()[1] for connection in connections}
        there = [(one.pid, two.raddr) for one in parent.children() for two in one.net_connections()]
        found = Counter(pid for pid, client in there if client and client.port in ours)
        for connection in connections:
            connection.close()
        return sorted(found.values())

    wait_for(lambda: len(share()) == 2, what="both processes to answer")
    larger = sum(share()[-1] for _ in range(TIMES)) / (TIMES * CLIENTS)
    # 0.53 to 0.55, also beside three busy loops; with gunicorn's own worker 0.63 to 0.67.
    assert 0.5 <= larger < 0.6
