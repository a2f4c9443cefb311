"""Webhooks in a browser: made, tested, seen to arrive; accessible, and without JavaScript."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from predictions.models import ModelVersion
from tests.e2e.conftest import NewContext
from tests.e2e.test_main_job import sign_up
from tests.processes import Processes, wait_for
from tests.webhooks.receiver import Receiver, running, says

pytestmark = pytest.mark.django_db(transaction=True)
ALLOWED = {"WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8"}


def check(page: Page, width: int) -> None:
    found = Axe().run(page)
    assert found.violations_count == 0, f"{page.url}: {found.generate_report()}"
    assert page.evaluate("document.documentElement.scrollWidth") <= width, page.url


@pytest.mark.parametrize(("scheme", "width"), [("light", 320), ("dark", 1280)])
def test_the_pages_are_accessible_and_fit(
    new_context: NewContext, processes: Processes, model_version: ModelVersion, scheme: str, width: int
) -> None:
    processes.start("chores", **ALLOWED)
    context = new_context(
        base_url=processes.start_web(**ALLOWED),
        color_scheme=scheme,
        viewport={"width": width, "height": 800},
    )
    page = context.new_page()
    sign_up(page, "owner@example.org")
    with running(Receiver()) as receiver:
        receiver.answer = says(500, "x" * 300)
        page.goto("/accounts/webhooks/")
        check(page, width)
        page.get_by_label("Which address").fill("http://10.0.0.1/" + "a" * 200)
        page.get_by_role("button", name="Make the webhook").click()
        check(page, width)
        page.get_by_label("Which address").fill(receiver.url() + "a" * 200)
        page.get_by_role("button", name="Make the webhook").click()
        page.locator(".secret").wait_for()
        check(page, width)
        page.get_by_role("link", name=receiver.url()).click()
        page.get_by_role("button", name="Send a test").click()
        page.get_by_text("A test is on its way").wait_for()
        wait_for(lambda: page.reload() and page.locator("[data-status=failed]").count(), what="the delivery")
    page.locator("summary", has_text="What was sent").click()
    page.locator("summary", has_text="Delete").click()
    check(page, width)


def test_all_works_without_scripts(new_context: NewContext, processes: Processes, model_version: ModelVersion) -> None:
    context = new_context(base_url=processes.start_web(**ALLOWED), java_script_enabled=False)
    page = context.new_page()
    sign_up(page, "owner@example.org")
    page.goto("/accounts/email/")
    page.get_by_role("link", name="Webhooks").click()
    page.get_by_label("Which address").fill("http://127.0.0.1:65535/hook")
    page.get_by_role("button", name="Make the webhook").click()
    page.get_by_role("link", name="127.0.0.1").click()
    page.get_by_role("button", name="Pause").click()
    page.get_by_text("paused by you").wait_for()
    page.get_by_role("button", name="Resume").click()
    page.get_by_role("button", name="Send a test").click()
    page.locator("[data-status=queued]").wait_for()
    page.locator("summary", has_text="New secret").click()
    page.get_by_role("button", name="Make a new secret").click()
    page.get_by_text("whsec_").wait_for()
    page.locator("summary", has_text="Delete").click()
    page.get_by_role("button", name="Delete for good").click()
    page.get_by_text("You have none yet.").wait_for()
