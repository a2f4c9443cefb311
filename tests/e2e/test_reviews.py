"""A whole round of reviewing, by keyboard alone: the score is out of reach until the answer."""

from __future__ import annotations

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, Request, expect

from predictions.models import ModelVersion, Prediction
from reviews.models import Draw, Review
from reviews.services import count_weeks
from tests.e2e.conftest import NewContext
from tests.factories import make_reviewer, make_user
from tests.processes import Processes
from tests.reviews.people import answered

pytestmark = pytest.mark.django_db(transaction=True)
PASSWORD = "korrekt-pferd-9"
SCORES = [0.8761, 0.1231, 0.5321, 0.6543]
KEYS = {"1": "positive", "n": "negative", "3": "unsure", "x": "not_a_patch"}
# Asked of the page itself: Playwright's own events come only while a method of it runs.
FETCHED = "uuid => performance.getEntriesByType('resource').some(one => one.name.includes(uuid))"


@pytest.fixture
def address(processes: Processes, model_version: ModelVersion) -> str:
    """A site with four patches to review, and a reviewer who may log in."""
    answered(make_user("owner@example.org"), *SCORES)
    reviewer = make_reviewer("reviewer@example.org")
    reviewer.set_password(PASSWORD)
    reviewer.save()
    count_weeks()
    return processes.start_web()


def log_in(page: Page) -> None:
    page.goto("/accounts/login/")
    page.get_by_label("Email").fill("reviewer@example.org")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in", exact=True).last.click()
    page.get_by_role("link", name="Reviews").click()


def test_a_round_by_keyboard_with_the_score_out_of_reach(new_context: NewContext, address: str) -> None:
    context = new_context(base_url=address)
    page = context.new_page()
    log_in(page)
    requests: list[Request] = []
    page.on("request", lambda request: requests.append(request))
    page.get_by_role("link", name="Start reviewing").focus()
    page.keyboard.press("Enter")
    for number, (key, what) in enumerate(KEYS.items(), start=1):
        expect(page.get_by_role("heading", name="What does this patch show?")).to_be_visible()
        draw = Draw.objects.filter(outcome="open").earliest("pk")
        prediction = draw.patch.current_prediction
        assert prediction
        source = page.content()
        secrets = (prediction.uuid, draw.patch.uuid, draw.patch.sha256, prediction.probability, "mobilenet")
        assert [secret for secret in secrets if str(secret) in source] == []
        expect(page.locator(".review-image")).to_have_js_property("naturalWidth", 50)
        if number < len(KEYS):
            following = Draw.objects.filter(outcome="open").latest("pk")
            page.wait_for_function(FETCHED, arg=str(following.uuid))
        page.locator("#id_comment").press_sequentially("n4")  # keys are letters there
        page.get_by_role("heading", name="What does this patch show?").focus()
        page.keyboard.press(key)
        expect(page.locator("#outcome")).to_be_focused()
        assert Review.objects.get(draw=draw).answer == what
        expect(page.locator(".review-opinion")).to_contain_text(f"{100 * (prediction.probability or 0):.1f}")
        page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Nothing to review")).to_be_visible()
    assert set(Review.objects.values_list("comment", flat=True)) == {"n4"}
    leading = {str(uuid) for uuid in Prediction.objects.values_list("uuid", flat=True)}
    assert [request.url for request in requests if any(uuid in request.url for uuid in leading)] == []


def test_skip_undo_and_keys_switched_off(new_context: NewContext, address: str) -> None:
    context = new_context(base_url=address)
    page = context.new_page()
    log_in(page)
    page.get_by_role("link", name="Start reviewing").click()
    keys = page.get_by_label("Answer by keys")
    expect(keys).to_be_visible()
    first = page.locator(".review-image").get_attribute("src") or ""
    page.keyboard.press("s")
    expect(page.locator(".review-image")).not_to_have_attribute("src", first)
    assert Draw.objects.filter(outcome="skipped").count() == 1
    keys.uncheck()
    page.reload()
    expect(keys).to_be_visible()
    expect(keys).not_to_be_checked()
    page.keyboard.press("1")
    page.get_by_role("button", name=re.compile("Unsure")).click()
    page.get_by_text("Change your review").click()
    page.get_by_label("no IDC").check()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_contain_text("Your review is changed.")
    review = Review.objects.get()
    assert (review.first_answer, review.answer) == ("unsure", "negative")
    page.get_by_role("link", name="My reviews").click()
    expect(page.locator(".card")).to_have_count(1)


def test_a_review_without_scripts(new_context: NewContext, address: str) -> None:
    context = new_context(base_url=address, java_script_enabled=False)
    page = context.new_page()
    log_in(page)
    page.get_by_role("link", name="Start reviewing").click()
    page.get_by_role("button", name=re.compile(r"^\W*1?\s*IDC")).click()
    expect(page.locator("#outcome")).to_contain_text("You said: IDC")
    page.get_by_role("link", name="Next patch").click()
    page.get_by_role("button", name=re.compile("Skip")).click()
    expect(page.get_by_role("heading", name="What does this patch show?")).to_be_visible()
    assert sorted(Draw.objects.values_list("outcome", flat=True)) == ["answered", "open", "open", "skipped"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1280])
def test_every_page_of_reviewers_is_accessible_and_fits(
    new_context: NewContext, address: str, scheme: str, width: int
) -> None:
    context = new_context(
        base_url=address,
        color_scheme=scheme,
        viewport={"width": width, "height": 800},
    )
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)

    def check() -> None:
        found = Axe().run(page)
        assert found.violations_count == 0, f"{page.url}: {found.generate_report()}"
        assert page.evaluate("document.documentElement.scrollWidth") <= width, page.url

    log_in(page)
    check()
    page.get_by_role("link", name="Start reviewing").click()
    expect(page.get_by_label("Answer by keys")).to_be_visible()
    check()
    page.keyboard.press("2")
    expect(page.locator("#outcome")).to_be_visible()
    check()
    page.get_by_text("Change your review").click()
    check()
    version = ModelVersion.objects.get().version
    for path in ("/reviews/mine/", "/reviews/evidence/", f"/models/{version}/evidence/", f"/models/{version}/"):
        page.goto(path)
        check()
        if width < 768 and path.endswith("/evidence/") and version in path:
            figures = page.get_by_role("region", name="Figures", exact=True)
            figures.press("ArrowRight")
            page.wait_for_function("one => one.scrollLeft > 0", arg=figures.element_handle())
    page.goto(Review.objects.get().patch.current_prediction.get_absolute_url())  # type: ignore[union-attr]  # it has one
    check()
    assert complaints == []
