"""Predict and forget: what is dropped and when, what stays, and what sending the same pixels again does."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from django.db import IntegrityError, connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext
from pytest_django import DjangoAssertNumQueries

from accounts.models import User
from predictions import services
from predictions.exceptions import ForgetIsPrivate, PixelsDropped, StaysPrivate
from predictions.models import (
    Event,
    Explanation,
    ModelVersion,
    Patch,
    PatchImage,
    Prediction,
    Source,
    Status,
    Visibility,
)
from predictions.services import chores, forget, queue
from predictions.services.submit import Submission
from reviews import services as reviews
from tests.factories import answer, drawn, fail, received, submit_drawn
from tests.predictions.test_queue import claim, output

pytestmark = pytest.mark.usefixtures("model_version")


def send(owner: User, *seeds: int, forget: bool = True, **fields: Any) -> Submission:
    sent = {"visibility": Visibility.PRIVATE, "source": Source.WEB} | fields
    return services.submit(owner=owner, files=received(*seeds), forget=forget, **sent)


def sent_to_be_forgotten(owner: User, seed: int = 1) -> Prediction:
    (patch,) = send(owner, seed).accepted
    assert patch.current_prediction
    return patch.current_prediction


def forgotten(owner: User, seed: int = 1) -> Prediction:
    """Sent, answered by the real engine, and dropped."""
    prediction = sent_to_be_forgotten(owner, seed)
    assert services.drain() == 1
    prediction.refresh_from_db()
    prediction.patch.refresh_from_db()
    assert not has_pixels(prediction)
    return prediction


def has_pixels(prediction: Prediction) -> bool:
    """Whether they are stored, which the patch must say too."""
    is_stored = PatchImage.objects.filter(patch=prediction.patch_id).exists()
    assert Patch.objects.get(pk=prediction.patch_id).has_pixels == is_stored
    return is_stored


@pytest.fixture
def other_model(model_version: ModelVersion) -> ModelVersion:
    """Registered, not active."""
    return ModelVersion.objects.create(version="other-1", sha256="1" * 64, card=model_version.card)


def test_the_pixels_go_with_the_answer_and_the_rest_stays(owner: User) -> None:
    kept, dropped = submit_drawn(owner, 1)[0], sent_to_be_forgotten(owner, 2)
    assert (has_pixels(kept), has_pixels(dropped)) == (True, True)
    assert services.drain() == 2
    kept.refresh_from_db()
    dropped.refresh_from_db()
    assert (has_pixels(kept), has_pixels(dropped)) == (True, False)
    assert (len(kept.embedding or b""), dropped.embedding) == (128, None)
    assert dropped.status == Status.SUCCEEDED
    assert dropped.probability is not None
    patch = Patch.objects.get(pk=dropped.patch_id)
    assert (patch.sha256, patch.visibility, patch.is_to_be_forgotten) == (drawn(2).sha256, "private", True)
    assert patch.pixels_dropped_at
    assert dropped.finished_at
    assert abs(patch.pixels_dropped_at - dropped.finished_at) < timedelta(seconds=5)


def test_a_stack_without_any_to_forget_is_finished_in_one_statement(
    owner: User, model_version: ModelVersion, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    submit_drawn(owner, 1, 2)
    jobs = claim(model_version)
    with django_assert_num_queries(1):
        queue.finish(jobs, output(0.1, 0.2), [[], []])


def test_an_ordinary_submission_needs_as_many_statements_as_before(owner: User) -> None:
    def statements(*seeds: int) -> int:
        with CaptureQueriesContext(connection) as found:
            submit_drawn(owner, *seeds)
        return len(found)

    submit_drawn(owner, 1)
    owner.refresh_from_db()
    kept = statements(2, 3)
    with CaptureQueriesContext(connection) as found:
        send(owner, 4, 5)
    assert (kept, len(found)) == (5, 6)  # two of them the savepoint's; the sixth remembers the choice


def test_pixels_that_are_marked_while_they_are_analysed_go_with_the_answer(
    owner: User, model_version: ModelVersion
) -> None:
    kept, prediction = submit_drawn(owner, 2, 1)
    jobs = claim(model_version)
    assert sent_to_be_forgotten(owner) == prediction
    assert queue.finish(jobs, output(0.1, 0.2), [[], []]) == 2
    prediction.refresh_from_db()
    assert (prediction.status, prediction.embedding, has_pixels(prediction)) == (Status.SUCCEEDED, None, False)
    assert Patch.objects.get(pk=prediction.patch_id).pixels_dropped_at
    kept.refresh_from_db()
    assert (kept.status, has_pixels(kept)) == (Status.SUCCEEDED, True)
    assert kept.embedding


class Interrupted(Exception):
    """The worker ends here."""


def test_answer_and_drop_are_one_transaction(
    owner: User, model_version: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    prediction = sent_to_be_forgotten(owner)
    jobs = claim(model_version)

    def drop(patches: Collection[int]) -> int:
        raise Interrupted

    monkeypatch.setattr(queue, "drop_answered", drop)
    with pytest.raises(Interrupted):
        queue.finish(jobs, output(0.5), [[]])
    prediction.refresh_from_db()
    assert (prediction.status, has_pixels(prediction)) == (Status.RUNNING, True)


def test_an_answer_that_comes_too_late_drops_nothing(owner: User, model_version: ModelVersion) -> None:
    prediction = sent_to_be_forgotten(owner)
    late = claim(model_version)
    Prediction.objects.update(status=Status.QUEUED, lease_until=None, next_attempt_at=Now())
    claim(model_version, is_first_attempt=False)
    assert queue.finish(late, output(0.5), [[]]) == 0
    assert has_pixels(prediction)


def test_a_second_opinion_that_was_under_way_leaves_no_embedding_either(
    owner: User, model_version: ModelVersion, other_model: ModelVersion
) -> None:
    (first,) = submit_drawn(owner, 1)
    second = services.ask(patch=first.patch, model_version=other_model, actor=owner)
    assert sent_to_be_forgotten(owner) == first
    jobs, others = claim(model_version), claim(other_model)
    queue.finish(jobs, output(0.1), [[]])
    assert not has_pixels(first)
    queue.finish(others, output(0.2), [[]])
    second.refresh_from_db()
    assert (second.status, second.embedding) == (Status.SUCCEEDED, None)


def test_what_failed_keeps_its_pixels_for_a_day(owner: User) -> None:
    prediction = fail(sent_to_be_forgotten(owner))
    chores.tidy()
    assert has_pixels(prediction)
    services.retry(prediction=prediction, actor=owner)
    fail(prediction)
    Prediction.objects.update(finished_at=Now() - timedelta(hours=25))
    chores.tidy()
    assert not has_pixels(prediction)
    with pytest.raises(PixelsDropped):
        services.retry(prediction=prediction, actor=owner)


def test_what_waits_is_never_dropped_and_an_ordinary_patch_neither(owner: User) -> None:
    waiting, ordinary = sent_to_be_forgotten(owner, 1), fail(submit_drawn(owner, 2)[0])
    Prediction.objects.filter(pk=waiting.pk).update(queued_at=Now() - timedelta(days=9))
    Prediction.objects.filter(pk=ordinary.pk).update(finished_at=Now() - timedelta(days=9))
    answer(submit_drawn(owner, 3)[0])
    chores.tidy()
    assert PatchImage.objects.count() == 3


def test_chores_drop_what_a_worker_did_not(owner: User) -> None:
    prediction = answer(sent_to_be_forgotten(owner))  # as a worker of an older version writes it
    Prediction.objects.update(embedding=b"x" * 128)
    Explanation.objects.create(prediction=prediction)
    assert has_pixels(prediction)
    chores.tidy()
    prediction.refresh_from_db()
    assert (has_pixels(prediction), prediction.embedding, Explanation.objects.count()) == (False, None, 0)
    dropped_at = Patch.objects.get().pixels_dropped_at
    chores.tidy()
    assert Patch.objects.get().pixels_dropped_at == dropped_at


def test_many_are_dropped_a_thousand_at_a_time(owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forget, "AT_ONCE", 2)
    for patch in send(owner, 1, 2, 3, 4, 5).accepted:
        assert patch.current_prediction
        answer(patch.current_prediction)
    assert forget.drop_overdue() == 5
    assert PatchImage.objects.count() == 0


def test_a_forgotten_patch_is_private_for_good(owner: User, staff: User) -> None:
    waiting, done = sent_to_be_forgotten(owner, 2), None
    assert services.drain() == 1
    done = forgotten(owner, 3)
    waiting = sent_to_be_forgotten(owner, 4)
    for prediction, error in ((waiting, StaysPrivate), (done, PixelsDropped)):
        with pytest.raises(error):
            services.set_visibility(patch=prediction.patch, actor=owner, visibility=Visibility.PUBLIC)
        with pytest.raises(error):
            services.allow_review(patch=prediction.patch, actor=owner, is_allowed=True)
        services.set_visibility(patch=prediction.patch, actor=owner, visibility=Visibility.PRIVATE)
        services.allow_review(patch=prediction.patch, actor=owner, is_allowed=False)
        services.admit(patch=prediction.patch, actor=staff)
        patch = Patch.objects.get(pk=prediction.patch_id)
        assert (patch.visibility, patch.allows_review) == ("private", False)
        assert patch not in Patch.objects.in_gallery()
    assert not Event.objects.filter(kind__in=["shared", "review_allowed"]).exists()


@pytest.mark.parametrize("changes", [{"visibility": "public"}, {"allows_review": True}])
def test_the_database_knows_it_too(owner: User, changes: dict[str, Any]) -> None:
    sent_to_be_forgotten(owner)
    with pytest.raises(IntegrityError, match="forgotten_is_private"):
        Patch.objects.update(**changes)


def test_no_reviewer_is_asked_about_what_has_no_pixels(owner: User, reviewer: User) -> None:
    (prediction,) = submit_drawn(owner, 1, visibility=Visibility.PUBLIC)
    answer(prediction)
    assert [draw.patch for draw in reviews.next_draws(reviewer=reviewer)] == [prediction.patch]
    Patch.objects.update(pixels_dropped_at=Now())
    assert reviews.next_draws(reviewer=reviewer) == []


def test_another_model_and_a_map_need_pixels(
    owner: User, model_version: ModelVersion, other_model: ModelVersion
) -> None:
    done, waiting = forgotten(owner), sent_to_be_forgotten(owner, 2)
    for prediction, error in ((done, PixelsDropped), (waiting, StaysPrivate)):
        with pytest.raises(error):
            services.ask(patch=prediction.patch, model_version=other_model, actor=owner)
        assert services.ask(patch=prediction.patch, model_version=model_version, actor=owner) == prediction
    with pytest.raises(PixelsDropped):
        services.explain(prediction=done, actor=owner)
    assert (Prediction.objects.count(), Explanation.objects.count()) == (2, 0)


def test_another_model_is_not_asked_about_what_was_marked_since_it_was_read(
    owner: User, other_model: ModelVersion
) -> None:
    (prediction,) = submit_drawn(owner, 1)
    Patch.objects.update(is_to_be_forgotten=True)
    assert not prediction.patch.is_to_be_forgotten
    with pytest.raises(StaysPrivate):
        services.ask(patch=prediction.patch, model_version=other_model, actor=owner)


def test_a_job_without_pixels_fails_at_once_and_its_neighbours_do_not(owner: User) -> None:
    gone, fine = submit_drawn(owner, 1, 2)
    PatchImage.objects.filter(patch=gone.patch_id).delete()
    services.drain()
    gone.refresh_from_db()
    fine.refresh_from_db()
    assert (gone.status, gone.error_code, gone.attempt) == (Status.FAILED, "pixels_dropped", 1)
    assert fine.status == Status.SUCCEEDED


def test_a_map_whose_pixels_went_fails_at_once(owner: User) -> None:
    prediction = answer(submit_drawn(owner, 1)[0])
    services.explain(prediction=prediction, actor=owner)
    PatchImage.objects.all().delete()
    services.drain()
    found = Explanation.objects.get()
    assert (found.status, found.error_code, found.attempt) == (Status.FAILED, "pixels_dropped", 1)


def test_what_is_public_cannot_be_sent_to_be_forgotten(owner: User) -> None:
    with pytest.raises(ForgetIsPrivate):
        send(owner, 1, visibility=Visibility.PUBLIC)
    assert Patch.objects.count() == 0


def test_the_answer_is_the_one_that_kept_pixels_would_have_had(owner: User, stranger: User) -> None:
    dropped, kept = sent_to_be_forgotten(owner), submit_drawn(stranger, 1)[0]
    services.drain()
    dropped.refresh_from_db()
    kept.refresh_from_db()
    assert dropped.probability is not None
    assert np.isclose(dropped.probability, kept.probability or -1, atol=1e-6)
    assert dropped.flags == kept.flags
