"""A site of one's own for as long as it is needed: PostgreSQL, Valkey, web server and worker in a temporary folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from playwright.sync_api import Browser, Page, sync_playwright

from idc_site.local_services import running_services

if TYPE_CHECKING:  # it reads the settings, which are set below
    from tests.processes import Processes

BASE_DIR = Path(__file__).parent.parent


@contextmanager
def running_site() -> Iterator[Processes]:
    """Starts processes of a site whose database is set up and empty."""
    folder = Path(tempfile.mkdtemp(prefix="idc-site-"))
    folder.chmod(0o755)
    try:
        with running_services(folder, is_lasting=True) as services:
            os.environ |= services | {
                "SECRET_KEY": "only-for-a-while",
                "DJANGO_SETTINGS_MODULE": "idc_site.settings",
                "STATIC_ROOT": str(folder / "static"),
                "LOG_LEVEL": "WARNING",
            }
            for command in ("setup -v 0", "collectstatic --noinput -v 0"):
                subprocess.run([sys.executable, "manage.py", *command.split()], cwd=BASE_DIR, check=True)
            from tests.processes import Processes

            with Processes(folder) as processes:
                yield processes
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def flask_page() -> Iterator[str]:
    """The address of benchmarks/flask_page.py, served as the site is: two processes, as many threads."""
    from idc_site.local_services import reserved_port
    from tests.processes import Processes, wait_for

    bind = f"127.0.0.1:{reserved_port()}"
    options = f"--bind {bind} --worker-class gthread --workers 2 --threads 24 --keep-alive 20 --timeout 120"
    command = [sys.executable, "-m", "gunicorn", "benchmarks.flask_page", *options.split(), "--no-control-socket"]
    server = subprocess.Popen([*command, "--log-level", "warning"], cwd=BASE_DIR)
    try:
        wait_for(lambda: Processes.answers(f"http://{bind}/"), seconds=120, what="the Flask page")
        yield f"http://{bind}"
    finally:
        server.terminate()
        server.wait()


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        yield browser
        browser.close()


def sign_up(page: Page, email: str) -> None:
    page.goto("/accounts/signup/")
    page.locator("[name=email]").fill(email)
    page.locator("[name=password1]").fill("korrekt-pferd-9")
    page.locator("main button").click()
    page.locator("#upload").wait_for()
