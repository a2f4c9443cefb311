"""One's own data in a browser: archive, download, time limit, erasure; accessible, and without JavaScript."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from accounts.models import Export, User
from predictions.models import ModelVersion, Patch, PatchImage, Prediction
from tests import pictures
from tests.accounts.own_data import tables_that_hold
from tests.e2e.conftest import NewContext, Visitor
from tests.e2e.test_main_job import PASSWORD, analyse, choose, chosen, expect_answer, sign_up
from tests.e2e.test_webhook_pages import check
from tests.processes import Processes, wait_for

pytestmark = pytest.mark.django_db(transaction=True)
EMAIL = "ada@example.org"


def erase(page: Page) -> None:
    page.get_by_role("link", name="Erase my account").click()
    page.get_by_label("Type the e-mail address").fill(EMAIL)
    page.get_by_label("Your password").fill(PASSWORD)
    page.get_by_role("button", name="Erase everything for good").click()
    page.get_by_role("heading", name="Your account is erased").wait_for()


def downloaded(page: Page, folder: Path) -> zipfile.ZipFile:
    with page.expect_download() as download:
        page.get_by_role("link", name="Download the archive").click()
    file = folder / download.value.suggested_filename
    download.value.save_as(file)
    return zipfile.ZipFile(file)


def test_export_download_erase(visitors: list[Visitor], processes: Processes, tmp_path: Path) -> None:
    owner, stranger = (person.page for person in visitors)
    sign_up(owner, EMAIL)
    choose(owner, chosen("one.png", pictures.png(seed=1)))
    analyse(owner, "public")
    expect_answer(owner)
    result = owner.url
    stranger.goto("/gallery/")
    expect(stranger.locator(".card")).to_have_count(1)

    owner.get_by_role("link", name="Account").click()
    owner.get_by_role("link", name="Your data").click()
    owner.get_by_role("button", name="Make an archive").click()
    expect(owner.get_by_text("It waits to be made")).to_be_visible()
    processes.start("chores")
    expect(owner.locator("[data-export=succeeded]")).to_be_visible()  # by itself
    with downloaded(owner, tmp_path) as archive:
        assert archive.testzip() is None
        patch = Patch.objects.get()
        assert archive.read(f"images/{patch.uuid}.png") == patch.image.png()
        assert EMAIL in archive.read("account.json").decode()

    erase(owner)
    assert stranger.goto(result).status == 404  # type: ignore[union-attr]  # there is an answer
    stranger.goto("/gallery/")
    expect(stranger.locator(".card")).to_have_count(0)
    owner.goto("/accounts/login/")
    owner.get_by_label("Email").fill(EMAIL)
    owner.get_by_label("Password").fill(PASSWORD)
    owner.locator("main").get_by_role("button", name="Log in", exact=True).click()
    expect(owner.get_by_text("do not belong together")).to_be_visible()
    wait_for(lambda: not User.objects.exists(), what=processes.log("chores"))
    rows = [model.objects.count() for model in (Patch, PatchImage, Prediction, Export)]
    assert rows == [0, 0, 0, 0]
    assert tables_that_hold(EMAIL) == tables_that_hold(patch.sha256) == set()
    sign_up(owner, EMAIL)
    # The 404 of the stranger's look is in the console, and is as it should be.
    visitors[1].complaints.clear()


@pytest.mark.parametrize(("scheme", "width"), [("light", 320), ("dark", 1280)])
def test_the_pages_are_accessible_and_fit(
    new_context: NewContext, processes: Processes, model_version: ModelVersion, scheme: str, width: int
) -> None:
    processes.start("chores")
    context = new_context(
        base_url=processes.start_web(PRIVATE_PATCHES_DAYS="300"),
        color_scheme=scheme,
        viewport={"width": width, "height": 800},
    )
    page = context.new_page()
    sign_up(page, EMAIL)
    choose(page, chosen("one.png", pictures.png(seed=1)))
    analyse(page)
    page.locator("[data-status=queued]").wait_for()
    Patch.objects.update(created_at="2020-01-01T00:00:00Z")
    page.goto("/accounts/data/")
    check(page, width)
    page.get_by_role("button", name="Make an archive").click()
    check(page, width)
    page.locator("[data-export=succeeded]").wait_for()
    check(page, width)
    page.get_by_label("after 30 days").check()
    page.get_by_role("button", name="Save").click()
    page.get_by_role("alert").wait_for()  # the chores know of no limit: the patch is there
    check(page, width)
    page.goto("/accounts/data/erase/")
    page.get_by_label("Type the e-mail address").fill("x@example.org")
    page.get_by_label("Your password").fill("wrong")
    page.get_by_role("button", name="Erase everything for good").click()
    page.get_by_role("alert").wait_for()
    check(page, width)
    page.goto("/accounts/data/")
    erase(page)
    check(page, width)


def test_all_works_without_scripts(
    new_context: NewContext, processes: Processes, model_version: ModelVersion, tmp_path: Path
) -> None:
    processes.start("chores")
    context = new_context(base_url=processes.start_web(), java_script_enabled=False)
    page = context.new_page()
    sign_up(page, EMAIL)
    page.goto("/accounts/data/")
    page.get_by_label("after 90 days").check()
    page.get_by_role("button", name="Save").click()
    page.get_by_text("It is saved how long").wait_for()
    expect(page.get_by_label("after 90 days")).to_be_checked()
    page.get_by_role("button", name="Make an archive").click()
    page.locator("[data-export=succeeded]").wait_for()  # the page reloads itself
    with downloaded(page, tmp_path) as archive:
        assert archive.testzip() is None
    erase(page)
