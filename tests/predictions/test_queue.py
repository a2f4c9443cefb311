"""The queue's promises, row by row. Real workers under real faults are in tests/faults/."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import numpy as np
import pytest
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.db.models.functions import Now
from redis import Redis

from accounts.models import User
from ml.engine import EngineOutput
from predictions import inference, services
from predictions.exceptions import NotRetryable
from predictions.models import Event, ModelVersion, Patch, Prediction, Priority, Status
from predictions.services import queue, stacks, wake
from tests.factories import answer, fail, submit_drawn
from tests.processes import somebody_waits_for_a_row, wait_for

LEASE = timedelta(seconds=30)


def claim(model_version: ModelVersion, limit: int = 64, *, is_first_attempt: bool = True) -> list[Prediction]:
    return Prediction.objects.claim(
        model_version=model_version, limit=limit, lease=LEASE, is_first_attempt=is_first_attempt
    )


def test_a_claim_takes_the_most_urgent_first_and_starts_an_attempt(owner: User, model_version: ModelVersion) -> None:
    rerun, bulk, interactive = submit_drawn(owner, 1, 2, 3)
    for row, priority in ((rerun, Priority.BACKGROUND), (bulk, Priority.BULK), (interactive, Priority.INTERACTIVE)):
        Prediction.objects.filter(pk=row.pk).update(priority=priority)
    first, second = claim(model_version, 2)
    assert [first, second] == [interactive, bulk]
    assert (first.status, first.attempt) == (Status.RUNNING, 1)
    assert first.lease_until
    assert first.started_at
    assert first.lease_until - first.started_at == LEASE
    assert claim(model_version) == [rerun]
    assert claim(model_version) == []


def test_a_claim_is_of_one_model_version(owner: User, model_version: ModelVersion) -> None:
    (mine,) = submit_drawn(owner, 1)
    other = ModelVersion.objects.create(version="other", sha256="1" * 64, card=model_version.card)
    Prediction.objects.create(patch=mine.patch, model_version=other, threshold=0.5, priority=Priority.BACKGROUND)
    assert list(ModelVersion.objects.with_waiting_work()) == [model_version, other]
    assert claim(model_version) == [mine]
    assert list(ModelVersion.objects.with_waiting_work()) == [other]


def test_what_a_migration_adds_disturbs_no_worker(owner: User, model_version: ModelVersion) -> None:
    first, second = submit_drawn(owner, 1, 2)
    with connection.cursor() as cursor:
        for number, row in enumerate((first, second)):
            assert list(ModelVersion.objects.with_waiting_work()) == [model_version]
            assert claim(model_version, 1) == [row]
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            for table in ("predictions_prediction", "predictions_modelversion"):
                cursor.execute(f"ALTER TABLE {table} ADD COLUMN new_{number} int")


def test_what_is_not_due_is_not_claimed(owner: User, model_version: ModelVersion) -> None:
    submit_drawn(owner, 1)
    Prediction.objects.update(next_attempt_at=Now() + timedelta(minutes=1))
    assert claim(model_version) == []
    assert ModelVersion.objects.with_waiting_work() == []


@pytest.mark.django_db(transaction=True)
def test_parallel_claims_never_share_a_row(model_version: ModelVersion, owner: User) -> None:
    submit_drawn(owner, *range(60))
    claimed: list[int] = []

    def take() -> None:
        while rows := claim(model_version, 7):
            claimed.extend(row.pk for row in rows)
        connection.close()

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(claimed), len(set(claimed))) == (60, 60)


def test_a_drain_answers_everything_with_the_real_engine(owner: User, model_version: ModelVersion) -> None:
    predictions = submit_drawn(owner, *range(70))
    assert services.drain() == 70
    engine = inference.get_engine(model_version)
    for one in (predictions[0], predictions[69]):
        one.refresh_from_db()
        pixels = stacks._stack([one]).pixels
        assert one.status == Status.SUCCEEDED
        assert one.probability == pytest.approx(float(engine.predict(pixels).probability[0]), abs=1e-5)
        assert one.finished_at
        assert one.lease_until is None
        assert one.attempt == 1


def output(*probabilities: float) -> EngineOutput:
    """An engine's answer, whose embeddings count up in 64ths, through all rows."""
    embedding = (np.arange(64 * len(probabilities)).reshape(-1, 64) / 64).astype(np.float32)
    return EngineOutput(np.array(probabilities, np.float32), embedding)


