"""Gallery and history in a browser: filter, sort, page to the end, choose, download; report a case, and it is gone."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from accounts.models import User
from predictions.models import ModelVersion, Patch, Prediction, Visibility
from reviews.models import Report
from tests.e2e.conftest import NewContext
from tests.factories import answer, fail, make_user, submit_drawn
from tests.processes import Processes

pytestmark = pytest.mark.django_db(transaction=True)
PASSWORD = "korrekt-pferd-9"
ROWS = 60


@pytest.fixture
def address(processes: Processes, model_version: ModelVersion) -> str:
    """A site with a person who has sent 60 patches and shares most of them, another person, and staff."""
    owner = make_user("owner@example.org", password=PASSWORD)
    make_user("other@example.org", password=PASSWORD)
    make_user("staff@example.org", password=PASSWORD, is_staff=True, is_superuser=True)
    rows = submit_drawn(owner, *range(ROWS), visibility=Visibility.PUBLIC)
    for number, row in enumerate(rows):
        answer(row, (number + 0.5) / ROWS)
    fail(submit_drawn(owner, ROWS)[0])
    Patch.objects.filter(pk=rows[ROWS - 1].patch_id).update(original_name="=1+1.png", reviewers_say="positive")
    return processes.start_web()


def log_in(page: Page, name: str) -> None:
    page.goto("/accounts/login/")
    page.get_by_label("Email").fill(f"{name}@example.org")
    page.get_by_label("Password").fill(PASSWORD)
    page.locator("main").get_by_role("button", name="Log in", exact=True).click()
    expect(page.get_by_role("link", name="History")).to_be_visible()


def saved(page: Page, button: str, role: str) -> list[list[str]]:
    with page.expect_download() as started:
        page.get_by_role(role, name=button).click()  # type: ignore[arg-type]  # one of its literals
    return list(csv.reader(Path(started.value.path()).read_text().splitlines()))


def test_filter_sort_page_choose_and_download(new_context: NewContext, address: str) -> None:
    context = new_context(base_url=address, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    log_in(page, "owner")
    page.goto("/predictions/")
    expect(page.locator("#counted")).to_have_text("61 patches")
    page.get_by_label("Answer").select_option("positive")
    page.get_by_label("Order").select_option("unlikely")
    page.get_by_role("button", name="Filter").click()
    expect(page.locator("#counted")).to_have_text("30 patches")
    expect(page.locator(".chip")).to_have_count(2)
    expect(page.locator(".card-answer").first).to_contain_text("50.8")
    page.get_by_role("link", name="Next").click()
    expect(page.locator(".card")).to_have_count(6)
    expect(page.locator(".card-answer").last).to_contain_text("99.2")
    expect(page.get_by_role("link", name="Next")).to_have_count(0)
    page.get_by_role("checkbox").last.check()
    page.get_by_role("checkbox").first.check()
    chosen = saved(page, "Selected as CSV", "button")
    assert [row[0] for row in chosen[1:]] == ["'=1+1.png", "drawn-54.png"]
    everything = saved(page, "All as CSV", "link")
    assert len(everything) == 31
    page.get_by_role("link", name="Take away: Answer").click()
    expect(page.locator("#counted")).to_have_text("60 patches")
    page.get_by_role("link", name="Previous").wait_for(state="detached")
    for _ in range(2):
        page.get_by_role("link", name="Next").click()
    expect(page.locator(".card")).to_have_count(12)
    page.get_by_role("link", name="Batch").first.click()
    expect(page.get_by_role("heading", name="Your batch")).to_be_visible()


def test_a_reported_case_is_hidden_by_staff_and_gone(new_context: NewContext, address: str) -> None:
    people = {name: new_context(base_url=address) for name in ("other", "staff", "anyone")}
    other, staff, anyone = (context.new_page() for context in people.values())
    case = Prediction.objects.get(patch__original_name="=1+1.png")
    anyone.goto("/gallery/?reviewed=yes")
    expect(anyone.locator(".tag-reviewed")).to_have_text("reviewers: IDC")
    anyone.locator(".card > a").click()
    result = anyone.url
    anyone.get_by_role("link", name="Log in to report this patch").click()
    expect(anyone.get_by_role("heading", name="Log in")).to_be_visible()
    log_in(other, "other")
    other.goto(result)
    other.get_by_role("link", name="Report this patch").click()
    other.get_by_role("button", name="Send the report").click()  # the browser says that a reason is missing
    expect(other.get_by_role("heading", name="Report a patch")).to_be_visible()
    other.get_by_label("The answer is wrong or misleads").check()
    other.get_by_label("Anything that helps").fill("Benign, I think.")
    other.get_by_role("button", name="Send the report").click()
    expect(other.get_by_role("status").first).to_contain_text("Thank you. Staff will look at this patch.")
    log_in(staff, "staff")
    staff.goto("/admin/reviews/report/")
    expect(staff.locator("#result_list")).to_contain_text("Benign, I think.")
    staff.locator("[name=_selected_action]").check()
    staff.locator("[name=action]").select_option("hide")
    staff.get_by_role("button", name="Go").click()
    expect(staff.locator(".messagelist")).to_contain_text("1 row done.")
    assert (Report.objects.get().outcome, Report.objects.get().settled_by) == (
        "hidden", User.objects.get(email="staff@example.org")
    )  # fmt: skip
    for person in (other, anyone):
        assert person.goto(result).status == 404  # type: ignore[union-attr]  # there is an answer
        person.goto("/gallery/?reviewed=yes")
        expect(person.get_by_text("No shared case matches.")).to_be_visible()
    assert str(case.uuid) not in other.content()


# How much wider each choice would be, were it let: a text that is cut.
CUT = """all => all.filter(one => {
    const given = one.offsetWidth;
    Object.assign(one.style, {position: "absolute", width: "auto", maxWidth: "none"});
    return one.offsetWidth > given;
}).map(one => one.name)"""


def test_no_choice_of_a_filter_is_cut(new_context: NewContext, address: str) -> None:
    context = new_context(base_url=address, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    log_in(page, "owner")
    page.goto("/predictions/")
    assert page.locator(".filters select").count() == 8
    assert page.locator(".filters select").evaluate_all(CUT) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1280])
def test_the_pages_are_accessible_and_fit(new_context: NewContext, address: str, scheme: str, width: int) -> None:
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

    log_in(page, "other")
    case = Prediction.objects.get(patch__original_name="=1+1.png")
    for path in ("/gallery/", "/gallery/?label=positive&sort=likely", "/predictions/", f"/reviews/report/{case.uuid}/"):
        page.goto(path)
        check()
    page.goto("/gallery/?agreed=same")
    if width < 768:
        expect(page.get_by_label("Order")).not_to_be_visible()
        page.get_by_text("Filter and sort").click()
    expect(page.get_by_label("Order")).to_be_visible()
    check()
    context.clear_cookies()
    log_in(page, "owner")
    page.goto("/predictions/?label=negative&min_probability=0.1&since=2026-01-01&sort=doubtful")
    check()
    assert complaints == []
