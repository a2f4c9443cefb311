"""Which batches are told of, to whom, when, and that each is told once."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from accounts.models import User
from predictions import services as predictions
from predictions.models import Batch, Prediction, Source, Status, Visibility
from tests.factories import answer, fail, received, submit_drawn
from tests.pictures import png
from tests.webhooks.receiver import Receiver
from webhooks import services
from webhooks.models import Delivery, DeliveryEvent, Webhook

pytestmark = pytest.mark.usefixtures("model_version")
NOW = timedelta(0)


def announce() -> int:
    """Without waiting for a batch to settle."""
    return services.announce(settled=NOW)


def append(owner: User, batch: Batch, *seeds: int) -> list[Prediction]:
    submission = predictions.submit(
        owner=owner,
        files=received(*seeds),
        visibility=Visibility.PRIVATE,
        source=Source.API,
        batch_id=batch.uuid,
    )
    return [patch.current_prediction for patch in submission.accepted if patch.current_prediction]


def test_a_finished_batch_is_told_once_with_its_counts(webhook: Webhook, owner: User) -> None:
    first, second, third = submit_drawn(owner, 1, 2, 3)
    batch = Batch.objects.get()
    answer(first)
    assert announce() == 0
    fail(second)
    predictions.withdraw(patch=third.patch, actor=owner)
    assert announce() == 1
    assert announce() == 0
    delivery = Delivery.objects.get()
    body = json.loads(delivery.body)
    told_at = datetime.fromisoformat(body.pop("timestamp"))
    assert abs(timezone.now() - told_at) < timedelta(minutes=1)
    assert body == {
        "id": str(delivery.uuid),
        "type": "batch.finished",
        "data": {
            "batch": str(batch.uuid),
            "total": 3, "rejected": 0, "deleted": 1, "succeeded": 1, "failed": 1,
            "url": f"http://testserver/api/v1/batches/{batch.uuid}/",
            "csv": f"http://testserver/api/v1/batches/{batch.uuid}/predictions.csv",
        },
    }  # fmt: skip
    assert (delivery.webhook, delivery.batch, delivery.files) == (webhook, batch, 3)
    assert (delivery.event, delivery.status) == (DeliveryEvent.BATCH_FINISHED, Status.QUEUED)


def test_a_refused_file_is_no_reason_to_wait(webhook: Webhook, owner: User, client: Any) -> None:
    from django.core.files.uploadedfile import SimpleUploadedFile

    client.force_login(owner)
    files = [SimpleUploadedFile("a.png", png()), SimpleUploadedFile("b.txt", b"text")]
    client.post("/api/v1/predictions/", {"image": files})
    assert announce() == 0
    answer(Prediction.objects.get())
    assert announce() == 1
    assert json.loads(Delivery.objects.get().body)["data"]["rejected"] == 1


def test_a_batch_that_grows_is_told_again_and_not_when_an_answer_changes(webhook: Webhook, owner: User) -> None:
    (first,) = submit_drawn(owner, 1)
    answer(first)
    assert announce() == 1
    (second,) = append(owner, Batch.objects.get(), 2)
    assert announce() == 0
    fail(second)
    assert announce() == 1
    assert [json.loads(one.body)["data"]["total"] for one in Delivery.objects.order_by("pk")] == [1, 2]
    predictions.retry(prediction=second, actor=owner)
    answer(second)
    assert announce() == 0


def test_a_batch_that_is_still_being_sent_is_given_time(webhook: Webhook, owner: User) -> None:
    answer(submit_drawn(owner, 1)[0])
    assert services.announce() == 0
    with connection.cursor() as cursor:
        cursor.execute("UPDATE predictions_event SET created_at = created_at - interval '6 s'")
    assert services.announce() == 1


def test_nobody_is_told_of_what_is_not_theirs_or_was_before(
    webhook: Webhook, owner: User, stranger: User, receiver: Receiver
) -> None:
    answer(submit_drawn(stranger, 1)[0])
    assert announce() == 0
    services.create_webhook(owner=stranger, url=receiver.url())
    assert announce() == 0
    mine = answer(submit_drawn(owner, 2)[0])
    assert announce() == 1
    assert Delivery.objects.get().batch == mine.patch.batch_items.get().batch


def test_each_webhook_is_told_and_a_paused_one_after_it_is_resumed(
    webhook: Webhook, owner: User, receiver: Receiver
) -> None:
    services.create_webhook(owner=owner, url=receiver.url())
    services.set_active(webhook=webhook, actor=owner, is_active=False)
    answer(submit_drawn(owner, 1)[0])
    assert announce() == 1
    services.set_active(webhook=webhook, actor=owner, is_active=True)
    assert announce() == 1
    assert Delivery.objects.filter(webhook=webhook).count() == 1


def test_those_who_are_shut_out_are_not_told(webhook: Webhook, owner: User) -> None:
    answer(submit_drawn(owner, 1)[0])
    User.objects.update(is_active=False)
    assert announce() == 0


def test_what_took_too_long_is_not_told(webhook: Webhook, owner: User) -> None:
    answer(submit_drawn(owner, 1)[0])
    Webhook.objects.update(created_at=timezone.now() - timedelta(days=5))
    Batch.objects.update(created_at=timezone.now() - timedelta(days=3, minutes=1))
    assert announce() == 0
    Batch.objects.update(created_at=timezone.now() - timedelta(days=2))
    assert announce() == 1


def test_short_looks_begin_where_everything_before_is_told(webhook: Webhook, owner: User) -> None:
    long_ago = timezone.now() - timedelta(hours=5)
    Webhook.objects.update(created_at=long_ago, told_until=long_ago)
    made = [submit_drawn(owner, seed)[0] for seed in range(4)]
    batches = list(Batch.objects.order_by("pk"))
    for batch, hours in zip(batches, (4, 3, 2, 0), strict=True):
        Batch.objects.filter(pk=batch.pk).update(created_at=timezone.now() - timedelta(hours=hours))
    answer(made[0])
    answer(made[2])
    assert services.announce(is_thorough=False, settled=NOW) == 2
    services.advance()
    webhook.refresh_from_db()
    batches[1].refresh_from_db()
    assert webhook.told_until == batches[1].created_at  # it waits still
    answer(made[1])
    assert services.announce(is_thorough=False, settled=NOW) == 1
    services.advance()
    webhook.refresh_from_db()
    # Not up to now: who began to write a batch a moment ago may not have ended.
    assert timedelta(minutes=4) < timezone.now() - webhook.told_until < timedelta(minutes=6)
    answer(made[3])
    assert services.announce(is_thorough=False, settled=NOW) == 1
    (grown,) = append(owner, batches[0], 9)
    answer(grown)
    assert services.announce(is_thorough=False, settled=NOW) == 0
    assert announce() == 1


def test_the_number_of_queries_does_not_depend_on_the_number_of_batches(
    webhook: Webhook, owner: User, django_assert_num_queries: Any
) -> None:
    for seed in range(5):
        answer(submit_drawn(owner, seed)[0])
    with django_assert_num_queries(4):  # found, counted, read, written
        assert announce() == 5
    with django_assert_num_queries(1):
        assert announce() == 0


@pytest.mark.django_db(transaction=True)
def test_processes_that_look_at_once_tell_once(webhook: Webhook, owner: User) -> None:
    for seed in range(20):
        answer(submit_drawn(owner, seed)[0])

    def look(_: int) -> int:
        try:
            return announce()
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(look, range(8)))
    assert Delivery.objects.count() == 20
