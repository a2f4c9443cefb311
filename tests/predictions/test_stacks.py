"""Two threads of a worker take full stacks in turns; whatever must be done alone still is."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import pytest
from django.conf import settings
from django.db import OperationalError

from accounts.models import User
from ml.card import read_card
from ml.engine import Engine, EngineOutput, load_engine
from predictions import inference, services
from predictions.models import ModelVersion, Prediction, Priority, Status
from predictions.services import queue, stacks
from tests.factories import submit_drawn
from tests.processes import PATIENCE

pytestmark = pytest.mark.django_db(transaction=True)


class Watched:
    """The real engine. What it was asked: by which thread, for how many patches, and what another was asked meanwhile.

    is_met: the first to ask waits until another thread asks too; that one first does what `meanwhile` does, and takes
    its time.
    """

    def __init__(self, engine: Engine, *, is_met: bool = False) -> None:
        self.engine = engine
        self.meanwhile: Callable[[], object] = lambda: None
        self.asked: list[tuple[str, int, tuple[int, ...]]] = []
        self._meeting = threading.Barrier(2) if is_met else None
        self._running: list[int] = []

    @property
    def threads(self) -> set[str]:
        return {"helper" if name.startswith("stacks") else "main" for name, _, _ in self.asked}

    def predict(self, pixels: np.ndarray) -> EngineOutput:
        self.asked.append((threading.current_thread().name, len(pixels), tuple(self._running)))
        self._running.append(len(pixels))
        if self._meeting and len(self.asked) <= 2:
            is_helper = threading.current_thread().name.startswith("stacks")
            if is_helper:
                self.meanwhile()
            self._meeting.wait(PATIENCE)
            if is_helper:
                threading.Event().wait(0.5)
        try:
            return self.engine.predict(pixels)
        finally:
            self._running.remove(len(pixels))


@pytest.fixture
def watched(model_version: ModelVersion, monkeypatch: pytest.MonkeyPatch) -> Watched:
    watched = Watched(inference.get_engine(model_version), is_met=True)
    monkeypatch.setattr(inference, "get_engine", lambda version: watched)
    return watched


def test_two_threads_answer_full_stacks_each_patch_once(owner: User, watched: Watched) -> None:
    number = 3 * stacks.STACK + 8
    submit_drawn(owner, *range(number))
    assert services.drain() == number
    assert watched.threads == {"main", "helper"}
    assert sum(size for _, size, _ in watched.asked) == number
    assert set(Prediction.objects.values_list("status", "attempt")) == {(Status.SUCCEEDED, 1)}


def test_what_ended_a_worker_once_is_answered_while_nothing_else_is(owner: User, watched: Watched) -> None:
    *_, retried = submit_drawn(owner, *range(4 * stacks.STACK))
    watched.meanwhile = lambda: Prediction.objects.filter(pk=retried.pk).update(attempt=1)
    assert services.drain() == 4 * stacks.STACK
    assert watched.threads == {"main", "helper"}
    assert [(size, meanwhile) for _, size, meanwhile in watched.asked if size == 1] == [(1, ())]
    assert Prediction.objects.get(attempt=2) == retried


def test_what_is_tried_again_does_not_wait_for_a_backlog(
    owner: User, model_version: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = Watched(inference.get_engine(model_version))
    monkeypatch.setattr(inference, "get_engine", lambda version: watched)
    rows = submit_drawn(owner, *range(5 * stacks.STACK + 2))
    Prediction.objects.filter(pk__in=[rows[0].pk, rows[1].pk]).update(attempt=1)
    assert services.drain() == len(rows)
    assert [size for _, size, _ in watched.asked][:4] == [64, 1, 64, 1]


def test_a_worker_that_is_told_to_stop_stops_both_threads(
    owner: User, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = queue.finish

    def stop(*arguments: object) -> int:
        if not threading.current_thread().name.startswith("stacks"):
            raise SystemExit
        return finish(*arguments)  # type: ignore[arg-type]  # as they came

    monkeypatch.setattr(stacks, "finish", stop)
    submit_drawn(owner, *range(5 * stacks.STACK))
    with pytest.raises(SystemExit):
        services.drain()
    assert Prediction.objects.filter(status=Status.SUCCEEDED).count() == stacks.STACK
    assert Prediction.objects.filter(status=Status.QUEUED).count() == 3 * stacks.STACK


def test_background_work_is_answered_by_one_thread(
    owner: User, model_version: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others wait for one stack of it at most: also where it fills up a stack of what is not."""
    watched = Watched(inference.get_engine(model_version))
    monkeypatch.setattr(inference, "get_engine", lambda version: watched)
    rows = submit_drawn(owner, *range(2 * stacks.STACK))
    background = Prediction.objects.filter(pk__gt=rows[9].pk)
    background.update(priority=Priority.BACKGROUND)
    assert services.drain() == len(rows)
    assert watched.threads == {"main"}


def test_if_the_second_thread_fails_the_first_goes_on_alone(
    owner: User, watched: Watched, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    finish = queue.finish

    def lose(*arguments: object) -> int:
        if threading.current_thread().name.startswith("stacks"):
            raise OperationalError("the connection is lost")
        return finish(*arguments)  # type: ignore[arg-type]  # as they came

    monkeypatch.setattr(stacks, "finish", lose)
    number = 6 * stacks.STACK
    submit_drawn(owner, *range(number))
    assert services.drain() == number
    assert Prediction.objects.filter(status=Status.SUCCEEDED, attempt=1).count() == number - stacks.STACK
    assert Prediction.objects.filter(status=Status.RUNNING).count() == stacks.STACK  # until its lease runs out
    assert caplog.text.count("The second thread of this worker failed; the first goes on alone.") == 1
    assert "the connection is lost" in caplog.text


def test_a_second_thread_that_has_failed_is_not_tried_with_each_stack(
    owner: User, model_version: ModelVersion, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(version: ModelVersion) -> bool:
        raise OperationalError("too many clients already")

    monkeypatch.setattr(stacks, "_may_have_help", refuse)
    number = 4 * stacks.STACK
    submit_drawn(owner, *range(number))
    assert services.drain() == number
    assert set(Prediction.objects.values_list("status", "attempt")) == {(Status.SUCCEEDED, 1)}
    assert caplog.text.count("The second thread of this worker failed; the first goes on alone.") == 1


def test_a_quick_network_leaves_one_core_to_the_gate(
    model_version: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`mobilenetv2-3` answers thousands of patches a second, `resnet18-1` not two hundred."""
    slow = services.register_model(folder=settings.MODELS_DIR / "resnet18-1")
    load, threads = load_engine, {}

    def watch(*arguments: object, **options: object) -> Engine:
        threads[arguments[1].version] = options["threads"]  # type: ignore[attr-defined]  # a card
        return load(*arguments, **options)  # type: ignore[arg-type]  # as they came

    monkeypatch.setattr(inference, "load_engine", watch)
    monkeypatch.setattr(inference, "_loaded", {})
    for version in (model_version, slow):
        inference.get_engine(version)
    assert threads == {model_version.version: 1, slow.version: 2}
    assert read_card(settings.MODELS_DIR / slow.version).speed["stack_of_64_per_second"] < inference.QUICK