def test_an_answer_keeps_embedding_and_flags_of_its_own_row(owner: User, model_version: ModelVersion) -> None:
    submit_drawn(owner, 1, 2, 3)
    jobs = claim(model_version)
    assert queue.finish(jobs, output(0.1, 0.2, 0.3), [[], ["unlike"], ["not_he", "blurred"]]) == 3
    rows = list(Prediction.objects.order_by("pk"))
    assert [row.flags for row in rows] == [[], ["unlike"], ["not_he", "blurred"]]
    assert [len(row.embedding or b"") for row in rows] == [128] * 3
    kept = np.stack([np.frombuffer(row.embedding or b"", "<f2") for row in rows])
    np.testing.assert_array_equal(kept, np.arange(192).reshape(3, 64) / 64)
    assert list(Patch.objects.filter(current_prediction__flags=[])) == [rows[0].patch]


@pytest.mark.django_db(transaction=True)
def test_an_answer_holds_nothing_while_it_waits_for_its_patch(owner: User, model_version: ModelVersion) -> None:
    """Whoever holds the patch may go on to its prediction: who shares, sends again or deletes it takes both so."""
    (prediction,) = submit_drawn(owner, 1)
    (job,) = claim(model_version)

    def write() -> int:
        try:
            return queue.finish([job], output(0.5), [[]])
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            Patch.objects.select_for_update(no_key=True).get(pk=prediction.patch_id)
            written = pool.submit(write)
            wait_for(somebody_waits_for_a_row, what="the answer")
            assert Prediction.objects.select_for_update(nowait=True).get() == prediction
        assert written.result() == 1


def test_the_answer_of_a_lost_lease_is_dropped(owner: User, model_version: ModelVersion) -> None:
    submit_drawn(owner, 1)
    (slow,) = claim(model_version)
    Prediction.objects.update(lease_until=Now() - timedelta(seconds=1))
    services.sweep()
    (quick,) = claim(model_version, is_first_attempt=False)
    assert queue.finish([slow], output(0.9), [["unlike"]]) == 0
    assert queue.finish([quick], output(0.2), [["blurred", "scale_stated"]]) == 1
    assert queue.finish([slow, quick], output(0.9, 0.9), [[], []]) == 0
    quick.refresh_from_db()
    assert quick.attempt == 2
    assert quick.probability == pytest.approx(0.2)
    assert quick.flags == ["blurred", "scale_stated"]


def test_a_sweep_takes_back_expired_leases_and_wakes(owner: User, model_version: ModelVersion, broker: Redis) -> None:
    submit_drawn(owner, 1, 2)
    expired, held = claim(model_version)
    Prediction.objects.filter(pk=expired.pk).update(lease_until=Now() - timedelta(seconds=1))
    assert services.sweep() == queue.Swept(requeued=1, failed=0, is_woken=True)
    assert set(Prediction.objects.values_list("pk", "status", "attempt")) == {
        (expired.pk, "queued", 1),
        (held.pk, "running", 1),
    }
    assert broker.llen("idc:predictions") == 1


def test_a_sweep_wakes_once_for_what_nobody_noticed(owner: User, model_version: ModelVersion, broker: Redis) -> None:
    submit_drawn(owner, *range(5))
    assert services.sweep() == queue.Swept(requeued=0, failed=0, is_woken=False)
    Prediction.objects.update(next_attempt_at=Now() - timedelta(seconds=3))
    assert services.sweep().is_woken
    assert broker.llen("idc:predictions") == 1


