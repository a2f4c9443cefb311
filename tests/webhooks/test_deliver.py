"""From the row to the receiver and back: signed, retried, fenced, fair, and given up in the end."""

from __future__ import annotations

import json
import time
from datetime import timedelta

import pytest
from django.db.models.functions import Now
from django.utils import timezone
from pytest_django import Settings

from accounts.models import User
from predictions.models import Event
from predictions.services import chores
from tests.factories import answer, submit_drawn
from tests.webhooks.receiver import Handler, Receiver, says
from tests.webhooks.verification import verify
from webhooks import services
from webhooks.models import Delivery, PauseReason, Webhook
from webhooks.models.delivery import ATTEMPTS
from webhooks.sender import Outcome
from webhooks.services.deliver import FAILURES_IN_A_ROW, LEASE, finish, pause_after

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("model_version")]
SEEN = ("status", "attempt", "error_code", "response_status", "response_text")


def told(owner: User, seed: int = 1) -> Delivery:
    """A delivery that waits."""
    answer(submit_drawn(owner, seed)[0])
    assert services.announce(settled=timedelta(0))
    return Delivery.objects.latest("pk")


def seen(delivery: Delivery) -> tuple[object, ...]:
    delivery.refresh_from_db()
    return tuple(getattr(delivery, name) for name in SEEN)


def make_due() -> None:
    Delivery.objects.filter(status="queued").update(next_attempt_at=Now())


def test_a_message_arrives_signed_and_as_it_is_stored(webhook: Webhook, owner: User, receiver: Receiver) -> None:
    delivery = told(owner)
    assert services.deliver() == 1
    assert seen(delivery) == ("succeeded", 1, "", 200, "thanks")
    assert delivery.finished_at
    assert delivery.duration_ms is not None
    (received,) = receiver.received
    assert received.body.decode() == delivery.body
    assert received.headers["webhook-id"] == str(delivery.uuid) == json.loads(received.body)["id"]
    assert verify(received.headers, received.body, webhook.secret)
    assert not verify(received.headers, received.body + b" ", webhook.secret)
    assert not verify(received.headers | {"webhook-id": "other"}, received.body, webhook.secret)
    old = str(int(received.headers["webhook-timestamp"]) - 301)
    assert not verify(received.headers | {"webhook-timestamp": old}, received.body, webhook.secret)
    webhook.refresh_from_db()
    assert (webhook.last_error, webhook.failures, webhook.is_active) == ("", 0, True)
    assert webhook.last_attempt_at
    assert services.deliver() == 0


def test_both_secrets_sign_for_a_day(webhook: Webhook, owner: User, receiver: Receiver) -> None:
    before = webhook.secret
    after = services.change_secret(webhook=webhook, actor=owner).secret
    assert before != after
    services.send_test(webhook=webhook, actor=owner)
    services.deliver()
    received = receiver.received[0]
    assert [verify(received.headers, received.body, secret) for secret in (before, after)] == [True, True]
    Webhook.objects.update(secret_changed_at=timezone.now() - timedelta(days=1))
    services.send_test(webhook=webhook, actor=owner)
    services.deliver()
    received = receiver.received[1]
    assert [verify(received.headers, received.body, secret) for secret in (before, after)] == [False, True]


def test_a_receiver_that_is_down_gets_it_when_it_is_back(webhook: Webhook, owner: User, receiver: Receiver) -> None:
    delivery = told(owner)
    receiver.answer = says(503, "down")
    assert services.deliver() == 1
    assert seen(delivery) == ("queued", 1, "http_error", 503, "down")
    assert timedelta(seconds=50) < delivery.next_attempt_at - timezone.now() < timedelta(seconds=72)
    assert services.deliver() == 0  # not before its time
    receiver.answer = says(200, "up")
    make_due()
    assert services.deliver() == 1
    assert seen(delivery) == ("succeeded", 2, "", 200, "up")
    assert {received.headers["webhook-id"] for received in receiver.received} == {str(delivery.uuid)}
    assert all(verify(received.headers, received.body, webhook.secret) for received in receiver.received)


def test_the_pauses_grow_to_six_hours_and_are_a_day_in_all(settings: Settings) -> None:
    settings.WEBHOOK_RETRY_SECONDS = 10
    pauses = [pause_after(Delivery(attempt=attempt, attempt_limit=ATTEMPTS)) for attempt in range(1, ATTEMPTS)]
    for pause, least in zip(pauses, (10, 80, 640, 5120, 21_600, 21_600, 21_600), strict=True):
        assert least <= pause <= least * 1.2
    assert 19 * 3600 < sum(pauses) < 24 * 3600
    assert 10 <= pause_after(Delivery(attempt=9, attempt_limit=8 + ATTEMPTS)) <= 12  # a series by hand begins anew
    assert len({pause_after(Delivery(attempt=1, attempt_limit=8)) for _ in range(10)}) > 1


