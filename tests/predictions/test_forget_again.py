"""The same pixels sent again, to be forgotten or to be kept: each line of the table in docs/adr/0011."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models.functions import Now

from accounts.models import User
from predictions import services
from predictions.exceptions import IdempotencyConflict
from predictions.models import Event, Explanation, ModelVersion, Patch, PatchImage, Prediction, Status, Visibility
from predictions.services import chores, queue
from tests.factories import drawn, fail, submit_drawn
from tests.predictions.test_forget import forgotten, has_pixels, send, sent_to_be_forgotten
from tests.predictions.test_queue import claim, output

pytestmark = pytest.mark.usefixtures("model_version")


@pytest.fixture
def other_model(model_version: ModelVersion) -> ModelVersion:
    """Registered, not active."""
    return ModelVersion.objects.create(version="other-1", sha256="1" * 64, card=model_version.card)


def test_what_was_forgotten_is_answered_with_the_answer_that_exists(owner: User) -> None:
    first = forgotten(owner)
    assert sent_to_be_forgotten(owner) == first
    assert (Prediction.objects.count(), has_pixels(first)) == (1, False)
    assert Patch.objects.get().pixels_dropped_at == first.patch.pixels_dropped_at  # nothing was written in between
    assert not Event.objects.filter(kind__in=["to_be_forgotten", "kept_after_all"]).exists()


def test_another_active_model_gets_the_pixels_anew_and_they_go_again(
    owner: User, model_version: ModelVersion, other_model: ModelVersion
) -> None:
    first = forgotten(owner)
    services.activate(model_version=other_model)
    second = sent_to_be_forgotten(owner)
    assert (second.patch, second.model_version, second.status) == (first.patch, other_model, Status.QUEUED)
    assert has_pixels(second)
    (job,) = claim(other_model)
    assert queue.finish([job], output(0.5), [[]]) == 1
    assert not has_pixels(second)
    assert Patch.objects.get().is_to_be_forgotten


def test_what_was_forgotten_and_is_sent_to_be_kept_is_an_ordinary_private_patch(
    owner: User, other_model: ModelVersion
) -> None:
    first = forgotten(owner)
    (again,) = send(owner, 1, forget=False, visibility=Visibility.PUBLIC).accepted
    assert again.current_prediction == first
    assert has_pixels(first)
    assert bytes(PatchImage.objects.get().pixels) == drawn(1).pixels.tobytes()
    patch = Patch.objects.get()
    assert (patch.visibility, patch.is_to_be_forgotten, patch.pixels_dropped_at) == ("private", False, None)
    chores.tidy()
    assert has_pixels(first)
    services.set_visibility(patch=patch, actor=owner, visibility=Visibility.PUBLIC)
    services.explain(prediction=first, actor=owner)
    services.ask(patch=patch, model_version=other_model, actor=owner)
    kinds = Event.objects.filter(subject=str(patch.uuid)).values_list("kind", flat=True)
    assert list(kinds.order_by("pk")) == ["kept_after_all", "shared", "asked"]


def test_what_waits_to_be_forgotten_and_is_sent_to_be_kept_is_kept(owner: User) -> None:
    prediction = sent_to_be_forgotten(owner)
    assert send(owner, 1, forget=False).accepted == [prediction.patch]
    services.drain()
    assert has_pixels(prediction)


def test_what_waits_and_is_sent_to_be_forgotten_is_forgotten(owner: User) -> None:
    (prediction,) = submit_drawn(owner, 1)
    services.allow_review(patch=prediction.patch, actor=owner, is_allowed=True)
    assert sent_to_be_forgotten(owner) == prediction
    patch = Patch.objects.get()
    assert (patch.is_to_be_forgotten, patch.allows_review, has_pixels(prediction)) == (True, False, True)
    services.drain()
    assert not has_pixels(prediction)


def test_what_is_answered_and_sent_to_be_forgotten_is_dropped_at_once(owner: User) -> None:
    (prediction,) = submit_drawn(owner, 1)
    services.drain()
    Explanation.objects.create(prediction=prediction)
    (patch,) = send(owner, 1).accepted
    assert patch.pixels_dropped_at
    prediction.refresh_from_db()
    assert (has_pixels(prediction), prediction.embedding, Explanation.objects.count()) == (False, None, 0)
    assert Event.objects.filter(kind="to_be_forgotten", actor=owner, subject=str(patch.uuid)).count() == 1


def test_what_failed_and_lost_its_pixels_is_tried_again_when_it_is_sent_again(owner: User) -> None:
    prediction = fail(sent_to_be_forgotten(owner))
    Prediction.objects.update(finished_at=Now() - timedelta(hours=25))
    chores.tidy()
    again = sent_to_be_forgotten(owner)
    assert (again, again.status, has_pixels(again)) == (prediction, Status.QUEUED, True)
    services.drain()
    again.refresh_from_db()
    assert (again.status, has_pixels(again)) == (Status.SUCCEEDED, False)


def test_what_is_shared_is_refused_alone_and_stays_as_it_is(owner: User) -> None:
    (shared,) = submit_drawn(owner, 1, visibility=Visibility.PUBLIC)
    services.drain()
    submission = send(owner, 1, 2)
    assert [(item.name, item.error_code) for item in submission.items] == [
        ("drawn-1.png", "already_shared"),
        ("drawn-2.png", ""),
    ]
    assert [patch.sha256 for patch in submission.accepted] == [drawn(2).sha256]
    patch = Patch.objects.get(pk=shared.patch_id)
    assert (patch.is_public, patch.is_to_be_forgotten, has_pixels(shared)) == (True, False, True)
    alone = send(owner, 1)
    assert (alone.batch, [item.error_code for item in alone.rejected]) == (None, ["already_shared"])


def test_sent_twice_at_once_is_one_patch(owner: User) -> None:
    assert len({patch.pk for patch in send(owner, 1, 1).accepted}) == 1
    services.drain()
    assert [patch.has_pixels for patch in send(owner, 1, 1).accepted] == [False, False]


def test_the_wish_is_part_of_what_an_idempotency_key_stands_for(owner: User) -> None:
    send(owner, 1, forget=False, idempotency_key="one")
    with pytest.raises(IdempotencyConflict):
        send(owner, 1, forget=True, idempotency_key="one")


def test_the_choice_is_remembered(owner: User) -> None:
    send(owner, 1)
    owner.refresh_from_db()
    assert owner.last_visibility == "forget"


@pytest.mark.django_db(transaction=True)
def test_forgetting_and_keeping_at_once_leave_a_patch_whole(owner: User) -> None:
    """Ten who send it, this way and that, while workers answer: pixels are there, or they are said to be dropped."""

    def run(number: int) -> None:
        try:
            send(owner, 1, forget=bool(number % 2))
            services.drain()
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    patch, prediction = Patch.objects.get(), Prediction.objects.get()
    assert prediction.status == Status.SUCCEEDED
    assert has_pixels(prediction) == patch.has_pixels
    chores.tidy()
    assert has_pixels(prediction) == (not Patch.objects.get().is_to_be_forgotten)
