"""python -m benchmarks.screenshots [FOLDER]: pictures of every page of a running site, with drawn patches only.

Without a folder, those of the documentation go to docs/images/.
"""

from __future__ import annotations

import sys
from pathlib import Path

from playwright.sync_api import Browser, FilePayload, Page, StorageState

from benchmarks.running_site import BASE_DIR, chromium, running_site, sign_up
from ml.card import default_version
from ml.images import encode_png
from ml.synthetic import EXAMPLES, draw_patch, example_png

README = ("home", "upload", "result", "model")
WIDTHS = {"desktop": 1280, "phone": 360}
SCHEMES = ("light", "dark")
HEIGHT = 800


def main(folder: Path | None) -> None:
    with running_site() as processes, chromium() as browser:
        processes.start_worker()
        address = processes.start_web()
        addresses, state = _fill(browser, address)
        for scheme in SCHEMES if folder else ("light",):
            for device, width in WIDTHS.items() if folder else [("desktop", 1120)]:
                context = browser.new_context(
                    base_url=address,
                    color_scheme="dark" if scheme == "dark" else "light",
                    viewport={"width": width, "height": HEIGHT},
                    storage_state=state,
                )
                page = context.new_page()
                for name in addresses if folder else README:
                    page.goto(addresses[name])
                    if name == "upload":
                        _choose_example(page)
                    page.wait_for_load_state("networkidle")
                    file = folder / f"{name}-{device}-{scheme}.png" if folder else BASE_DIR / f"docs/images/{name}.png"
                    page.screenshot(path=file, full_page=True)
                context.close()


def _fill(browser: Browser, address: str) -> tuple[dict[str, str], StorageState]:
    """Signs up, uploads drawings; returns the addresses of the pages and the browser's cookies."""
    page = browser.new_page(base_url=address)
    sign_up(page, "someone@example.org")
    files = [
        FilePayload(name=f"drawn-{number}.png", mimeType="image/png", buffer=example_png(number))
        for number in range(EXAMPLES)
    ]
    page.locator("#image").set_input_files(files)
    page.locator("[name=visibility][value=public]").check()
    page.locator("#analyse").click()
    page.locator("#batch:not([hx-get])").wait_for()
    addresses = {"batch": page.url}
    page.locator(".card a").nth(EXAMPLES - 2).click()
    addresses["result"] = page.url
    page.get_by_role("button", name="too").click()
    page.locator("[data-status=succeeded]").wait_for()
    page.goto(addresses["result"])
    page.get_by_role("button", name="Show what mattered").click()
    page.locator(".map-image").wait_for()
    page.goto("/predictions/new/")
    large = encode_png(draw_patch(99, cellularity=0.3))
    page.locator("#image").set_input_files(FilePayload(name="other.png", mimeType="image/png", buffer=large))
    page.locator("[name=visibility][value=private]").check()
    page.locator("[name=um_per_pixel]").fill("0.25")
    page.locator("#analyse").click()
    page.locator("[data-status=succeeded]").wait_for()
    addresses["result-scale"] = page.url
    addresses |= {
        "home": "/",
        "upload": "/predictions/new/",
        "history": "/predictions/",
        "gallery": "/gallery/",
        "models": "/models/",
        "model": f"/models/{default_version()}/",
        "account": "/accounts/email/",
        "tokens": "/accounts/tokens/",
        "webhooks": "/accounts/webhooks/",
        "password": "/accounts/password/change/",
        "missing": "/nothing/",
    }
    state = page.context.storage_state()
    page.context.close()
    return addresses, state


def _choose_example(page: Page) -> None:
    page.locator(".examples summary").click()
    page.locator(".example").nth(3).click()
    page.locator(".chosen-size", has_text="50 × 50").wait_for()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
