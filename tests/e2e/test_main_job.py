"""The main job in a browser: sign up, drop patches, see the answers, find them again, share one, take it back."""

from __future__ import annotations

import os
import re
import zipfile
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import FilePayload, Page, Route, expect

from tests import pictures
from tests.api.test_creating import packed
from tests.e2e.conftest import NewContext, Visitor
from tests.processes import Processes, wait_for

pytestmark = pytest.mark.django_db(transaction=True)
PASSWORD = "korrekt-pferd-9"


def sign_up(page: Page, email: str) -> None:
    page.goto("/")
    page.get_by_role("link", name="Sign up").click()
    page.get_by_label("Email").fill(email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign up").click()
    expect(page.get_by_role("heading", name="Analyse patches")).to_be_visible()
    page.wait_for_load_state()  # its script has run, where scripts run


def chosen(name: str, content: bytes) -> FilePayload:
    return FilePayload(name=name, mimeType="image/png", buffer=content)


def choose(page: Page, *files: FilePayload) -> None:
    page.locator("#image").set_input_files(files)


def analyse(page: Page, visibility: str = "private") -> None:
    page.locator(f"[name=visibility][value={visibility}]").check()
    page.get_by_role("button", name="Analyse", exact=True).click()


def expect_answer(page: Page) -> str:
    """Waits for the answer on a result page and returns it."""
    expect(page.locator("[data-status=succeeded]")).to_be_visible()
    return page.locator(".answer").inner_text()


def test_from_sign_up_to_the_gallery_and_back(visitors: list[Visitor]) -> None:
    owner, stranger = (person.page for person in visitors)
    sign_up(owner, "owner@example.org")
    choose(owner, chosen("one.png", pictures.png(seed=1)))
    expect(owner.locator(".chosen-item")).to_contain_text("50 × 50 px")
    analyse(owner)
    assert re.fullmatch(r"IDC positive [<>]? ?\d+\.\d\s%", expect_answer(owner))
    result = owner.url

    owner.get_by_role("link", name="History").click()
    expect(owner.locator(".card")).to_have_count(1)
    owner.locator(".card > a").click()
    expect(owner).to_have_url(result)

    assert stranger.goto(result).status == 404  # type: ignore[union-attr]  # there is an answer
    owner.get_by_role("button", name="Share in the gallery").click()
    expect(owner.get_by_role("status")).to_contain_text("This patch is public now.")
    stranger.goto("/gallery/")
    stranger.locator(".card a").click()
    expect(stranger).to_have_url(result)
    expect(stranger.get_by_role("button", name="Make private")).to_have_count(0)

    owner.get_by_role("button", name="Make private").click()
    expect(owner.get_by_role("status")).to_contain_text("Only you see this patch now.")
    assert stranger.goto(result).status == 404  # type: ignore[union-attr]  # there is an answer
    stranger.goto("/gallery/")
    expect(stranger.locator(".card")).to_have_count(0)

    owner.locator("summary", has_text="Delete").click()
    owner.get_by_role("button", name="Delete for good").click()
    expect(owner.get_by_text("You have sent no patch yet.")).to_be_visible()
    # The two 404s above are what was wanted; the browser reports each as a failed load.
    visitors[1].complaints[:] = [text for text in visitors[1].complaints if "404" not in text]


def test_many_files_each_succeed_or_fail_alone(visitors: list[Visitor]) -> None:
    page = visitors[0].page
    sign_up(page, "owner@example.org")
    good = [chosen(f"{seed}.png", pictures.png(seed=seed)) for seed in range(60)]  # more than one chunk
    damaged = chosen("damaged.png", pictures.png()[:-4] + b"\0\0\0\0")
    choose(page, *good, damaged, chosen("note.txt", b"text"), chosen("tiny.png", pictures.png(20, 20)))
    expect(page.locator(".chosen-item", has_text="note.txt")).to_contain_text("not a PNG, JPEG or TIFF")
    expect(page.locator(".chosen-item", has_text="tiny.png")).to_contain_text("Too small or too long")
    for name in ("note.txt", "tiny.png"):
        page.locator(".chosen-item", has_text=name).get_by_role("button", name="Remove").click()
    analyse(page)
    expect(page.locator("#send-problem")).to_contain_text("Being analysed: 60. The others were not accepted")
    expect(page.locator(".chosen-item", has_text="damaged.png")).to_contain_text("The file is damaged")
    page.get_by_role("link", name="See the answers").click()
    expect(page.locator("#batch-counts")).to_contain_text("61 of 61 done, 60 answered. 1 file was not accepted.")
    expect(page.locator("#batch")).not_to_have_attribute("hx-get", re.compile("."))
    expect(page.locator(".outcomes")).to_contain_text("damaged.png")


def test_an_archive_goes_alone_and_says_how_many_of_its_files_were_taken(visitors: list[Visitor]) -> None:
    page = visitors[0].page
    sign_up(page, "owner@example.org")
    members = {f"study/{seed}.png": pictures.png(seed=seed) for seed in range(3)} | {"study/notes.txt": b"text"}
    archive = FilePayload(name="study.zip", mimeType="application/zip", buffer=packed(members))
    choose(page, archive, chosen("one.png", pictures.png(seed=9)), chosen("note.txt", b"text"))
    row = page.locator(".chosen-item", has_text="study.zip")
    expect(row).to_contain_text("An archive: each picture in it is analysed.")
    analyse(page)
    expect(row).to_contain_text("Pictures taken: 3. Refused: 1.")
    page.get_by_role("link", name="See the answers").click()
    expect(page.locator("#batch-counts")).to_contain_text("5 of 5 done, 4 answered. 1 file was not accepted.")
    expect(page.locator(".outcomes")).to_contain_text("study/notes.txt")


def test_drop_paste_and_example(visitors: list[Visitor]) -> None:
    page = visitors[0].page
    sign_up(page, "owner@example.org")
    transfer = page.evaluate_handle(
        """async ([one, two]) => {
            const transfer = new DataTransfer();
            for (const [name, address] of [["one.png", one], ["two.png", two]]) {
                const blob = await (await fetch(address)).blob();
                transfer.items.add(new File([blob], name, { type: "image/png" }));
            }
            return transfer;
        }""",
        ["/examples/0.png", "/examples/1.png"],
    )
    page.dispatch_event(".drop", "drop", {"dataTransfer": transfer})
    expect(page.locator(".chosen-item")).to_have_count(2)
    page.evaluate(
        "transfer => document.dispatchEvent(new ClipboardEvent('paste', { clipboardData: transfer }))", transfer
    )
    expect(page.locator(".chosen-item")).to_have_count(4)
    page.reload()
    page.get_by_text("Try an example").click()
    page.get_by_alt_text("Drawn example 4").click()
    analyse(page, "public")
    expect_answer(page)
    expect(page.get_by_text("This is a drawn example. It shows no tissue")).to_be_visible()
    page.goto("/gallery/")
    expect(page.locator(".card")).to_contain_text("drawn, not tissue")


def test_what_is_missing_is_said_before_anything_is_sent(visitors: list[Visitor]) -> None:
    page = visitors[0].page
    sign_up(page, "owner@example.org")
    page.get_by_role("button", name="Analyse", exact=True).click()
    expect(page.locator("#send-problem")).to_have_text("Choose at least one file that can be analysed.")
    choose(page, chosen("one.png", pictures.png()))
    page.get_by_role("button", name="Analyse", exact=True).click()
    expect(page.locator("#send-problem")).to_have_text("Choose who may see these patches.")


def test_a_lost_connection_is_survived(visitors: list[Visitor]) -> None:
    page = visitors[0].page
    sign_up(page, "owner@example.org")
    choose(page, chosen("one.png", pictures.png()))
    failures = []

    def fail_once(route: Route) -> None:
        failures.append(route)
        if len(failures) == 1:
            route.abort("connectionreset")
        else:
            route.continue_()

    page.route("**/api/v1/predictions/", fail_once)
    analyse(page)
    expect_answer(page)
    assert len(failures) == 2
    visitors[0].complaints[:] = [text for text in visitors[0].complaints if "ERR_CONNECTION_RESET" not in text]


def test_one_file_works_without_scripts(new_context: NewContext, site: str) -> None:
    context = new_context(base_url=site, java_script_enabled=False)
    page = context.new_page()
    sign_up(page, "plain@example.org")
    choose(page, chosen("one.png", pictures.png()))
    analyse(page)
    expect(page.locator("[data-status=succeeded]")).to_be_visible()


def test_an_upload_waits_for_its_worker_on_the_open_page(
    new_context: NewContext, processes: Processes, model_version: object
) -> None:
    context = new_context(base_url=processes.start_web())
    page = context.new_page()
    sign_up(page, "patient@example.org")
    choose(page, chosen("one.png", pictures.png()))
    analyse(page)
    expect(page.get_by_text("Waiting for a worker")).to_be_visible()
    processes.start("worker")
    expect(page.locator("[data-status=succeeded]")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1280])
