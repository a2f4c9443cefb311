"""What a worker does: claim a stack, compute outside any transaction, hand the answers to the queue."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from django.conf import settings
from django.db import connection
from django.utils.translation import gettext_noop
from numpy.typing import NDArray

from ml.card import ModelError
from ml.engine import Engine
from ml.explain import occlusion_map, render_png
from ml.judge import answer
from predictions import inference
from predictions.exceptions import PixelsDropped
from predictions.models import Explanation, ModelVersion, Prediction, Priority
from predictions.services.pixels import read_pixels
from predictions.services.queue import finish, finish_explanation, give_up, release
from predictions.services.wake import say_asleep, say_awake, wake_another

logger = logging.getLogger(__name__)

STACK = 64
# Of what nobody waits for. The slower model takes a third of a second for a full stack, and whoever comes next waits.
BACKGROUND_STACK = 16
DRAIN_SECONDS = 20
# After a stack smaller than this the next is let grow: a look costs five statements, be it for one patch or for many.
SMALL = 16
GROWING_SECONDS = 0.015
SAID_SECONDS = 0.25  # for so long it need not be said again that this worker is awake

# Stored in English, translated where they are shown.
PREDICTION_FAILED = gettext_noop("The model could not answer this patch, though it was tried several times.")
EXPLANATION_FAILED = gettext_noop("The map could not be made, though it was tried several times.")


@dataclass(frozen=True)
class Stack:
    """n patches to be answered at once.

    pixels: uint8 [n, 50, 50, 3]. scales: um per pixel of each, where it is stated.
    """

    pixels: NDArray[np.uint8]
    scales: list[float | None]


def drain(*, seconds: float = DRAIN_SECONDS) -> int:
    """Answer what can be claimed until nothing is left or the time is up; return how many were claimed.

    Answers that people wait for come first, then maps, one at a time, then what runs in the background.
    When the time is up another wake-up is sent, so that other tasks get their turn.
    """
    deadline, total = time.monotonic() + seconds, 0
    said_until = 0.0
    with Helper(deadline) as helper:
        while (now := time.monotonic()) < deadline:
            if now >= said_until:
                say_awake()
                said_until = now + SAID_SECONDS
            claimed = _drain_once(helper)
            if 0 < claimed < SMALL:
                time.sleep(GROWING_SECONDS)
            claimed = claimed or _explain_once()
            if not claimed:
                # What was committed while nobody sent a wake-up is found by this last look.
                say_asleep()
                said_until = 0.0
                claimed = _drain_once(helper)
            if not claimed:
                return total + helper.join()
            total += claimed
        wake_another()
        return total + helper.join()


class Helper:
    """A second thread that takes stacks of one model for as long as there are full ones.

    While one thread computes, the other claims, reads and writes: so the engine does not wait for the database.
    If it fails, the first goes on alone, and what it had claimed is taken back as from a worker that was lost.
    """

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="stacks")
        self._work: Future[int] | None = None
        self._stop = threading.Event()
        self._has_failed = False
        self._claimed = 0

    def __enter__(self) -> Helper:
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._pool.shutdown()

    def start(self, model_version: ModelVersion, engine: Engine) -> None:
        """Unless it is at work, or has failed."""
        if not self._has_failed and (self._work is None or self._work.done()):
            self.join()
            self._work = self._pool.submit(self._run, model_version, engine)

    def join(self) -> int:
        """Let it end its stack and no more; how many it has claimed in all."""
        if self._work:
            self._stop.set()
            self._claimed += self._work.result()
            self._work = None
            self._stop.clear()
        return self._claimed

    def _run(self, model_version: ModelVersion, engine: Engine) -> int:
        claimed = 0
        try:
            while not self._stop.is_set() and time.monotonic() < self._deadline and _may_have_help(model_version):
                jobs = _claim(model_version, STACK)
                claimed += len(jobs)
                _answer(jobs, engine)
                if not _has_more(jobs):
                    break
        # Whatever it is (the database refuses one more connection): half of the work goes on.
        except Exception:
            self._has_failed = True
            logger.exception("The second thread of this worker failed; the first goes on alone.")
        finally:
            connection.close()  # of this thread
        return claimed


def _drain_once(helper: Helper) -> int:
    """One stack, or one retried job, of each model that has work and can be loaded; return how many were claimed.

    Background work waits for all others: a stack of it is taken only when this look has found nothing else, maps
    included.
    """
    claimed = 0
    for model_version in ModelVersion.objects.with_waiting_work():
        is_background = model_version.urgency >= Priority.BACKGROUND
        if is_background:
            claimed = claimed or _explain_once()
            if claimed:
                return claimed
        try:
            engine = inference.get_engine(model_version)
        except ModelError as error:
            logger.error("Predictions of %s wait: %s", model_version, error)
            continue
        stack = BACKGROUND_STACK if is_background else STACK
        jobs = _claim(model_version, stack)
        if len(jobs) == stack:
            wake_another()
        if _has_more(jobs) and not model_version.has_retried:
            helper.start(model_version, engine)
        _answer(jobs, engine)
        claimed += len(jobs)
        if model_version.has_retried:
            # A job that ended a worker once is tried alone from then on, so that it takes nobody with it.
            helper.join()
            jobs = _claim(model_version, 1, is_first_attempt=False)
            _answer(jobs, engine)
            claimed += len(jobs)
    return claimed


def _claim(model_version: ModelVersion, limit: int, *, is_first_attempt: bool = True) -> list[Prediction]:
    jobs = Prediction.objects.claim(
        model_version=model_version, limit=limit, lease=_lease(), is_first_attempt=is_first_attempt
    )
    for job in jobs:
        job.model_version = model_version  # else the gate, which reads its card, asks the database again
    return jobs


def _may_have_help(model_version: ModelVersion) -> bool:
    """Whether what waits for this model is neither tried again, which is done alone, nor in the background."""
    return any(
        one.pk == model_version.pk and not one.has_retried and one.urgency < Priority.BACKGROUND
        for one in ModelVersion.objects.with_waiting_work()
    )


def _has_more(jobs: Sequence[Prediction]) -> bool:
    """Whether there may be more than this stack that does not run in the background. jobs: most urgent first."""
    return len(jobs) == STACK and jobs[-1].priority < Priority.BACKGROUND


def _explain_once() -> int:
    """Draw one map; return 1, or 0 if there is none to draw."""
    for model_version in ModelVersion.objects.with_waiting_explanations():
        try:
            engine = inference.get_engine(model_version)
        except ModelError as error:
            logger.error("Explanations of %s wait: %s", model_version, error)
            continue
        for is_first_attempt in (True, False):
            jobs = Explanation.objects.claim(
                model_version=model_version, limit=1, lease=_lease(), is_first_attempt=is_first_attempt
            )
            for job in jobs:
                _explain(job, engine, model_sha256=model_version.sha256)
                return 1
    return 0


def _lease() -> timedelta:
    return timedelta(seconds=settings.LEASE_SECONDS)


def _answer(jobs: Sequence[Prediction], engine: Engine) -> None:
    """Predict the stack and judge it; if that raises, one by one, so that a bad patch fails alone."""
    if not jobs:
        return
    try:
        stack = _stack(jobs)
        limit = jobs[0].model_version.likeness_limit
        output, flags = answer(engine, stack.pixels, stack.scales, limit=limit)
    except Exception as error:
        if len(jobs) == 1:
            if isinstance(error, PixelsDropped):
                give_up(jobs[0])
                return
            logger.exception("Prediction %s failed in attempt %d.", jobs[0].uuid, jobs[0].attempt)
            release(jobs[0], "prediction_failed", PREDICTION_FAILED)
            return
        logger.warning("A stack of %d failed; trying its patches one by one.", len(jobs), exc_info=True)
        for job in jobs:
            _answer([job], engine)
        return
    finish(jobs, output, flags)


def _explain(job: Explanation, engine: Engine, *, model_sha256: str) -> None:
    try:
        (pixels,) = _stack([job.prediction]).pixels
        png = render_png(occlusion_map(engine, pixels), model_sha256=model_sha256)
    except PixelsDropped:
        give_up(job)
        return
    # Whatever the reason is, the job has its attempts and then says that it failed.
    except Exception:
        logger.exception("The map of prediction %s failed in attempt %d.", job, job.attempt)
        release(job, "explanation_failed", EXPLANATION_FAILED)
        return
    finish_explanation(job, png)


def _stack(jobs: Sequence[Prediction]) -> Stack:
    """What the engine and the gate need of the jobs.

    Raises:
        PixelsDropped: a patch has none any more.
    """
    found = read_pixels([job.patch_id for job in jobs])
    if any(job.patch_id not in found for job in jobs):
        raise PixelsDropped
    return Stack(
        pixels=np.stack([found[job.patch_id][0] for job in jobs]),
        scales=[found[job.patch_id][1] for job in jobs],
    )
