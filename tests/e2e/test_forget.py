"""Predict and forget in a browser: the answer comes, the picture goes, and the receipt holds on one's own file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from predictions.models import PatchImage
from tests import pictures
from tests.e2e.conftest import Visitor
from tests.e2e.test_main_job import analyse, choose, chosen, expect_answer, sign_up
from tests.processes import BASE_DIR, PATIENCE

pytestmark = pytest.mark.django_db(transaction=True)


def verify(receipt: Path, image: Path) -> subprocess.CompletedProcess[str]:
    """In a process that is told of no database and no site."""
    surroundings = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        [sys.executable, "-m", "ml", "verify", receipt, image], cwd=BASE_DIR, env=surroundings, capture_output=True,
        text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip


def test_a_patch_is_answered_forgotten_and_computed_again(visitors: list[Visitor], tmp_path: Path) -> None:
    page = visitors[0].page
    sign_up(page, "owner@example.org")
    original = tmp_path / "original.jpg"
    original.write_bytes(pictures.save(pictures.picture(150, 120, seed=5), "JPEG"))
    choose(page, chosen("original.jpg", original.read_bytes()))
    analyse(page, "forget")
    expect_answer(page)

    expect(page.locator(".pixels-dropped")).to_contain_text("Pixels dropped")
    expect(page.locator("main img")).to_have_count(0)
    expect(page.get_by_role("button", name="Share in the gallery")).to_have_count(0)
    assert PatchImage.objects.count() == 0
    violations = Axe().run(page).response["violations"]
    assert [violation["id"] for violation in violations] == []

    with page.expect_download() as download:
        page.get_by_role("link", name="Receipt (JSON)").click()
    receipt = tmp_path / "receipt.json"
    download.value.save_as(receipt)
    done = verify(receipt, original)
    assert (done.returncode, done.stdout.startswith("The receipt holds: mobilenetv2-3 answers ")) == (0, True)
    other = tmp_path / "other.png"
    other.write_bytes(pictures.png(seed=6))
    done = verify(receipt, other)
    assert (done.returncode, done.stdout.startswith("The receipt does not hold:\n- pixels: ")) == (1, True)

    page.get_by_role("link", name="History").click()
    expect(page.locator(".card .pixels-dropped")).to_have_count(1)
    expect(page.locator(".card img")).to_have_count(0)
    page.goto("/predictions/new/")
    expect(page.locator("[name=visibility][value=forget]")).to_be_checked()