def test_after_three_lost_attempts_a_job_fails_with_words_and_can_be_retried(
    owner: User, model_version: ModelVersion
) -> None:
    submit_drawn(owner, 1)
    for attempt in (1, 2, 3):
        (job,) = claim(model_version, is_first_attempt=attempt == 1)
        Prediction.objects.update(lease_until=Now() - timedelta(seconds=1))
        services.sweep()
    job.refresh_from_db()
    assert (job.status, job.error_code, job.error_message, job.attempt) == (
        "failed",
        "worker_lost",
        queue.WORKER_LOST,
        3,
    )
    services.retry(prediction=job, actor=owner)
    job.refresh_from_db()
    assert (job.status, job.error_code, job.attempt, job.attempt_limit) == ("queued", "", 3, 6)
    assert services.drain() == 1
    job.refresh_from_db()
    assert (job.status, job.attempt) == ("succeeded", 4)
    assert Event.objects.filter(kind="retried", actor=owner, subject=str(job.uuid)).count() == 1


def test_only_a_failed_prediction_can_be_retried(owner: User, model_version: ModelVersion) -> None:
    waiting, answered, failed = submit_drawn(owner, 1, 2, 3)
    answer(answered)
    fail(failed)
    services.retry(prediction=failed, actor=owner)
    for prediction in (waiting, answered, failed):
        with pytest.raises(NotRetryable):
            services.retry(prediction=prediction, actor=owner)
    assert Event.objects.filter(kind="retried").count() == 1


