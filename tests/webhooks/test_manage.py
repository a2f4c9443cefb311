"""What owners do with webhooks by page and API; what others, and the admin, see of them."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.core import serializers
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from accounts.models import Scope, User
from predictions.models import Event
from tests.factories import answer, make_token, make_user, submit_drawn
from tests.webhooks import verification
from tests.webhooks.receiver import Receiver, says
from webhooks import services
from webhooks.exceptions import FAILURES, TooManyTests, TooManyWebhooks, failure_message
from webhooks.models import Delivery, Webhook
from webhooks.services.manage import TESTS_PER_MINUTE, WEBHOOKS_PER_USER

pytestmark = pytest.mark.usefixtures("model_version")
ROOT = "/api/v1/webhooks/"
SECRET = re.compile(r"whsec_[A-Za-z0-9+/]{43}=")


def api(user: User, *scopes: Scope) -> Client:
    return Client(headers={"Authorization": f"Bearer {make_token(user, *scopes)}"})


def moment(value: Any) -> str | None:
    return value.isoformat().replace("+00:00", "Z") if value else None


def as_json(webhook: Webhook) -> dict[str, Any]:
    webhook.refresh_from_db()
    return {
        "id": str(webhook.uuid),
        "url": webhook.url,
        "is_active": webhook.is_active,
        "pause_reason": webhook.pause_reason or None,
        "last_attempt_at": moment(webhook.last_attempt_at),
        "last_error": {"code": webhook.last_error, "message": failure_message(webhook.last_error)}
        if webhook.last_error
        else None,
        "created_at": moment(webhook.created_at),
        "deliveries": f"http://testserver{ROOT}{webhook.uuid}/deliveries/",
    }


def delivery_json(delivery: Delivery) -> dict[str, Any]:
    delivery.refresh_from_db()
    return {
        "id": str(delivery.uuid),
        "event": delivery.event,
        "batch": str(delivery.batch.uuid) if delivery.batch else None,
        "status": delivery.status,
        "attempts": delivery.attempt,
        "created_at": moment(delivery.created_at),
        "next_attempt_at": moment(delivery.next_attempt_at) if delivery.status == "queued" else None,
        "finished_at": moment(delivery.finished_at),
        "response_status": delivery.response_status,
        "response_text": delivery.response_text,
        "duration_ms": delivery.duration_ms,
        "error": {"code": delivery.error_code, "message": failure_message(delivery.error_code)}
        if delivery.error_code
        else None,
        "body": delivery.body,
    }


def kinds() -> list[str]:
    return list(Event.objects.exclude(kind__in=["submitted", "registered", "activated"]).values_list("kind", flat=True))


def test_a_secret_is_given_once_and_is_nowhere_in_the_database(owner: User, receiver: Receiver) -> None:
    client = api(owner)
    made = client.post(ROOT, {"url": receiver.url()}, content_type="application/json")
    webhook = Webhook.objects.get()
    assert (made.status_code, made.json()) == (201, as_json(webhook) | {"secret": webhook.secret})
    assert (made["Location"], made["Cache-Control"]) == (f"http://testserver{ROOT}{webhook.uuid}/", "no-store")
    assert SECRET.fullmatch(webhook.secret)
    changed = client.post(f"{ROOT}{webhook.uuid}/secret/")
    assert (changed.status_code, changed["Cache-Control"]) == (200, "no-store")
    assert changed.json() == as_json(webhook) | {"secret": webhook.secret}
    assert changed.json()["secret"] != made.json()["secret"]
    stored = serializers.serialize("json", Webhook.objects.all())
    seen = client.get(ROOT).content.decode() + client.get(f"{ROOT}{webhook.uuid}/").content.decode()
    for secret in (made.json()["secret"], changed.json()["secret"]):
        assert secret.removeprefix("whsec_") not in stored + seen
    assert client.get(ROOT).json() == {"results": [as_json(webhook)]}
    assert kinds() == ["webhook_made", "webhook_secret"]


def test_the_secret_hangs_on_the_sites_key(webhook: Webhook, settings: Settings) -> None:
    before = webhook.secret
    settings.SECRET_KEY = "another"
    assert webhook.secret != before


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({}, "invalid", "url"),
        ({"url": ""}, "invalid", "url"),
        ({"url": 5}, "invalid", "url"),
        ({"url": ["a"]}, "invalid", "url"),
        ({"url": "https://example.org/" + "a" * 500}, "invalid", "url"),
        ({"url": "ftp://example.org/"}, "url_invalid", None),
        ({"url": "http://127.0.0.1:8000/"}, "url_private", None),
        ({"url": "http://localhost/"}, "url_private", None),
        ({"url": "http://[::1]/"}, "url_private", None),
        ({"url": "http://169.254.169.254/latest/meta-data/"}, "url_private", None),
        ({"url": "https://no-such-name.invalid/"}, "url_unresolved", None),
    ],
)
def test_an_address_that_may_not_be_called_makes_no_webhook(
    owner: User, body: dict[str, Any], code: str, field: str | None
) -> None:
    response = api(owner).post(ROOT, body, content_type="application/json")
    error = response.json()["error"]
    assert (response.status_code, error["code"], error.get("field")) == (400, code, field)
    assert not Webhook.objects.exists()


def test_pause_resume_and_delete_take_effect_once(webhook: Webhook, owner: User) -> None:
    client, address = api(owner), f"{ROOT}{webhook.uuid}/"
    for is_active, reason in ((False, "owner"), (False, "owner"), (True, None), (True, None)):
        response = client.patch(address, {"is_active": is_active}, content_type="application/json")
        assert (response.status_code, response.json()) == (200, as_json(webhook))
        assert (response.json()["is_active"], response.json()["pause_reason"]) == (is_active, reason)
    for wrong in ({}, {"is_active": None}, {"is_active": "perhaps"}, {"is_active": 0}, {"is_active": "false"}):
        refused = client.patch(address, wrong, content_type="application/json")
        assert (refused.status_code, refused.json()["error"]["field"]) == (400, "is_active")
    assert client.delete(address).status_code == 204
    assert client.delete(address).status_code == 404
    assert kinds() == ["webhook_made", "webhook_paused", "webhook_resumed", "webhook_deleted"]


def test_deliveries_are_listed_newest_first_in_pages(
    webhook: Webhook, owner: User, django_assert_max_num_queries: Any
) -> None:
    for seed in range(5):
        answer(submit_drawn(owner, seed)[0])
    services.announce(settled=timedelta(0))
    services.send_test(webhook=webhook, actor=owner)
    client, expected = api(owner), [delivery_json(one) for one in Delivery.objects.order_by("-pk")]
    client.get(ROOT)
    with django_assert_max_num_queries(4):  # token, rate, webhook, deliveries
        page = client.get(f"{ROOT}{webhook.uuid}/deliveries/", {"limit": 4}).json()
    assert (page["results"], page["previous"]) == (expected[:4], None)
    rest = client.get(page["next"]).json()
    assert (rest["results"], rest["next"]) == (expected[4:], None)


@pytest.mark.django_db(transaction=True)
def test_test_and_redelivery_over_the_api(webhook: Webhook, owner: User, receiver: Receiver) -> None:
    client, address = api(owner), f"{ROOT}{webhook.uuid}/"
    receiver.answer = says(500, "<b>no</b>")
    sent = client.post(f"{address}test/")
    delivery = Delivery.objects.get()
    assert (sent.status_code, sent.json()) == (202, delivery_json(delivery))
    assert sent["Location"] == f"http://testserver{address}deliveries/"
    assert client.post(f"{address}test/").json() == sent.json()  # it waits already
    again = f"{address}deliveries/{delivery.uuid}/redeliver/"
    early = client.post(again)
    assert (early.status_code, early.json()["error"]["code"]) == (409, "not_failed")
    services.deliver()
    (row,) = client.get(f"{address}deliveries/").json()["results"]
    assert row == delivery_json(delivery)
    assert (row["status"], row["error"]["code"], row["response_text"]) == ("failed", "http_error", "<b>no</b>")
    services.set_active(webhook=webhook, actor=owner, is_active=False)
    paused = client.post(again)
    assert (paused.status_code, paused.json()["error"]["code"]) == (409, "webhook_paused")
    services.set_active(webhook=webhook, actor=owner, is_active=True)
    queued = client.post(again)
    assert (queued.status_code, queued.json()) == (202, delivery_json(delivery))
    assert kinds()[-1] == "redelivered"
    receiver.answer = says(200)
    services.deliver()
    assert client.get(f"{address}deliveries/").json()["results"][0]["status"] == "succeeded"


def test_tests_are_limited(webhook: Webhook, owner: User) -> None:
    for _ in range(TESTS_PER_MINUTE):
        services.send_test(webhook=webhook, actor=owner)
        Delivery.objects.update(status="succeeded", finished_at=timezone.now())
    with pytest.raises(TooManyTests):
        services.send_test(webhook=webhook, actor=owner)
    refused = api(owner).post(f"{ROOT}{webhook.uuid}/test/")
    assert (refused.status_code, refused["Retry-After"]) == (429, "60")
    Delivery.objects.update(created_at=timezone.now() - timedelta(seconds=61))
    services.send_test(webhook=webhook, actor=owner)


@pytest.mark.django_db(transaction=True)
def test_parallel_tries_make_no_more_webhooks_than_allowed(receiver: Receiver) -> None:
    owner = make_user("someone@example.org")

    def make(_: int) -> bool:
        try:
            services.create_webhook(owner=owner, url=receiver.url())
        except TooManyWebhooks:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(6) as pool:
        made = list(pool.map(make, range(WEBHOOKS_PER_USER + 5)))
    assert (sum(made), Webhook.objects.count()) == (WEBHOOKS_PER_USER, WEBHOOKS_PER_USER)


def test_the_page_makes_shows_and_changes(client: Client, owner: User, receiver: Receiver) -> None:
    client.force_login(owner)
    assert reverse("webhooks:list") in client.get(reverse("account_email")).content.decode()
    made = client.post(reverse("webhooks:list"), {"url": receiver.url()})
    webhook = Webhook.objects.get()
    assert "no-store" in made["Cache-Control"]
    assert SECRET.findall(made.content.decode()) == [webhook.secret]
    page = reverse("webhooks:detail", args=[webhook.uuid])
    for address in (reverse("webhooks:list"), page):
        assert SECRET.findall(client.get(address).content.decode()) == []
    changed = client.post(reverse("webhooks:secret", args=[webhook.uuid]))
    webhook.refresh_from_db()
    assert SECRET.findall(changed.content.decode()) == [webhook.secret]
    assert "no-store" in changed["Cache-Control"]
    active = reverse("webhooks:active", args=[webhook.uuid])
    assert client.post(active, {"is_active": "false"})["Location"] == page
    assert "paused by you" in client.get(page).content.decode()
    client.post(active, {"is_active": "true"})
    assert "paused by you" not in client.get(page).content.decode()
    client.post(reverse("webhooks:test", args=[webhook.uuid]))
    delivery = Delivery.objects.get()
    redeliver = reverse("webhooks:redeliver", args=[webhook.uuid, delivery.uuid])
    assert "Only a delivery that was given up" in client.post(redeliver, follow=True).content.decode()
    Delivery.objects.update(
        status="failed", error_code="http_error", response_status=500, duration_ms=3, response_text="<script>alert(1)",
        attempt=1, finished_at=timezone.now()
    )  # fmt: skip
    text = client.get(page).content.decode()
    assert "&lt;script&gt;alert(1)" in text
    assert "<script>alert" not in text
    assert "Send again" in text
    assert client.post(redeliver)["Location"] == page
    delivery.refresh_from_db()
    assert (delivery.status, delivery.attempt_limit) == ("queued", 2)
    assert client.post(reverse("webhooks:delete", args=[webhook.uuid]))["Location"] == reverse("webhooks:list")
    assert not Webhook.objects.exists()


def test_a_form_with_a_private_address_says_so(client: Client, owner: User) -> None:
    client.force_login(owner)
    page = client.post(reverse("webhooks:list"), {"url": "http://10.0.0.1/<script>"}).content.decode()
    assert "private or local network" in page
    assert "/&lt;script&gt;" in page
    assert not Webhook.objects.exists()


def test_pages_are_for_their_owner_alone(
    webhook: Webhook, owner: User, stranger: User, staff: User, client: Client
) -> None:
    delivery = services.send_test(webhook=webhook, actor=owner)
    names = ("detail", "active", "test", "secret", "delete", "redeliver")
    before = Webhook.objects.values().get()
    for name in names:
        arguments = [webhook.uuid, delivery.uuid] if name == "redeliver" else [webhook.uuid]
        unknown = [uuid4(), *arguments[1:]]
        call = client.get if name == "detail" else client.post
        client.logout()
        assert call(reverse(f"webhooks:{name}", args=arguments))["Location"].startswith(reverse("account_login"))
        for other in (stranger, staff):
            client.force_login(other)
            refused = call(reverse(f"webhooks:{name}", args=arguments))
            assert refused.status_code == 404
            assert refused.content == call(reverse(f"webhooks:{name}", args=unknown)).content
        if name != "detail":
            client.force_login(owner)
            assert client.get(reverse(f"webhooks:{name}", args=arguments)).status_code == 405
    assert Webhook.objects.values().get() == before
    client.force_login(stranger)
    assert webhook.url not in client.get(reverse("webhooks:list")).content.decode()


def test_one_cannot_reach_a_delivery_through_another_webhook(
    webhook: Webhook, owner: User, stranger: User, receiver: Receiver
) -> None:
    delivery = services.send_test(webhook=webhook, actor=owner)
    Delivery.objects.update(status="failed", error_code="timeout", finished_at=timezone.now())
    own = services.create_webhook(owner=stranger, url=receiver.url())
    client = api(stranger)
    assert client.post(f"{ROOT}{own.uuid}/deliveries/{delivery.uuid}/redeliver/").status_code == 404
    client.force_login(stranger)
    assert client.post(reverse("webhooks:redeliver", args=[own.uuid, delivery.uuid])).status_code == 404
    delivery.refresh_from_db()
    assert delivery.status == "failed"


def test_the_admin_shows_neither_secrets_nor_what_came_back(
    webhook: Webhook, owner: User, staff: User, client: Client
) -> None:
    delivery = services.send_test(webhook=webhook, actor=owner)
    Delivery.objects.update(response_text="for the owner's eyes")
    client.force_login(staff)
    for name, row in (("webhook", webhook), ("delivery", delivery)):
        for address in (
            reverse(f"admin:webhooks_{name}_changelist"),
            reverse(f"admin:webhooks_{name}_change", args=[row.pk]),
        ):
            response = client.get(address)
            assert response.status_code == 200
            page = response.content.decode()
            assert str(row.uuid) in page
            for hidden in (webhook.salt, webhook.secret, "owner&#x27;s eyes"):
                assert hidden not in page
        assert client.post(reverse(f"admin:webhooks_{name}_add")).status_code == 403
        assert client.post(reverse(f"admin:webhooks_{name}_delete", args=[row.pk])).status_code == 403


def test_every_code_has_its_sentence() -> None:
    assert all(len(failure_message(code)) > 20 for code in FAILURES)


def test_nothing_of_a_webhook_outlives_its_user(webhook: Webhook, owner: User) -> None:
    answer(submit_drawn(owner, 1)[0])
    services.announce(settled=timedelta(0))
    assert json.loads(Delivery.objects.get().body)
    owner.delete()
    assert not Webhook.objects.exists()
    assert not Delivery.objects.exists()


def test_the_documentation_verifies_as_the_tests_do() -> None:
    code = Path(verification.__file__).read_text().partition('"""\n\n')[2]
    assert code in (Path(__file__).parents[2] / "docs/api.md").read_text()
