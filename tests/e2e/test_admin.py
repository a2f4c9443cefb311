"""Staff in a browser: the second step with an app and with a passkey, then every page of the admin."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.contrib import admin
from django.urls import reverse
from playwright.sync_api import Page, expect

from accounts.models import ApiToken, User
from predictions.models import ModelVersion, Visibility
from tests.accounts.second_factor import code_of, shown_secret
from tests.e2e.conftest import NewContext, Visitor
from tests.factories import answer, make_token, make_user, submit_drawn
from tests.processes import Processes

pytestmark = pytest.mark.django_db(transaction=True)
PASSWORD = "korrekt-pferd-9"


@pytest.fixture
def staff_member(model_version: ModelVersion) -> User:
    return make_user("staff@example.org", password=PASSWORD, is_staff=True, is_superuser=True)


@pytest.fixture
def visitor(new_context: NewContext, processes: Processes, staff_member: User) -> Iterator[Visitor]:
    """Their browser, which complains of nothing, at a site where staff need a second factor.

    By the name localhost: browsers make passkeys for names, and without HTTPS for this one alone.
    """
    port = processes.start_web(STAFF_NEEDS_MFA="true").rpartition(":")[2]
    visitor = Visitor(new_context(base_url=f"http://localhost:{port}"))
    yield visitor
    assert visitor.complaints == []


def log_in(page: Page) -> None:
    page.goto("/accounts/login/?next=/admin/")
    page.locator("[name=login]").fill("staff@example.org")
    page.locator("[name=password]").fill(PASSWORD)
    page.locator("main").get_by_role("button", name="Log in", exact=True).click()


def log_out(page: Page) -> None:
    page.goto("/")
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("link", name="Log in")).to_be_visible()


def confirm(page: Page) -> None:
    expect(page.get_by_role("heading", name="Confirm that it is you")).to_be_visible()
    is_accessible(page)
    page.locator("[name=password]").fill(PASSWORD)
    page.get_by_role("button", name="Confirm").click()


def is_accessible(page: Page) -> None:
    found = Axe().run(page)
    assert found.response["violations"] == [], found.generate_report()


def set_up_app(page: Page) -> str:
    page.get_by_role("link", name="Set up an app").click()
    confirm(page)
    expect(page.get_by_role("img", name="QR code")).to_be_visible()
    is_accessible(page)
    secret = shown_secret(page.content())
    page.locator("[name=code]").fill(code_of(secret))
    page.get_by_role("button", name="Switch it on").click()
    expect(page.get_by_role("heading", name="Recovery codes")).to_be_visible()
    is_accessible(page)
    return secret


def test_an_app_and_its_recovery_codes_let_staff_in(visitor: Visitor) -> None:
    page = visitor.page
    log_in(page)
    expect(page.get_by_text("Staff need a second step at sign-in.")).to_be_visible()
    is_accessible(page)
    secret = set_up_app(page)
    recovery = page.locator(".codes li").first.inner_text()
    page.goto("/admin/")
    expect(page.get_by_role("heading", name="Administration")).to_be_visible()

    log_out(page)
    is_accessible(page)
    log_in(page)
    expect(page.get_by_role("heading", name="Second step")).to_be_visible()
    is_accessible(page)
    page.locator("[name=code]").fill(recovery)
    page.get_by_role("button", name="Log in", exact=True).click()
    expect(page.get_by_role("heading", name="Administration")).to_be_visible()

    log_out(page)
    log_in(page)
    page.locator("[name=code]").fill(recovery)
    page.get_by_role("button", name="Log in", exact=True).click()
    expect(page.get_by_text("Incorrect code.").first).to_be_visible()
    page.locator("[name=code]").fill(code_of(secret, ahead=0))
    page.get_by_role("button", name="Log in", exact=True).click()
    expect(page.get_by_role("heading", name="Administration")).to_be_visible()
    for address in ("/accounts/2fa/", "/accounts/sessions/", "/accounts/2fa/totp/deactivate/"):
        page.goto(address)
        is_accessible(page)


def test_a_passkey_is_made_and_lets_staff_in_without_a_password(visitor: Visitor) -> None:
    page = visitor.page
    devtools = visitor.context.new_cdp_session(page)
    devtools.send("WebAuthn.enable")
    key = {"protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True,
           "isUserVerified": True, "automaticPresenceSimulation": True}  # fmt: skip
    devtools.send("WebAuthn.addVirtualAuthenticator", {"options": key})
    log_in(page)
    page.get_by_role("link", name="Add a key").click()
    confirm(page)
    is_accessible(page)
    page.locator("[name=name]").fill("Laptop")
    page.locator("[name=passwordless]").check()
    page.get_by_role("button", name="Add it").click()
    expect(page.get_by_role("heading", name="Recovery codes")).to_be_visible()
    page.goto("/accounts/2fa/webauthn/")
    expect(page.get_by_text("passkey: lets you in without the password")).to_be_visible()
    is_accessible(page)

    log_out(page)
    log_in(page)
    page.get_by_role("button", name="Use a passkey or security key").click()
    expect(page.get_by_role("heading", name="Administration")).to_be_visible()

    log_out(page)
    page.goto("/accounts/login/")
    is_accessible(page)
    page.get_by_role("button", name="Log in with a passkey").click()
    expect(page.locator("#upload")).to_be_visible()
    page.goto("/admin/")
    expect(page.get_by_role("heading", name="Administration")).to_be_visible()


def test_every_page_of_the_admin_keeps_to_the_policy(visitor: Visitor, staff_member: User) -> None:
    owner = make_user("owner@example.org")
    for number, prediction in enumerate(submit_drawn(owner, *range(30), visibility=Visibility.PUBLIC)):
        answer(prediction, number / 30)
    make_token(owner)
    page = visitor.page
    log_in(page)
    set_up_app(page)
    for model in admin.site._registry:
        name = f"{model._meta.app_label}_{model._meta.model_name}"
        page.goto(reverse(f"admin:{name}_changelist"))
        expect(page.locator("#changelist")).to_be_visible()
        cut = page.locator(".results").evaluate_all("all => all.map(one => one.scrollWidth - one.clientWidth)")
        assert max(cut, default=0) <= 0, f"{page.url} is wider than a window of 1280 pixels"
        row = model._default_manager.first()
        if row and model is not ApiToken:
            page.goto(reverse(f"admin:{name}_change", args=[row.pk]))
            expect(page.locator("#content h1")).to_be_visible()
    page.goto("/admin/predictions/patch/")
    expect(page.locator("#result_list img").first).to_have_js_property("naturalWidth", 50)
    page.locator("#action-toggle").check()
    page.locator("[name=action]").select_option("make_private")
    page.get_by_role("button", name="Go").click()
    expect(page.get_by_text(re.compile("Only their owners and staff"))).to_be_visible()
    page.get_by_role("button", name="Yes, do it").click()
    expect(page.get_by_text("25 rows done.")).to_be_visible()
