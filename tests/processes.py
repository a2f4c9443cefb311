"""Real workers and web servers for tests, on the test's own database and broker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import psutil
from django.conf import settings
from django.db import connection

from idc_site.devserver import procfile
from idc_site.local_services import reserved_port

BASE_DIR = Path(__file__).parent.parent
T = TypeVar("T")
PATIENCE = 120  # seconds; how long a test waits for what must come. How busy the machine is is no test's subject.


def wait_for(condition: Callable[[], T], *, seconds: float = PATIENCE, every: float = 0.05, what: str = "") -> T:
    """The first true value of `condition`, asked for every few hundredths of a second, or a failed test in the end."""
    deadline = time.monotonic() + seconds
    while True:
        if value := condition():
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"Not within {seconds} s: {what or condition}")
        time.sleep(every)


def somebody_waits_for_a_row() -> bool:
    """Somebody in the test database waits for a lock that another holds."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return bool(cursor.fetchone()[0])


def database_url() -> str:
    """The address of the test database, which Django has named after the configured one."""
    database = settings.DATABASES["default"]
    login = quote(database["USER"]) + (f":{quote(database['PASSWORD'])}" if database["PASSWORD"] else "")
    port = f":{database['PORT']}" if database["PORT"] else ""
    return f"postgresql://{login}@{quote(database['HOST'], safe='')}{port}/{database['NAME']}"


class Processes:
    """Starts processes by the Procfile's own commands, and stops every one of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *error: object) -> None:
        for process in self.started:
            self.kill(process)

    def start(self, name: str, **environment: str) -> subprocess.Popen[bytes]:
        """A process of the Procfile; its log is <name>.log in the test's folder."""
        surroundings = os.environ | {"DATABASE_URL": database_url(), "LEASE_SECONDS": "2"} | environment
        surroundings["PATH"] = f"{Path(sys.executable).parent}:{surroundings['PATH']}"
        command = f"exec {procfile()[name]}"
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                ["/bin/sh", "-c", command],
                cwd=BASE_DIR,
                env=surroundings,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.started.append(process)
        return process

    def start_worker(self, **environment: str) -> psutil.Process:
        """A worker that is ready; returns its child, in which predictions are made."""
        log = self.folder / "worker.log"
        before = log.read_text().count(" ready.") if log.exists() else 0
        process = self.start("worker", **environment)
        wait_for(lambda: log.read_text().count(" ready.") > before or process.poll() is not None, what="worker ready")
        assert process.poll() is None, log.read_text()
        return self.child(process)

    def child(self, process: subprocess.Popen[bytes]) -> psutil.Process:
        parent = psutil.Process(process.pid)
        wait_for(lambda: parent.children(recursive=True), what="the worker's child")
        return parent.children(recursive=True)[0]

    def start_web(self, **environment: str) -> str:
        """A web server that answers; returns its address."""
        address = f"http://127.0.0.1:{reserved_port()}"
        environment = {"PORT": address.rpartition(":")[2], "SITE_URL": address, "WEB_CONCURRENCY": "1"} | environment
        self.start("web", **environment)
        wait_for(lambda: self.answers(f"{address}/healthz"), what=f"{address}: {self.log('web')}")
        return address

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    @staticmethod
    def answers(url: str) -> bool:
        try:
            with urllib.request.urlopen(url, timeout=5) as response:
                return bool(response.status == 200)
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False

    @staticmethod
    def kill(process: subprocess.Popen[bytes]) -> None:
        """SIGKILL to the process and all it started."""
        with suppress(psutil.NoSuchProcess):
            family = psutil.Process(process.pid).children(recursive=True)
            for member in (psutil.Process(process.pid), *family):
                with suppress(psutil.NoSuchProcess):
                    member.send_signal(signal.SIGKILL)
        process.wait(timeout=PATIENCE)