def test_the_wish_of_the_receiver_to_wait_is_granted(webhook: Webhook, owner: User, receiver: Receiver) -> None:
    delivery = told(owner)
    receiver.answer = says(429, Retry_After="600")
    services.deliver()
    delivery.refresh_from_db()
    assert timedelta(seconds=590) < delivery.next_attempt_at - timezone.now() < timedelta(seconds=610)


def test_the_eighth_failure_is_the_last_and_can_be_sent_again_by_hand(
    webhook: Webhook, owner: User, receiver: Receiver
) -> None:
    delivery = told(owner)
    receiver.answer = says(500, "no")
    for _ in range(ATTEMPTS):
        make_due()
        assert services.deliver() == 1
    assert seen(delivery) == ("failed", 8, "http_error", 500, "no")
    make_due()
    assert services.deliver() == 0
    receiver.answer = says(200)
    services.redeliver(delivery=delivery, actor=owner)
    assert services.deliver() == 1
    assert seen(delivery) == ("succeeded", 9, "", 200, "")
    assert delivery.attempt_limit == 16


def test_a_receiver_that_is_gone_is_left_alone(webhook: Webhook, owner: User, receiver: Receiver) -> None:
    delivery = told(owner)
    receiver.answer = says(410)
    services.deliver()
    assert seen(delivery) == ("failed", 1, "gone", 410, "")
    webhook.refresh_from_db()
    assert (webhook.is_active, webhook.pause_reason) == (False, PauseReason.GONE)


def test_deliveries_given_up_in_a_row_pause_the_webhook(webhook: Webhook, owner: User, receiver: Receiver) -> None:
    receiver.answer = says(500)
    for seed in range(FAILURES_IN_A_ROW + 1):
        told(owner, seed)
    Delivery.objects.update(attempt_limit=1)
    services.deliver()
    webhook.refresh_from_db()
    assert (webhook.is_active, webhook.pause_reason, webhook.failures) == (False, PauseReason.FAILING, 5)
    assert len(receiver.received) == FAILURES_IN_A_ROW  # the sixth waits
    event = Event.objects.get(kind=Event.Kind.WEBHOOK_PAUSED)
    assert (event.actor, event.subject, event.payload) == (None, str(webhook.uuid), {"reason": "failing"})
    receiver.answer = says(200)
    services.set_active(webhook=webhook, actor=owner, is_active=True)
    assert services.deliver() == 1
    webhook.refresh_from_db()
    assert (webhook.is_active, webhook.failures) == (True, 0)


def test_a_success_between_them_begins_the_count_anew(webhook: Webhook, owner: User, receiver: Receiver) -> None:
    for seed, status in enumerate((500, 500, 500, 500, 200, 500)):
        told(owner, seed)
        Delivery.objects.update(attempt_limit=1)
        receiver.answer = says(status)
        services.deliver()
    webhook.refresh_from_db()
    assert (webhook.is_active, webhook.failures, webhook.last_error) == (True, 1, "http_error")


def test_a_test_is_tried_once_reaches_a_paused_webhook_and_counts_for_nothing(
    webhook: Webhook, owner: User, receiver: Receiver
) -> None:
    receiver.answer = says(500)
    for _ in range(FAILURES_IN_A_ROW + 1):
        services.send_test(webhook=webhook, actor=owner)
        services.deliver()
    webhook.refresh_from_db()
    assert (webhook.is_active, webhook.failures) == (True, 0)
    assert set(Delivery.objects.values_list("status", "attempt")) == {("failed", 1)}
    waiting = told(owner)
    services.set_active(webhook=webhook, actor=owner, is_active=False)
    receiver.answer = says(200)
    ping = services.send_test(webhook=webhook, actor=owner)
    assert services.deliver() == 1
    assert (seen(ping)[0], seen(waiting)[0]) == ("succeeded", "queued")
    body = json.loads(receiver.received[-1].body)
    assert (body["type"], body["data"]) == ("ping", {"webhook": str(webhook.uuid)})


def test_nothing_is_sent_for_those_who_are_shut_out(webhook: Webhook, owner: User, receiver: Receiver) -> None:
    told(owner)
    User.objects.update(is_active=False)
    assert services.deliver() == 0
    assert receiver.received == []


