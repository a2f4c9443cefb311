"""The running site: from the press of "Analyse" to the answer in a real browser, memory, start."""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING

import psutil
from playwright.sync_api import FilePayload, Page

from benchmarks.running_site import chromium, running_site, sign_up
from ml.images import encode_png
from ml.synthetic import draw_patch

if TYPE_CHECKING:
    from tests.processes import Processes

PRESSES = 25
REST = 3.0  # seconds before measuring: the site is idle


def rows() -> list[tuple[str, str]]:
    """(what, figure) for the table."""
    with running_site() as processes:
        return _measure(processes)


def _measure(processes: Processes) -> list[tuple[str, str]]:
    started = time.perf_counter()
    child = processes.start_worker(LEASE_SECONDS="30")
    ready = time.perf_counter() - started
    address = processes.start_web(WEB_CONCURRENCY="2")
    web = psutil.Process(processes.started[-1].pid)
    time.sleep(REST)
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
    with chromium() as browser:
        page = browser.new_page(base_url=address)
        sign_up(page, "bench@example.org")
        return [_press(page, seed) for seed in range(PRESSES + 2)][2:]


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


def main() -> None:
    """Print the table by itself."""
    for what, figure in rows():
        print(f"| {what} | {figure} |")


if __name__ == "__main__":
    main()
