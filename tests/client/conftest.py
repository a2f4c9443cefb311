"""The client as its users have it: a process of its own, against a real site with a worker."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from accounts.models import User
from predictions.models import ModelVersion
from tests import pictures
from tests.factories import make_token
from tests.processes import BASE_DIR, PATIENCE, Processes

SOURCE = BASE_DIR / "clients" / "python" / "src"


@dataclass(frozen=True)
class Idc:
    """Runs `idc` for a user of a site, with a configuration folder of its own."""

    home: Path
    server: str = ""
    token: str = ""

    def environment(self) -> dict[str, str]:
        surroundings = {name: value for name, value in os.environ.items() if not name.startswith("IDC_")}
        ours = {"IDC_SERVER": self.server, "IDC_TOKEN": self.token}
        return surroundings | {"PYTHONPATH": str(SOURCE), "HOME": str(self.home), "XDG_CONFIG_HOME": str(self.home)} | {
            name: value for name, value in ours.items() if value
        }  # fmt: skip

    @staticmethod
    def command(*arguments: str | Path) -> list[str]:
        return [sys.executable, "-m", "idc_finder_client", *map(str, arguments)]

    def run(self, *arguments: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments), env=self.environment(), cwd=self.home, input=stdin, capture_output=True,
            text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip

    @contextmanager
    def started(self, *arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
        """`idc` while it runs; killed at the end if it still does. It hears SIGINT, as in a terminal: whatever a shell
        starts in the background ignores it, these tests and what they start included."""
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        with subprocess.Popen(
            self.command(*arguments), env=self.environment(), cwd=self.home, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
        ) as process:  # fmt: skip
            signal.signal(signal.SIGINT, before)
            yield process
            if process.poll() is None:
                process.kill()


@pytest.fixture
def site(processes: Processes, model_version: ModelVersion) -> str:
    """A site with a worker that takes five images a request, so that small folders make many chunks."""
    processes.start("worker")
    return processes.start_web(IMAGES_PER_REQUEST="5")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@pytest.fixture
def idc(site: str, owner: User, home: Path) -> Idc:
    return Idc(home, site, make_token(owner))


def write_patches(folder: Path, number: int) -> Path:
    folder.mkdir()
    for seed in range(number):
        (folder / f"{seed:03d}.png").write_bytes(pictures.png(seed=seed))
    return folder


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def chunks_noted(journal: Path) -> int:
    return max(len(journal.read_text().splitlines()) - 1, 0) if journal.exists() else 0
