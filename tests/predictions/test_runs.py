"""Runs: what they take, how they go on, end and are stopped, and what becomes of their rows."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.db.models.functions import Now
from pytest_django import DjangoAssertNumQueries

from accounts.models import User
from ml.images import decode_patch
from ml.synthetic import example_png
from predictions import services
from predictions.exceptions import NothingToCompare, NotRunning, TooManyChosen, UnknownPatch
from predictions.models import (
    Event,
    ModelVersion,
    Patch,
    Prediction,
    Priority,
    Run,
    Source,
    Status,
    Visibility,
)
from predictions.services import runs
from predictions.uploads import ReceivedFile
from reviews import services as reviewing
from reviews.models import Answer
from tests.factories import answer, fail, submit_drawn
from tests.processes import somebody_waits_for_a_row, wait_for
from tests.reviews.people import say

pytestmark = pytest.mark.usefixtures("model_version")


@pytest.fixture
def other(model_version: ModelVersion) -> ModelVersion:
    """A second version: the same network under another name and hash, so that its engine is not needed."""
    return ModelVersion.objects.create(version="other-1", sha256="0" * 64, card=model_version.card)


def submit_example(owner: User) -> None:
    """One of our own drawings, answered."""
    files = [ReceivedFile("tissue.png", patch=decode_patch(example_png(0)))]
    done = services.submit(owner=owner, files=files, visibility=Visibility.PUBLIC, source=Source.WEB)
    assert done.accepted[0].current_prediction
    answer(done.accepted[0].current_prediction)


def settle(run: Run) -> Run:
    """Let the chores do what they can do now."""
    services.advance_runs()
    run.refresh_from_db()
    return run


def give_answers(model_version: ModelVersion, probability: float = 0.9) -> None:
    for row in Prediction.objects.filter(model_version=model_version, status=Status.QUEUED):
        answer(row, probability)


def counts(run: Run) -> tuple[str, int, int, int, int, int]:
    return (run.state, run.number, run.known, run.asked, run.succeeded, run.failed)


def asked(run: Run) -> set[int]:
    return set(Prediction.objects.filter(model_version=run.model_version).values_list("patch", flat=True))


def test_a_shadow_takes_what_people_have_judged_and_the_newest_answered(
    owner: User, reviewer: User, staff: User, other: ModelVersion
) -> None:
    names = ("reviewed", "stated", "old", "hidden", "dropped", "waiting", "newer", "newest")
    rows = dict(zip(names, submit_drawn(owner, *range(len(names)), visibility=Visibility.PUBLIC), strict=True))
    answer(rows["reviewed"])
    say(reviewer)
    for name in names[1:]:
        if name != "waiting":
            answer(rows[name])
    reviewing.state_truth(patch=rows["stated"].patch, owner=owner, answer=Answer.NEGATIVE)
    services.hide(patch=rows["hidden"].patch, actor=staff)
    Patch.objects.filter(pk=rows["dropped"].patch_id).update(pixels_dropped_at=Now())
    submit_example(owner)
    run = services.start_shadow(model_version=other, actor=staff, recent=2)
    submit_drawn(owner, 99)  # sent since: not in this run
    assert counts(settle(run)) == ("working", 4, 0, 4, 0, 0)
    assert asked(run) == {rows[name].patch_id for name in ("reviewed", "stated", "newer", "newest")}
    assert set(Prediction.objects.filter(awaited_by=run).values_list("purpose", "priority", "threshold", "status")) == {
        ("shadow", Priority.BACKGROUND, 0.5, "queued")
    }
    assert Event.objects.filter(kind="run_started", actor=staff, subject=str(run.uuid)).get().payload == {
        "kind": "shadow",
        "model": "other-1",
    }


def test_a_run_ends_when_all_is_answered_and_counts_what_became_of_each(owner: User, other: ModelVersion) -> None:
    rows = [answer(row) for row in submit_drawn(owner, *range(5))]
    services.ask(patch=rows[4].patch, model_version=other, actor=owner)
    answer(Prediction.objects.get(patch=rows[4].patch, model_version=other))
    run = services.start_shadow(model_version=other)
    assert run.compared_with == rows[0].model_version
    assert counts(settle(run)) == ("working", 5, 1, 4, 0, 0)
    first, second, third, _ = Prediction.objects.filter(awaited_by=run).order_by("pk")
    answer(first)
    fail(second)
    assert counts(settle(run)) == ("working", 5, 1, 4, 1, 1)
    services.withdraw(patch=third.patch, actor=owner)
    give_answers(other)
    assert counts(settle(run)) == ("finished", 5, 1, 4, 2, 1)
    assert run.finished_at
    assert not Prediction.objects.filter(awaited_by__isnull=False).exists()
    again = settle(services.start_shadow(model_version=other))  # the one that failed is tried again
    assert counts(again) == ("working", 4, 3, 1, 0, 0)
    assert list(Prediction.objects.filter(awaited_by=again).values_list("status", "attempt", "attempt_limit")) == [
        ("queued", 3, 6)
    ]


def test_a_run_is_filled_in_chunks_and_a_killed_one_goes_on(
    owner: User,
    other: ModelVersion,
    monkeypatch: pytest.MonkeyPatch,
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    for row in submit_drawn(owner, *range(7)):
        answer(row)
    monkeypatch.setattr(runs, "CHUNK", 3)
    run = services.start_shadow(model_version=other)
    with django_assert_max_num_queries(12):
        assert runs._advance(run.pk)
    run.refresh_from_db()
    assert counts(run) == ("filling", 3, 0, 3, 0, 0)

    class Killed(BaseException):
        pass

    def die(*args: object, **kwargs: object) -> None:
        raise Killed

    with monkeypatch.context() as broken:
        broken.setattr(runs, "wake_on_commit", die)  # at the very end of a chunk
        with pytest.raises(Killed):
            services.advance_runs()
    assert counts(settle(run)) == ("working", 7, 0, 7, 0, 0)
    assert len(asked(run)) == 7


@pytest.mark.parametrize("number", [2, 40])
def test_a_step_costs_the_same_however_many_rows_it_has(
    number: int, owner: User, other: ModelVersion, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for row in submit_drawn(owner, *range(number)):
        answer(row)
    run = services.start_rerun(model_version=other)
    with django_assert_num_queries(10):
        runs._advance(run.pk)
    run.refresh_from_db()
    assert run.asked == number
    runs._advance(run.pk)
    give_answers(other)
    with django_assert_num_queries(8):
        runs._advance(run.pk)
    run.refresh_from_db()
    assert run.succeeded == number


def test_pressed_twice_is_one_run(owner: User, other: ModelVersion, staff: User) -> None:
    run = services.start_shadow(model_version=other, actor=staff)
    assert services.start_shadow(model_version=other, actor=staff) == run
    rerun = services.start_rerun(model_version=other)
    assert rerun != run
    assert services.start_rerun(model_version=other) == rerun
    assert services.start_rerun(model_version=other, patches=Patch.objects.none()) != rerun
    assert Event.objects.filter(kind="run_started").count() == 3


def test_nothing_is_compared_with_itself(model_version: ModelVersion, other: ModelVersion) -> None:
    with pytest.raises(NothingToCompare):
        services.start_shadow(model_version=model_version)
    ModelVersion.objects.update(is_active=False)
    with pytest.raises(NothingToCompare):
        services.start_shadow(model_version=other)
    assert not Run.objects.exists()


def test_a_stopped_run_removes_what_waits_and_keeps_what_is_answered_or_wanted(
    owner: User, staff: User, other: ModelVersion
) -> None:
    rows = [answer(row) for row in submit_drawn(owner, *range(4))]
    run = settle(services.start_shadow(model_version=other, actor=staff))
    answered, wanted, running, _ = Prediction.objects.filter(awaited_by=run).order_by("pk")
    answer(answered)
    services.ask(patch=wanted.patch, model_version=other, actor=owner)
    Prediction.objects.filter(pk=running.pk).update(status="running", attempt=1, lease_until=Now() + timedelta(hours=1))
    services.cancel_run(run=run, actor=staff)
    services.cancel_run(run=run, actor=staff)
    assert counts(settle(run)) == ("cancelling", 4, 0, 4, 1, 0)  # one is at work, one is waited for
    assert set(Prediction.objects.filter(model_version=other)) == {answered, wanted, running}
    answer(running)
    answer(wanted)
    assert counts(settle(run)) == ("cancelled", 4, 0, 4, 3, 0)
    assert Event.objects.filter(kind="run_cancelled", actor=staff, subject=str(run.uuid)).count() == 1
    assert all(row.patch.current_prediction == row for row in rows)


def test_a_run_that_has_ended_cannot_be_stopped(other: ModelVersion) -> None:
    run = settle(services.start_rerun(model_version=other))
    assert run.state == Run.State.FINISHED
    with pytest.raises(NotRunning):
        services.cancel_run(run=run)


def test_a_rerun_of_the_active_model_becomes_current_once_it_is_answered(
    owner: User, model_version: ModelVersion, other: ModelVersion
) -> None:
    before = [answer(row, 0.2) for row in submit_drawn(owner, *range(3))]
    services.activate(model_version=other)
    run = settle(services.start_rerun(model_version=other))
    assert {row.patch.current_prediction_id for row in Prediction.objects.filter(awaited_by=run)} == {
        row.pk for row in before
    }
    first, second, third = Prediction.objects.filter(awaited_by=run).order_by("pk")
    answer(first)
    fail(second)
    assert counts(settle(run)) == ("working", 3, 0, 3, 1, 1)
    assert list(Patch.objects.order_by("pk").values_list("current_prediction", flat=True)) == [
        first.pk,
        before[1].pk,
        before[2].pk,
    ]
    answer(third)
    settle(run)
    assert set(Prediction.objects.visible_to(owner).filter(patch=third.patch)) == {before[2], third}
    assert (before[2].probability, before[2].model_version) == (0.2, model_version)
    assert counts(settle(services.start_rerun(model_version=other))) == ("working", 3, 2, 1, 0, 0)


def test_a_rerun_of_another_model_stays_a_second_opinion(owner: User, other: ModelVersion) -> None:
    (row,) = submit_drawn(owner, 1)
    answer(row)
    run = settle(services.start_rerun(model_version=other))
    give_answers(other)
    assert settle(run).state == "finished"
    assert Patch.objects.get().current_prediction == row
    assert Prediction.objects.visible_to(owner).count() == 2


def test_a_rerun_after_a_shadow_shows_what_the_shadow_answered_without_asking_again(
    owner: User, other: ModelVersion
) -> None:
    answer(submit_drawn(owner, 1)[0])
    settle(services.start_shadow(model_version=other))
    give_answers(other)
    shadow = Prediction.objects.get(model_version=other)
    assert not Prediction.objects.visible_to(owner).filter(pk=shadow.pk).exists()
    services.activate(model_version=other)
    run = settle(services.start_rerun(model_version=other))
    assert counts(run) == ("finished", 1, 0, 1, 1, 0)
    assert Patch.objects.get().current_prediction == shadow
    assert Prediction.objects.visible_to(owner).get(pk=shadow.pk).purpose == "rerun"


def test_a_rerun_is_of_those_chosen_or_of_those_since(
    owner: User, other: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new, dropped = (answer(row).patch for row in submit_drawn(owner, 1, 2, 3))
    Patch.objects.filter(pk=old.pk).update(created_at=Now() - timedelta(days=9))
    Patch.objects.filter(pk=dropped.pk).update(pixels_dropped_at=Now())
    chosen = settle(services.start_rerun(model_version=other, patches=Patch.objects.exclude(pk=new.pk)))
    assert asked(chosen) == {old.pk}
    Prediction.objects.filter(model_version=other).delete()
    since = Patch.objects.values_list("created_at", flat=True).get(pk=new.pk) - timedelta(days=1)
    assert asked(settle(services.start_rerun(model_version=other, since=since))) == {new.pk}
    monkeypatch.setattr(runs, "MOST_CHOSEN", 2)
    with pytest.raises(TooManyChosen):
        services.start_rerun(model_version=other, patches=Patch.objects.all())


def test_who_asks_for_what_a_shadow_has_gets_it_shown(owner: User, other: ModelVersion) -> None:
    rows = [answer(row) for row in submit_drawn(owner, 1, 2, 3)]
    settle(services.start_shadow(model_version=other))
    answered, waiting, failed = Prediction.objects.filter(model_version=other).order_by("pk")
    answer(answered)
    fail(failed)
    for row in rows:
        services.ask(patch=row.patch, model_version=other, actor=owner)
    fields = ("pk", "purpose", "priority", "status", "attempt_limit")
    assert list(Prediction.objects.filter(model_version=other).order_by("pk").values_list(*fields)) == [
        (answered.pk, "rerun", Priority.INTERACTIVE, "succeeded", 3),
        (waiting.pk, "rerun", Priority.INTERACTIVE, "queued", 3),
        (failed.pk, "rerun", Priority.INTERACTIVE, "queued", 6),
    ]
    assert Event.objects.filter(kind="asked", actor=owner).count() == 3
    services.ask(patch=rows[0].patch, model_version=other, actor=owner)
    assert Event.objects.filter(kind="asked", actor=owner).count() == 3


def test_what_is_asked_for_while_a_shadow_is_at_work_was_not_queued_after_its_start(
    owner: User, other: ModelVersion
) -> None:
    answer(submit_drawn(owner, 1)[0])
    settle(services.start_shadow(model_version=other))
    (running,) = Prediction.objects.claim(model_version=other, limit=1, lease=timedelta(minutes=1))
    Prediction.objects.filter(pk=running.pk).update(queued_at=Now() - timedelta(days=1))
    services.ask(patch=running.patch, model_version=other, actor=owner)
    running.refresh_from_db()
    assert running.priority == Priority.INTERACTIVE
    assert running.queued_at == running.started_at  # its owner has not waited for a day


def test_a_patch_that_is_sent_again_does_not_wait_behind_its_own_shadow(owner: User, other: ModelVersion) -> None:
    for row in submit_drawn(owner, 1, 2):
        answer(row)
    run = settle(services.start_shadow(model_version=other))
    services.activate(model_version=other)
    first, second = submit_drawn(owner, 1, 2)
    assert [(row.model_version, row.purpose, row.priority) for row in (first, second)] == [
        (other, "upload", Priority.INTERACTIVE)
    ] * 2
    assert [row.patch.current_prediction for row in (first, second)] == [first, second]
    assert Prediction.objects.filter(model_version=other).count() == 2
    give_answers(other)
    assert counts(settle(run)) == ("finished", 2, 0, 2, 2, 0)


@pytest.mark.django_db(transaction=True)
def test_an_upload_and_a_run_that_queue_the_same_at_once_make_one_row(owner: User, other: ModelVersion) -> None:
    answer(submit_drawn(owner, 1)[0])
    run = services.start_shadow(model_version=other)
    services.activate(model_version=other)
    sent: list[Prediction] = []

    def send() -> None:
        sent.extend(submit_drawn(owner, 1))
        connection.close()

    upload = threading.Thread(target=send)
    with transaction.atomic():
        runs._advance(run.pk)
        upload.start()
        wait_for(somebody_waits_for_a_row, what="the upload, which needs the row that is being made")
    upload.join()
    row = Prediction.objects.get(model_version=other)
    assert sent == [row]
    assert (row.purpose, row.priority, row.awaited_by) == ("upload", Priority.INTERACTIVE, run)
    assert Patch.objects.get().current_prediction == row


def test_a_patch_that_was_deleted_meanwhile_is_unknown(owner: User, other: ModelVersion) -> None:
    (prediction,) = submit_drawn(owner, 1)
    opened = Patch.objects.get()
    services.withdraw(patch=prediction.patch, actor=owner)
    with pytest.raises(UnknownPatch):
        services.ask(patch=opened, model_version=other, actor=owner)
    assert not Prediction.objects.exists()
