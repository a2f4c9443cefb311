"""The page of the API in a real browser: nothing that its policy forbids, and a call with a real token."""

from __future__ import annotations

import pytest
from playwright.sync_api import FilePayload, Page

from accounts.models import User
from tests import pictures
from tests.e2e.conftest import NewContext, Visitor
from tests.factories import make_token


def authorize(page: Page, token: str) -> None:
    page.locator(".btn.authorize").first.click()
    page.locator(".auth-container input").fill(token)
    page.locator(".auth-btn-wrapper .authorize").click()
    page.locator(".auth-btn-wrapper .btn-done").click()


def test_swagger_ui_sends_an_image_with_a_token(visitors: list[Visitor], owner: User) -> None:
    """That nothing is complained of in the console, the fixture asserts."""
    page = visitors[0].page
    page.goto("/api/docs/")
    authorize(page, make_token(owner))
    create = page.locator("#operations-predictions-create_predictions")
    create.locator(".opblock-summary-control").click()
    create.locator(".try-out__btn").click()
    create.locator(".json-schema-form-item-add").click()
    image = FilePayload(name="drawn.png", mimeType="image/png", buffer=pictures.png())
    create.locator("input[type=file]").first.set_input_files(image)
    create.locator(".execute").click()
    answer = create.locator(".live-responses-table")
    answer.wait_for()
    assert "202" in answer.inner_text()
    assert '"visibility": "private"' in answer.inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_follows_the_readers_scheme_and_fits_a_phone(new_context: NewContext, site: str, scheme: str) -> None:
    context = new_context(
        base_url=site, color_scheme="dark" if scheme == "dark" else "light", viewport={"width": 390, "height": 800}
    )
    page = context.new_page()
    page.goto("/api/docs/")
    page.locator(".opblock").first.wait_for()
    assert page.evaluate("document.documentElement.classList.contains('dark-mode')") == (scheme == "dark")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
