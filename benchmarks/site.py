"""The running site: from the press of "Analyse" to the answer in a real browser, memory, start."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import psutil
from playwright.sync_api import FilePayload, Page, sync_playwright

from idc_site.local_services import running_services
from ml.images import encode_png
from ml.synthetic import draw_patch

if TYPE_CHECKING:  # it reads the settings, which are set below
    from tests.processes import Processes

BASE_DIR = Path(__file__).parent.parent
PRESSES = 25
ROUND = 3.0  # seconds of rest before measuring: the site is idle


def rows() -> list[tuple[str, str]]:
    """(what, figure) for the table."""
    folder = Path(tempfile.mkdtemp(prefix="idc-bench-"))
    folder.chmod(0o755)
    try:
        with running_services(folder, is_lasting=True) as services:
            os.environ |= services | {
                "SECRET_KEY": "only-for-the-benchmark",
                "DJANGO_SETTINGS_MODULE": "idc_site.settings",
                "STATIC_ROOT": str(folder / "static"),
                "LOG_LEVEL": "WARNING",
            }
            for command in ("setup -v 0", "collectstatic --noinput -v 0"):
                subprocess.run([sys.executable, "manage.py", *command.split()], cwd=BASE_DIR, check=True)
            from tests.processes import Processes

            with Processes(folder) as processes:
                return _measure(processes)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _measure(processes: Processes) -> list[tuple[str, str]]:
    started = time.perf_counter()
    child = processes.start_worker(LEASE_SECONDS="30")
    ready = time.perf_counter() - started
    address = processes.start_web(WEB_CONCURRENCY="2")
    web = psutil.Process(processes.started[-1].pid)
    time.sleep(ROUND)
    presses = _presses(address)
    largest = max(process.memory_full_info().pss for process in web.children())
    return [
        ("press of Analyse to the answer, p50", f"{1000 * median(presses):.0f} ms"),
        ("press of Analyse to the answer, p95", f"{1000 * sorted(presses)[int(0.95 * len(presses))]:.0f} ms"),
        ("memory (PSS) of a web process", f"{largest / 1024**2:.0f} MB"),
        ("memory (PSS) of the worker's child", f"{child.memory_full_info().pss / 1024**2:.0f} MB"),
        ("worker: start to ready", f"{ready:.1f} s"),
    ]


def _presses(address: str) -> list[float]:
    """Seconds from the press to the answer on the page, for new patches one after the other."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(base_url=address)
        page.goto("/accounts/signup/")
        page.locator("[name=email]").fill("bench@example.org")
        page.locator("[name=password1]").fill("korrekt-pferd-9")
        page.locator("main button").click()
        seconds = [_press(page, seed) for seed in range(PRESSES + 2)]
        browser.close()
    return seconds[2:]


def _press(page: Page, seed: int) -> float:
    page.goto("/predictions/new/")
    content = encode_png(draw_patch(5000 + seed, cellularity=0.5))
    page.locator("#image").set_input_files(FilePayload(name="patch.png", mimeType="image/png", buffer=content))
    page.locator(".chosen-size", has_text="50 × 50").wait_for()
    page.locator("[name=visibility][value=private]").check()
    page.wait_for_timeout(200)
    started = time.perf_counter()
    page.locator("#analyse").click()
    page.locator("[data-status=succeeded]").wait_for()
    return time.perf_counter() - started