def test_the_address_is_checked_again_at_every_delivery(
    webhook: Webhook, owner: User, receiver: Receiver, settings: Settings
) -> None:
    delivery = told(owner)
    settings.WEBHOOK_ALLOWED_NETWORKS = []
    services.deliver()
    assert seen(delivery) == ("queued", 1, "url_private", None, "")
    assert receiver.received == []


def test_a_slow_receiver_holds_up_its_owner_alone(
    webhook: Webhook, owner: User, stranger: User, receiver: Receiver
) -> None:
    def slow_for_one(handler: Handler) -> None:
        if handler.path == "/slow":
            time.sleep(0.8)
        handler.reply(200)

    receiver.answer = slow_for_one
    Webhook.objects.update(url=receiver.url().replace("/hook?a=1", "/slow"))
    for seed in range(3):
        told(owner, seed)
    services.create_webhook(owner=stranger, url=receiver.url())
    for seed in range(3):
        told(stranger, seed)
    assert services.deliver() == 6
    paths = [received.path for received in receiver.received]
    assert paths[-1] == "/slow"


def test_each_owner_has_one_message_under_way(
    webhook: Webhook, owner: User, stranger: User, receiver: Receiver
) -> None:
    services.create_webhook(owner=owner, url=receiver.url())
    told(owner)
    assert Delivery.objects.count() == 2
    assert len(Delivery.objects.claim_due(limit=4, lease=LEASE)) == 1
    assert Delivery.objects.claim_due(limit=4, lease=LEASE) == []
    services.create_webhook(owner=stranger, url=receiver.url())
    others = told(stranger)
    assert Delivery.objects.claim_due(limit=4, lease=LEASE) == [others]


def test_receivers_that_answer_come_before_those_that_fail(
    webhook: Webhook, owner: User, stranger: User, receiver: Receiver
) -> None:
    told(owner)
    services.create_webhook(owner=stranger, url=receiver.url())
    healthy = told(stranger)
    Webhook.objects.filter(owner=owner).update(last_error="timeout")
    (first,) = Delivery.objects.claim_due(limit=1, lease=LEASE)
    assert first == healthy


def test_the_time_for_one_run_is_bounded(webhook: Webhook, owner: User, receiver: Receiver) -> None:
    for seed in range(4):
        told(owner, seed)
    receiver.answer = lambda handler: time.sleep(2.2) or handler.reply(200)  # type: ignore[func-returns-value]  # `or` goes on after None
    assert services.deliver(seconds=2) == 1


def test_an_attempt_that_was_taken_over_changes_nothing(webhook: Webhook, owner: User) -> None:
    delivery = told(owner)
    (slow,) = Delivery.objects.claim_due(limit=1, lease=timedelta(0))
    assert services.sweep() == 1
    (second,) = Delivery.objects.claim_due(limit=1, lease=LEASE)
    assert not finish(slow, Outcome("", 1, 200, "late"))
    assert seen(delivery) == ("running", 2, "interrupted", None, "")
    assert finish(second, Outcome("", 1, 200, "in time"))
    assert seen(delivery) == ("succeeded", 2, "", 200, "in time")


def test_what_a_dead_process_was_sending_is_given_up_in_the_end(webhook: Webhook, owner: User) -> None:
    delivery = told(owner)
    Delivery.objects.update(attempt_limit=1)
    Delivery.objects.claim_due(limit=1, lease=timedelta(0))
    assert services.sweep() == 1
    assert seen(delivery)[:3] == ("failed", 1, "interrupted")


def test_a_webhook_that_is_deleted_meanwhile_leaves_nothing(webhook: Webhook, owner: User, receiver: Receiver) -> None:
    told(owner)

    def delete(handler: Handler) -> None:
        from django.db import connection

        services.delete_webhook(webhook=webhook, actor=owner)
        connection.close()
        handler.reply(200)

    receiver.answer = delete
    assert services.deliver() == 1
    assert not Delivery.objects.exists()
    assert not Webhook.objects.exists()


def test_old_deliveries_are_tidied_away(webhook: Webhook, owner: User) -> None:
    kept, old = told(owner, 1), told(owner, 2)
    Delivery.objects.filter(pk=old.pk).update(created_at=timezone.now() - timedelta(days=30, minutes=1))
    Delivery.objects.filter(pk=kept.pk).update(created_at=timezone.now() - timedelta(days=29))
    chores.tidy()
    assert list(Delivery.objects.all()) == [kept]