def test_every_page_is_accessible_and_fits(new_context: NewContext, site: str, scheme: str, width: int) -> None:
    context = new_context(
        base_url=site,
        color_scheme=scheme,
        viewport={"width": width, "height": 800},
    )
    page = context.new_page()

    def check() -> None:
        found = Axe().run(page)
        assert found.violations_count == 0, f"{page.url}: {found.generate_report()}"
        assert page.evaluate("document.documentElement.scrollWidth") <= width, page.url

    for address in ("/", "/gallery/", "/accounts/login/", "/accounts/signup/", "/accounts/password/reset/"):
        page.goto(address)
        check()
    sign_up(page, "owner@example.org")
    choose(page, chosen("one.png", pictures.png(60, 60)), chosen("note.txt", b"text"))
    expect(page.locator(".chosen-item").last).to_contain_text("not a PNG")
    check()
    page.get_by_role("button", name="Remove").last.click()
    analyse(page, "public")
    expect_answer(page)
    check()
    result = page.url
    for address in ("/", "/predictions/", "/gallery/", "/accounts/email/", "/accounts/password/change/", "/nothing/"):
        page.goto(address)
        check()
    page.goto(result)
    page.locator("summary", has_text="Delete").click()
    check()


def test_everything_can_be_done_from_the_keyboard(visitors: list[Visitor]) -> None:
    page = visitors[0].page
    sign_up(page, "owner@example.org")
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the content")).to_be_focused()
    with page.expect_file_chooser() as chooser:
        page.locator("#image").focus()
        page.keyboard.press("Enter")
    chooser.value.set_files(files=[chosen("one.png", pictures.png())])
    page.locator("[name=visibility]").first.focus()
    page.keyboard.press("Space")
    page.locator("#analyse").focus()
    page.keyboard.press("Enter")
    expect_answer(page)


@pytest.mark.data
def test_twenty_real_patches_at_once(visitors: list[Visitor]) -> None:
    page = visitors[0].page
    sign_up(page, "owner@example.org")
    with zipfile.ZipFile(Path(os.environ["IDC_DATA"]) / "idc-val.zip") as archive:
        names = [name for name in archive.namelist() if name.endswith(".png")][::283][:20]
        files = [chosen(name.rpartition("/")[2], archive.read(name)) for name in names]
    choose(page, *files)
    analyse(page)
    expect(page.locator("#batch-counts")).to_contain_text("20 of 20 done, 20 answered.")
    wait_for(lambda: page.locator(".card-answer").count() == 20, what="twenty answers on the page")