def test_background_work_waits_for_all_that_people_wait_for(
    owner: User, model_version: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An upload, and a map, that come in the middle of a run are next, whichever model it is that they ask."""
    other = ModelVersion.objects.create(version="other", sha256="1" * 64, card=model_version.card)
    first, *rows = submit_drawn(owner, *range(stacks.BACKGROUND_STACK + 2))
    for row in (first, *rows):
        answer(row)
        Prediction.objects.create(patch=row.patch, model_version=other, threshold=0.5, priority=Priority.BACKGROUND)
    engine, sizes = inference.get_engine(model_version), []

    class Watched:
        def predict(self, pixels: np.ndarray) -> EngineOutput:
            sizes.append(len(pixels))
            if len(sizes) == 1:
                submit_drawn(owner, 100, 101)
                services.explain(prediction=first, actor=owner)
            return engine.predict(pixels)

    monkeypatch.setattr(inference, "get_engine", lambda version: Watched())
    services.drain()
    maps = [size for size in sizes if size > stacks.STACK]
    assert [size for size in sizes if size not in maps] == [stacks.BACKGROUND_STACK, 2, 2]
    assert sizes.index(2) < sizes.index(maps[0]) < len(sizes) - 1
    assert not Prediction.objects.filter(status=Status.QUEUED).exists()


class Poisoned:
    """The real engine, but a stack with a patch of this darkness raises."""

    def __init__(self, model_version: ModelVersion, poison: int) -> None:
        self.engine, self.poison = inference.get_engine(model_version), poison

    def predict(self, pixels: np.ndarray) -> EngineOutput:
        if any(int(patch.astype(int).sum()) == self.poison for patch in pixels):
            raise RuntimeError("poison")
        return self.engine.predict(pixels)


def test_a_patch_that_raises_fails_alone_after_three_attempts(
    owner: User, model_version: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictions = submit_drawn(owner, *range(5))
    poison = int(stacks._stack(predictions[2:3]).pixels.astype(int).sum())
    engine = Poisoned(model_version, poison)
    monkeypatch.setattr(inference, "get_engine", lambda version: engine)
    monkeypatch.setattr(queue, "PAUSE", timedelta(0))
    services.drain()
    assert list(Prediction.objects.order_by("pk").values_list("status", "attempt", "error_code")) == [
        ("succeeded", 1, ""),
        ("succeeded", 1, ""),
        ("failed", 3, "prediction_failed"),
        ("succeeded", 1, ""),
        ("succeeded", 1, ""),
    ]


def test_a_patch_deleted_while_it_is_answered_harms_nobody(owner: User, model_version: ModelVersion) -> None:
    submit_drawn(owner, 1, 2)
    jobs = claim(model_version)
    services.withdraw(patch=Patch.objects.earliest("pk"), actor=owner)
    stacks._answer(jobs, inference.get_engine(model_version))
    assert list(Prediction.objects.values_list("status", flat=True)) == ["succeeded"]


@pytest.mark.parametrize(
    "values",
    [
        {"probability": 1.5, "status": "succeeded", "finished_at": Now()},
        {"status": "succeeded"},
        {"status": "succeeded", "probability": 0.5},
        {"probability": 0.5},
        {"status": "failed"},
        {"status": "running"},
        {"status": "lost"},
    ],
)
def test_the_database_refuses_rows_that_make_no_sense(
    owner: User, model_version: ModelVersion, values: dict[str, object]
) -> None:
    (row,) = submit_drawn(owner, 1)
    with pytest.raises(IntegrityError), transaction.atomic():
        Prediction.objects.filter(pk=row.pk).update(**values)


def test_one_model_at_most_is_active(model_version: ModelVersion) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        ModelVersion.objects.create(version="second", sha256="2" * 64, card=model_version.card, is_active=True)


def test_chores_forget_what_is_long_gone(owner: User) -> None:
    from accounts.models import ApiToken
    from predictions.models import WorkerHeartbeat
    from predictions.services import chores

    for worker, days in (("gone", 2), ("here", 0)):
        WorkerHeartbeat.objects.create(worker=worker, seen_at=Now() - timedelta(days=days))
    for name, days in (("old", -1), ("new", 1)):
        ApiToken.objects.create(owner, expiry=timedelta(days=days), name=name, scopes=["read"])
    chores.tidy()
    assert list(WorkerHeartbeat.objects.values_list("worker", flat=True)) == ["here"]
    assert list(ApiToken.objects.values_list("name", flat=True)) == ["new"]


def test_setup_can_be_done_again(model_version: ModelVersion) -> None:
    call_command("setup", verbosity=0)
    registered = list(ModelVersion.objects.values_list("pk", "version", "is_active"))
    call_command("setup", verbosity=0)
    assert list(ModelVersion.objects.values_list("pk", "version", "is_active")) == registered
    assert ModelVersion.objects.active() == model_version


def test_a_wake_up_is_not_repeated_while_one_is_unread_or_a_worker_is_at_work(broker: Redis) -> None:
    for _ in range(3):
        wake.wake()
    assert broker.llen("idc:predictions") == 1
    wake.say_awake()
    wake.wake()
    assert broker.llen("idc:predictions") == 1
    wake.say_asleep()
    wake.wake()
    assert broker.llen("idc:predictions") == 2
    assert 0 < int(broker.pttl(wake.AWAKE)) <= wake.AWAKE_MS  # a worker that dies is not believed for longer


def test_a_drain_looks_once_more_for_what_came_while_nobody_sent_a_wake_up(
    owner: User, model_version: ModelVersion, broker: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit_drawn(owner, 1)

    def fall_asleep() -> None:
        if Prediction.objects.count() == 1:
            submit_drawn(owner, 2)  # committed at the last moment at which the worker counts as awake
        wake.say_asleep()

    monkeypatch.setattr(stacks, "say_asleep", fall_asleep)
    assert services.drain() == 2
    assert not Prediction.objects.filter(status=Status.QUEUED).exists()
    assert broker.get(wake.AWAKE) is None


def test_a_full_stack_wakes_another_worker(owner: User, model_version: ModelVersion, broker: Redis) -> None:
    submit_drawn(owner, *range(stacks.STACK + 1))
    services.drain()
    assert broker.llen("idc:predictions") == 1


@pytest.mark.parametrize(("pause", "times"), [(0.0, 3), (1000.0, 1)])
def test_a_worker_that_is_awake_says_so_now_and_then(
    pause: float, times: int, owner: User, model_version: ModelVersion, broker: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each of its three looks, of which the last finds nothing, or at the first alone."""
    monkeypatch.setattr(stacks, "SAID_SECONDS", pause)
    submit_drawn(owner, *range(stacks.STACK + 1))
    before = broker.info("commandstats").get("cmdstat_set", {"calls": 0})["calls"]
    services.drain()
    assert broker.info("commandstats")["cmdstat_set"]["calls"] - before == times
