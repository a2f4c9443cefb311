"""The real process: it notices, sends, dies in the middle of it, and another one goes on."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from django.db.models.functions import Now

from accounts.models import User
from idc_site.local_services import running_broker
from predictions.models import Event
from tests.factories import answer, submit_drawn
from tests.processes import Processes, wait_for
from tests.webhooks.receiver import Receiver, says
from tests.webhooks.verification import verify
from webhooks.models import Delivery, Webhook
from webhooks.services.announce import SETTLED

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("model_version")]
ENVIRONMENT = {
    "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8",
    "WEBHOOK_RETRY_SECONDS": "0.1",
    "WEBHOOK_TIMEOUT_SECONDS": "8",
}


def finished_batch(owner: User, seed: int) -> None:
    """One that has settled."""
    answer(submit_drawn(owner, seed)[0])
    Event.objects.filter(kind="submitted").update(created_at=Now() - SETTLED)


def are_delivered(number: int) -> bool:
    return Delivery.objects.filter(status="succeeded").count() == number


def test_a_process_that_is_killed_in_mid_delivery_loses_nothing(
    processes: Processes, webhook: Webhook, owner: User, receiver: Receiver, tmp_path: Path
) -> None:
    receiver.answer = lambda handler: time.sleep(5) or handler.reply(200)  # type: ignore[func-returns-value]  # `or` goes on after None
    first = processes.start("chores", **ENVIRONMENT)
    finished_batch(owner, 1)
    wait_for(lambda: receiver.received, what=processes.log("chores"))
    processes.kill(first)
    receiver.answer = says(500)
    Delivery.objects.update(lease_until=Now())  # a minute later
    with running_broker(tmp_path / "broker") as broker:
        processes.start("chores", **ENVIRONMENT, REDIS_URL=broker)
        wait_for(lambda: len(receiver.received) >= 2, what=processes.log("chores"))
    receiver.answer = says(200)  # and the broker is down
    wait_for(lambda: are_delivered(1), what=processes.log("chores"))
    assert {received.headers["webhook-id"] for received in receiver.received} == {str(Delivery.objects.get().uuid)}
    assert all(verify(received.headers, received.body, webhook.secret) for received in receiver.received)


def test_two_processes_send_each_message_once(
    processes: Processes, webhook: Webhook, owner: User, receiver: Receiver
) -> None:
    for _ in range(2):
        processes.start("chores", **ENVIRONMENT)
    for seed in range(12):
        finished_batch(owner, seed)
    wait_for(lambda: are_delivered(12), what=processes.log("chores"))
    identities = [received.headers["webhook-id"] for received in receiver.received]
    assert len(set(identities)) == len(identities) == 12
