"""`Prefer: wait` on real servers: woken by the worker, bounded, and patient with a listener that is cut off."""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import DatabaseError, connection
from django.db.backends.utils import CursorWrapper
from pytest_django import DjangoAssertNumQueries

from accounts.models import User
from ml.card import MODELS
from predictions import services, waiting
from predictions.models import ModelVersion, Prediction
from predictions.waiting import FINISHED, Ear, _told, wait_for_answers
from tests import pictures
from tests.factories import answer, fail, make_token, submit_drawn
from tests.faults.test_worker_and_broker import multipart
from tests.processes import PATIENCE, Processes, wait_for

pytestmark = pytest.mark.usefixtures("model_version")


class Waiter:
    """A program that waits up to `seconds` for its answers."""

    def __init__(self, address: str, token: str, seconds: int = 30) -> None:
        self.address, self.token, self.seconds = address, token, seconds

    def send(self, seed: int) -> tuple[int, Any, float]:
        """Status, body and seconds of one upload."""
        return self._post("", multipart(pictures.png(seed=seed)), "multipart/form-data; boundary=b")

    def ask(self, prediction: str, model: str) -> tuple[int, Any, float]:
        """The same of asking another model."""
        return self._post(f"{prediction}/rerun/", json.dumps({"model": model}).encode(), "application/json")

    def try_again(self, prediction: str) -> tuple[int, Any, float]:
        """The same of a failed prediction."""
        return self._post(f"{prediction}/retry/", b"", "application/json")

    def _post(self, path: str, data: bytes, content_type: str) -> tuple[int, Any, float]:
        request = urllib.request.Request(
            f"{self.address}/api/v1/predictions/{path}",
            data=data,
            headers={
                "Content-Type": content_type,
                "Authorization": f"Bearer {self.token}",
                "Prefer": f"wait={self.seconds}",
            },
        )
        started = time.monotonic()
        with urllib.request.urlopen(request, timeout=PATIENCE) as response:
            return response.status, json.load(response), time.monotonic() - started


def test_a_request_that_waits_is_answered_as_soon_as_the_worker_is_done(processes: Processes, owner: User) -> None:
    processes.start_worker()
    waiter = Waiter(processes.start_web(), make_token(owner))
    for seed in range(1, 4):
        status, body, seconds = waiter.send(seed)
        (prediction,) = body["predictions"]
        assert (status, prediction["status"], prediction["label"] in ("positive", "negative")) == (
            200,
            "succeeded",
            True,
        )
        assert seconds < 25


def test_so_is_one_that_waits_for_another_model(processes: Processes, owner: User) -> None:
    services.register_model(folder=MODELS / "resnet18-1")
    (first,) = submit_drawn(owner, 1)
    processes.start_worker()
    waiter = Waiter(processes.start_web(), make_token(owner))
    status, body, seconds = waiter.ask(str(first.uuid), "resnet18-1")
    assert (status, body["model"], body["status"]) == (200, "resnet18-1", "succeeded")
    assert (0 <= body["probability"] <= 1, seconds < 15) == (True, True)


def test_so_is_one_that_waits_for_another_try(processes: Processes, owner: User) -> None:
    tried, failed = submit_drawn(owner, 1, 2)
    for prediction in (tried, failed):
        fail(prediction)
    waiter = Waiter(processes.start_web(), make_token(owner), seconds=1)
    status, body, seconds = waiter.try_again(str(tried.uuid))
    assert (status, body["status"], body["error"], seconds >= 1) == (202, "queued", None, True)
    processes.start_worker()
    waiter.seconds = 30
    status, body, seconds = waiter.try_again(str(failed.uuid))
    assert (status, body["status"], 0 <= body["probability"] <= 1, seconds < 25) == (200, "succeeded", True, True)


def test_who_waits_in_vain_gets_202_when_the_time_is_up(processes: Processes, owner: User) -> None:
    services.register_model(folder=MODELS / "resnet18-1")
    waiter = Waiter(processes.start_web(), make_token(owner), seconds=1)
    status, body, seconds = waiter.send(1)
    (prediction,) = body["predictions"]
    assert (status, prediction["status"]) == (202, "queued")
    assert seconds >= 1
    status, body, seconds = waiter.ask(prediction["id"], "resnet18-1")
    assert (status, body["model"], body["status"]) == (202, "resnet18-1", "queued")
    assert seconds >= 1


def test_past_the_bound_nobody_waits_and_others_are_served(processes: Processes, owner: User) -> None:
    waiter = Waiter(processes.start_web(WAITING_REQUESTS="2", WEB_THREADS="4"), make_token(owner), seconds=12)
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(waiter.send, range(6)))
    assert {status for status, _, _ in answers} == {202}
    assert sorted(seconds >= 12 for _, _, seconds in answers) == [False] * 4 + [True] * 2


def test_a_listener_that_is_cut_off_comes_back(processes: Processes, owner: User, model_version: ModelVersion) -> None:
    processes.start_worker()
    waiter = Waiter(processes.start_web(), make_token(owner))
    assert waiter.send(1)[0] == 200
    listening = "FROM pg_stat_activity WHERE application_name = 'waiting for answers' AND datname = current_database()"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(pg_terminate_backend(pid)) {listening}")
        assert cursor.fetchone() == (1,)

        def is_back() -> bool:
            cursor.execute(f"SELECT count(*) {listening}")
            return bool(cursor.fetchone() == (1,))

        status, _, _ = waiter.send(2)
        assert status == 200
        wait_for(is_back, what=processes.log("web"))
    assert waiter.send(3)[0] == 200
    assert "Listening for answers failed" in processes.log("web")


