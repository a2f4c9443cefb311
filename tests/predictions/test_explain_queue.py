"""How the queue makes maps: after the answers, one at a time, with the same promises."""

from __future__ import annotations

import io
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from PIL import Image
from redis import Redis

from accounts.models import User
from ml.card import ModelError
from ml.engine import EngineOutput
from predictions import inference, services
from predictions.models import Explanation, ModelVersion, Prediction, Status
from predictions.services import queue, stacks
from tests.factories import answer, submit_drawn

pytestmark = pytest.mark.usefixtures("model_version")
LEASE = timedelta(seconds=30)


@pytest.fixture
def prediction(owner: User) -> Prediction:
    """An answered one."""
    return answer(submit_drawn(owner, 1)[0])


def claim(model_version: ModelVersion, *, is_first_attempt: bool = True) -> list[Explanation]:
    return Explanation.objects.claim(
        model_version=model_version, limit=1, lease=LEASE, is_first_attempt=is_first_attempt
    )


def test_a_drain_answers_first_and_then_draws_one_map_at_a_time(
    owner: User, model_version: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    explained = [answer(one) for one in submit_drawn(owner, 1, 2)]
    for one in explained:
        services.explain(prediction=one, actor=owner)
    submit_drawn(owner, *range(10, 80))
    engine = inference.get_engine(model_version)
    asked: list[int] = []

    class Recording:
        def predict(self, pixels: np.ndarray) -> EngineOutput:
            if len(asked) == 2:  # comes in while the first map is drawn
                submit_drawn(owner, 99)
            asked.append(len(pixels))
            return engine.predict(pixels)

    monkeypatch.setattr(inference, "get_engine", lambda version: Recording())
    assert services.drain() == 73
    assert asked == [64, 6, 122, 1, 122]
    for row in Explanation.objects.select_related("prediction__model_version"):
        assert (row.status, row.attempt, row.lease_until) == ("succeeded", 1, None)
        assert row.finished_at
        picture = Image.open(io.BytesIO(row.png or b""))
        assert (picture.format, picture.size, picture.has_transparency_data) == ("PNG", (400, 400), True)
        assert picture.info["Model-SHA256"] == model_version.sha256


def test_a_claim_is_of_one_model_version(owner: User, prediction: Prediction, model_version: ModelVersion) -> None:
    other = ModelVersion.objects.create(version="other", sha256="1" * 64, card=model_version.card)
    explanation = services.explain(prediction=prediction, actor=owner)
    assert list(ModelVersion.objects.with_waiting_explanations()) == [model_version]
    assert claim(other) == []
    assert claim(model_version) == [explanation]
    assert list(ModelVersion.objects.with_waiting_explanations()) == []


def test_the_map_of_a_lost_lease_is_dropped(owner: User, prediction: Prediction, model_version: ModelVersion) -> None:
    services.explain(prediction=prediction, actor=owner)
    (slow,) = claim(model_version)
    Explanation.objects.update(lease_until=Now() - timedelta(seconds=1))
    assert services.sweep() == queue.Swept(requeued=1, failed=0, is_woken=True)
    assert claim(model_version) == []
    (quick,) = claim(model_version, is_first_attempt=False)
    assert not queue.finish_explanation(slow, b"slow")
    assert queue.finish_explanation(quick, b"quick")
    assert not queue.finish_explanation(quick, b"again")
    quick.refresh_from_db()
    assert (quick.attempt, bytes(quick.png or b"")) == (2, b"quick")


def test_a_sweep_gives_up_after_three_lost_attempts_and_sees_what_nobody_noticed(
    owner: User, prediction: Prediction, model_version: ModelVersion, broker: Redis
) -> None:
    services.explain(prediction=prediction, actor=owner)
    assert not services.sweep().is_woken
    Explanation.objects.update(next_attempt_at=Now() - timedelta(seconds=3))
    assert services.sweep().is_woken
    assert broker.llen("idc:predictions") == 1
    for attempt in (1, 2, 3):
        (job,) = claim(model_version, is_first_attempt=attempt == 1)
        Explanation.objects.update(lease_until=Now() - timedelta(seconds=1))
        services.sweep()
    job.refresh_from_db()
    assert (job.status, job.attempt, job.error_code, job.error_message) == (
        "failed",
        3,
        "worker_lost",
        queue.WORKER_LOST,
    )


def test_an_engine_that_raises_fails_the_map_after_three_attempts_and_the_answer_stays(
    owner: User, prediction: Prediction, model_version: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        def predict(self, pixels: np.ndarray) -> EngineOutput:
            raise RuntimeError("broken")

    explanation = services.explain(prediction=prediction, actor=owner)
    with monkeypatch.context() as patched:
        patched.setattr(inference, "get_engine", lambda version: Broken())
        patched.setattr(queue, "PAUSE", timedelta(0))
        assert services.drain() == 3
    explanation.refresh_from_db()
    assert (explanation.status, explanation.attempt, explanation.error_code) == ("failed", 3, "explanation_failed")
    assert Prediction.objects.get().status == Status.SUCCEEDED
    services.explain(prediction=prediction, actor=owner)
    assert services.drain() == 1
    explanation.refresh_from_db()
    assert (explanation.status, explanation.attempt, explanation.error_code) == ("succeeded", 4, "")


def test_without_its_model_a_map_waits_and_no_attempt_is_lost(
    owner: User, prediction: Prediction, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(version: ModelVersion) -> None:
        raise ModelError("gone")

    explanation = services.explain(prediction=prediction, actor=owner)
    monkeypatch.setattr(inference, "get_engine", refuse)
    assert services.drain() == 0
    explanation.refresh_from_db()
    assert (explanation.status, explanation.attempt) == ("queued", 0)


def test_a_patch_deleted_while_its_map_is_drawn_harms_nobody(
    owner: User, prediction: Prediction, model_version: ModelVersion
) -> None:
    services.explain(prediction=prediction, actor=owner)
    (job,) = claim(model_version)
    services.withdraw(patch=prediction.patch, actor=owner)
    stacks._explain(job, inference.get_engine(model_version), model_sha256=model_version.sha256)
    assert not Explanation.objects.exists()


@pytest.mark.parametrize(
    "values",
    [
        {"status": "succeeded"},
        {"status": "succeeded", "png": b"map"},
        {"status": "succeeded", "finished_at": Now()},
        {"png": b"map"},
        {"status": "failed"},
        {"status": "running"},
        {"status": "lost"},
    ],
)
def test_the_database_refuses_rows_that_make_no_sense(prediction: Prediction, values: dict[str, Any]) -> None:
    row = Explanation.objects.create(prediction=prediction)
    with pytest.raises(IntegrityError), transaction.atomic():
        Explanation.objects.filter(pk=row.pk).update(**values)
