"""A real browser against a real site: gunicorn, a worker, PostgreSQL, Valkey."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

from predictions.models import ModelVersion
from tests.processes import PATIENCE, Processes

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
# Nothing but the site is reached, and nothing is asked of anyone else.
OPTIONS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")
DEADLINE = PATIENCE * 1000  # ms
expect.set_options(timeout=DEADLINE)
NewContext = Callable[..., BrowserContext]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    found = next((path for name in CHROMIUM if (path := shutil.which(name))), None)
    if found is None:
        pytest.fail("The browser tests need Chromium. Install it (Debian: apt-get install chromium).")
    with sync_playwright() as playwright:
        # Playwright's event loop runs in this thread; Django would take test code for asynchronous code.
        os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
        launched = playwright.chromium.launch(executable_path=found, args=list(OPTIONS))
        yield launched
        launched.close()
        del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture
def new_context(browser: Browser, processes: Processes) -> Iterator[NewContext]:
    """Makes people's browsers (Playwright's `new_context`), as patient as the tests; closed before the servers stop."""
    made: list[BrowserContext] = []

    def make(**options: Any) -> BrowserContext:
        made.append(browser.new_context(**options))
        made[-1].set_default_timeout(DEADLINE)
        return made[-1]

    yield make
    for context in made:
        context.close()


@pytest.fixture
def site(processes: Processes, model_version: ModelVersion) -> str:
    """The address of a running site with a worker."""
    processes.start("worker")
    return processes.start_web()


class Visitor:
    """A person with a browser of their own. What the browser complains of is kept in `complaints`."""

    def __init__(self, context: BrowserContext) -> None:
        self.context = context
        self.complaints: list[str] = []
        self.page: Page = context.new_page()
        self.page.on("console", self._listen)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _listen(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.complaints.append(message.text)


@pytest.fixture
def visitors(new_context: NewContext, site: str) -> Iterator[list[Visitor]]:
    """Two people who do not know each other; none may see an error in the browser's console."""
    people = [Visitor(new_context(base_url=site)) for _ in range(2)]
    yield people
    assert [person.complaints for person in people] == [[], []]