@pytest.mark.parametrize("is_rerun", [False, True])
def test_who_waits_while_the_database_goes_away_gets_202_as_all_is_stored(
    processes: Processes, owner: User, model_version: ModelVersion, is_rerun: bool
) -> None:
    waiter = Waiter(processes.start_web(), make_token(owner), seconds=4)
    services.register_model(folder=MODELS / "resnet18-1")
    (first,) = submit_drawn(owner, 1)
    with ThreadPoolExecutor(1) as pool, connection.cursor() as cursor:
        sent = pool.submit(waiter.ask, str(first.uuid), "resnet18-1") if is_rerun else pool.submit(waiter.send, 2)
        wait_for(lambda: Prediction.objects.count() == 2, what="what was sent")
        wait_for(lambda: "waiting for answers" in _others(cursor), what="the listener")
        cursor.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        status, body, _ = sent.result()
    prediction = body if is_rerun else body["predictions"][0]
    second = Prediction.objects.exclude(pk=first.pk).get()
    assert (status, prediction["id"], prediction["status"]) == (202, str(second.uuid), "queued")
    assert "went away while a request waited" in processes.log("web")


def _others(cursor: CursorWrapper) -> str:
    cursor.execute("SELECT string_agg(application_name, ' ') FROM pg_stat_activity WHERE datname = current_database()")
    return str(cursor.fetchone())


def test_what_was_finished_between_commit_and_waiting_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    ear = Ear()
    monkeypatch.setattr(ear, "_listen", lambda: None)
    monkeypatch.setattr("predictions.waiting.REMEMBERED", 3)
    ear._hear({1, 2})
    ear._hear({3, 4})
    with ear.told_of([2, 3, 4]) as waiter:
        assert (waiter.left, waiter.answers, waiter.told.is_set()) == (set(), {}, True)
    with ear.told_of([1, 4]) as waiter:  # 1 was heard too long ago to be remembered
        assert (waiter.left, waiter.told.is_set()) == ({1}, False)


def test_answers_are_read_once_for_all_who_wait(
    owner: User, monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    ear = Ear()
    monkeypatch.setattr(ear, "_listen", lambda: None)
    sent = submit_drawn(owner, 1, 2, 3, 4)
    first, second, third, fourth = (prediction.pk for prediction in sent)
    answer(sent[0], 0.25)
    answer(sent[1], 0.75)
    services.withdraw(patch=sent[3].patch, actor=owner)
    with ear.told_of([first, second, third]) as one, ear.told_of([second, fourth]) as other:
        with django_assert_num_queries(1):
            ear._hear({first, second, fourth, 10**9})
        told = [{key: found.probability for key, found in waiter.answers.items()} for waiter in (one, other)]
        assert told == [{first: 0.25, second: 0.75}, {second: 0.75}]
        assert (one.left, one.told.is_set(), other.left, other.told.is_set()) == ({third}, False, set(), True)
    with django_assert_num_queries(0):
        ear._hear({third})


@pytest.mark.django_db(transaction=True)
def test_where_the_listener_cannot_read_each_reads_its_own(owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    ear = Ear()
    monkeypatch.setattr(ear, "_listen", lambda: None)
    (sent,) = submit_drawn(owner, 1)
    with ear.told_of([sent.pk]) as waiter, connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 1; SET lock_timeout = 1")
        other = connection.copy()
        with other.cursor() as elsewhere:
            elsewhere.execute("BEGIN; LOCK TABLE predictions_prediction")
            with pytest.raises(DatabaseError):
                ear._hear({sent.pk})
        other.close()
        assert (waiter.left, waiter.answers, waiter.told.is_set()) == (set(), {}, True)
    connection.close()


@pytest.mark.django_db(transaction=True)
def test_what_is_told_while_answers_are_read_is_heard() -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"LISTEN {FINISHED}")
        other = connection.copy()
        with other.cursor() as elsewhere:
            elsewhere.execute("SELECT pg_notify(%s, '7,8')", [FINISHED])
        other.close()
        cursor.execute("SELECT 1")  # takes the notification from the socket
    assert (_told(connection), _told(connection)) == ({7, 8}, set())
    connection.close()


@pytest.mark.django_db(transaction=True)
def test_where_no_thread_can_be_started_each_looks_for_itself(
    owner: User, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_more(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(waiting, "_ear", Ear())
    (sent,) = submit_drawn(owner, 1)
    with monkeypatch.context() as machine:
        machine.setattr("threading.Thread.start", no_more)
        assert wait_for_answers({sent.pk}, seconds=0.01)[sent.pk].status == "queued"
        answer(sent, 0.25)
        assert wait_for_answers({sent.pk}, seconds=30)[sent.pk].probability == 0.25
    assert [record.message for record in caplog.records] == [
        "Nobody listens for answers (can't start new thread); the next request that waits tries again."
    ] * 2
