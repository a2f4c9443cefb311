"""The queue: rows are the jobs. Claim, compute outside any transaction, finish only what is still ours."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from django.conf import settings
from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils.translation import gettext_noop
from numpy.typing import NDArray

from accounts.models import User
from ml.card import ModelError
from ml.engine import Engine, EngineOutput
from ml.explain import occlusion_map, render_png
from ml.images import from_bytes
from ml.judge import answer
from predictions import inference
from predictions.exceptions import NotRetryable, PixelsDropped
from predictions.models import Event, Explanation, Job, ModelVersion, PatchImage, Prediction, Priority, Status
from predictions.models.job import another_try
from predictions.models.patch import shown_um_per_pixel
from predictions.services.forget import drop_answered
from predictions.services.wake import say_asleep, say_awake, wake, wake_another, wake_on_commit
from predictions.waiting import FINISHED

logger = logging.getLogger(__name__)

STACK = 64
# Of what nobody waits for. The slower model takes a third of a second for a full stack, and whoever comes next waits.
BACKGROUND_STACK = 16
DRAIN_SECONDS = 20
# After a stack smaller than this the next is let grow: a look costs five statements, be it for one patch or for many.
SMALL = 16
GROWING_SECONDS = 0.015
SAID_SECONDS = 0.25  # for so long it need not be said again that this worker is awake
PAUSE = timedelta(seconds=2)  # before the next attempt, times the attempts made
UNNOTICED = timedelta(seconds=2)  # what is claimable for longer has lost its wake-up

# Stored in English, translated where they are shown.
PREDICTION_FAILED = gettext_noop("The model could not answer this patch, though it was tried several times.")
EXPLANATION_FAILED = gettext_noop("The map could not be made, though it was tried several times.")
NO_PIXELS = gettext_noop("The pixels of this patch were dropped before this was done. Send the image again.")
WORKER_LOST = gettext_noop("The analysis was interrupted each time it was tried. You can try again.")

# unnest takes arrays of arrays apart, so the flags of a row travel as one text: "blurred,unlike", or "" for none.
# Who waits for these answers is told in the same statement (predictions/waiting.py).
# A patch is locked before what was answered about it, as everywhere: a trigger writes the answer beside the patch, and
# whoever shares, sends again or deletes it holds the patch and then wants the row. What is marked to be forgotten by
# then is left out, unless it is named: its pixels go in the transaction of its answer, and others need none.
FINISH = """
WITH locked AS MATERIALIZED (
SELECT id, is_to_be_forgotten AND id <> ALL(%(to_forget)s::bigint[]) AS is_marked
FROM predictions_patch WHERE id = ANY(%(patches)s::bigint[]) ORDER BY id FOR NO KEY UPDATE
), marked AS MATERIALIZED (
SELECT coalesce(array_agg(id) FILTER (WHERE is_marked), '{}') AS patches FROM locked
), finished AS (
UPDATE predictions_prediction AS job
SET status = 'succeeded', probability = answer.probability, embedding = answer.embedding,
    flags = string_to_array(answer.flags, ','), finished_at = clock_timestamp(), lease_until = NULL,
    error_code = '', error_message = ''
FROM unnest(
    %(ids)s::bigint[], %(attempts)s::int[], %(probabilities)s::float8[], %(embeddings)s::bytea[], %(flags)s::text[]
) AS answer(id, attempt, probability, embedding, flags), marked
WHERE job.id = answer.id AND job.status = 'running' AND job.attempt = answer.attempt
    AND job.patch_id <> ALL(marked.patches)
RETURNING job.id
)
SELECT count(*), pg_notify(%(channel)s, string_agg(id::text, ',')), (SELECT patches FROM marked) FROM finished
"""


@dataclass(frozen=True)
class Stack:
    """n patches to be answered at once.

    pixels: uint8 [n, 50, 50, 3]. scales: um per pixel of each, where it is stated.
    """

    pixels: NDArray[np.uint8]
    scales: list[float | None]


@dataclass(frozen=True)
class Swept:
    """What a sweep found: leases that ran out, jobs given up, and whether a wake-up was needed."""

    requeued: int
    failed: int
    is_woken: bool


def drain(*, seconds: float = DRAIN_SECONDS) -> int:
    """Answer what can be claimed until nothing is left or the time is up; return how many were claimed.

    Answers that people wait for come first, then maps, one at a time, then what runs in the background.
    When the time is up another wake-up is sent, so that other tasks get their turn.
    """
    deadline, total = time.monotonic() + seconds, 0
    said_until = 0.0
    while (now := time.monotonic()) < deadline:
        if now >= said_until:
            say_awake()
            said_until = now + SAID_SECONDS
        claimed = _drain_once()
        if 0 < claimed < SMALL:
            time.sleep(GROWING_SECONDS)
        claimed = claimed or _explain_once()
        if not claimed:
            # What was committed while nobody sent a wake-up is found by this last look.
            say_asleep()
            said_until = 0.0
            claimed = _drain_once()
        if not claimed:
            return total
        total += claimed
    wake_another()
    return total


def _drain_once() -> int:
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
        # A job that ended a worker once is tried alone from then on, so that it takes nobody with it.
        stack = BACKGROUND_STACK if is_background else STACK
        takes = [(stack, True), (1, False)] if model_version.has_retried else [(stack, True)]
        for limit, is_first_attempt in takes:
            jobs = Prediction.objects.claim(
                model_version=model_version,
                limit=limit,
                lease=_lease(),
                is_first_attempt=is_first_attempt,
            )
            for job in jobs:
                job.model_version = model_version  # else the gate, which reads its card, asks the database again
            if len(jobs) == stack:
                wake_another()
            if jobs:
                _answer(jobs, engine)
            claimed += len(jobs)
    return claimed


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
    try:
        stack = _stack(jobs)
        limit = jobs[0].model_version.likeness_limit
        output, flags = answer(engine, stack.pixels, stack.scales, limit=limit)
    except Exception as error:
        if len(jobs) == 1:
            if isinstance(error, PixelsDropped):
                _give_up(jobs[0])
                return
            logger.exception("Prediction %s failed in attempt %d.", jobs[0].uuid, jobs[0].attempt)
            _release(jobs[0], "prediction_failed", PREDICTION_FAILED)
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
        _give_up(job)
        return
    # Whatever the reason is, the job has its attempts and then says that it failed.
    except Exception:
        logger.exception("The map of prediction %s failed in attempt %d.", job, job.attempt)
        _release(job, "explanation_failed", EXPLANATION_FAILED)
        return
    finish_explanation(job, png)


def _stack(jobs: Sequence[Prediction]) -> Stack:
    """What the engine and the gate need of the jobs.

    Raises:
        PixelsDropped: a patch has none any more.
    """
    images = PatchImage.objects.filter(patch__in=[job.patch_id for job in jobs])
    stated = ("patch__um_per_pixel", "patch__source_width", "patch__source_height")
    rows = images.values_list("patch_id", "pixels", *stated)
    found = {key: (pixels, shown_um_per_pixel(*scale)) for key, pixels, *scale in rows}
    if any(job.patch_id not in found for job in jobs):
        raise PixelsDropped
    return Stack(
        pixels=np.stack([from_bytes(found[job.patch_id][0]) for job in jobs]),
        scales=[found[job.patch_id][1] for job in jobs],
    )


def finish(jobs: Sequence[Prediction], output: EngineOutput, flags: Sequence[Sequence[str]]) -> int:
    """running -> succeeded for every job whose attempt is still the current one; return how many were.

    flags: codes of ml.gate.FLAGS, for each job its own. Pixels that are to be forgotten go with their answer.
    """
    finished, marked = _finish(jobs, output, flags)
    if not marked:
        return finished
    rest = [place for place, job in enumerate(jobs) if job.patch_id in marked]
    answers = EngineOutput(output.probability[rest], output.embedding[rest])
    with transaction.atomic():
        more, _ = _finish([jobs[place] for place in rest], answers, [flags[place] for place in rest], to_forget=marked)
        drop_answered(marked)
    return finished + more


def _finish(
    jobs: Sequence[Prediction],
    output: EngineOutput,
    flags: Sequence[Sequence[str]],
    to_forget: Collection[int] = (),
) -> tuple[int, list[int]]:
    """How many were finished; and the patches left out, as they are to be forgotten and not in `to_forget`."""
    with connection.cursor() as cursor:
        cursor.execute(
            FINISH,
            {
                "patches": [job.patch_id for job in jobs],
                "to_forget": list(to_forget),
                "ids": [job.pk for job in jobs],
                "attempts": [job.attempt for job in jobs],
                "probabilities": [float(probability) for probability in output.probability],
                "embeddings": [
                    None if job.patch_id in to_forget else embedding.astype("<f2").tobytes()
                    for job, embedding in zip(jobs, output.embedding, strict=True)
                ],
                "flags": [",".join(codes) for codes in flags],
                "channel": FINISHED,
            },
        )
        finished, _, marked = cursor.fetchone()
    return int(finished), marked


def finish_explanation(job: Explanation, png: bytes) -> bool:
    """running -> succeeded, if this attempt is still the current one."""
    mine = Explanation.objects.filter(pk=job.pk, status=Status.RUNNING, attempt=job.attempt)
    done = {"status": Status.SUCCEEDED, "png": png, "finished_at": Now(), "lease_until": None}
    return bool(mine.update(**done, error_code="", error_message=""))


def _release(job: Job, code: str, message: str) -> None:
    """running -> queued after a pause, or failed when no attempt is left."""
    mine = type(job)._default_manager.filter(pk=job.pk, status=Status.RUNNING, attempt=job.attempt)
    if job.attempt < job.attempt_limit:
        mine.update(status=Status.QUEUED, lease_until=None, next_attempt_at=Now() + PAUSE * job.attempt)
    else:
        mine.update(**_failure(code, message))


def _give_up(job: Job) -> None:
    """running -> failed at once: without pixels no attempt can help."""
    mine = type(job)._default_manager.filter(pk=job.pk, status=Status.RUNNING, attempt=job.attempt)
    mine.update(**_failure(PixelsDropped.code, NO_PIXELS))


def _failure(code: str, message: str) -> dict[str, object]:
    return {
        "status": Status.FAILED,
        "lease_until": None,
        "finished_at": Now(),
        "error_code": code,
        "error_message": message,
    }


def sweep() -> Swept:
    """Take back expired leases, give up what has no attempt left, and wake the workers if work is unnoticed."""
    swept = [_sweep_jobs(kind) for kind in (Prediction, Explanation)]
    is_woken = any(one.is_woken for one in swept)
    if is_woken:
        wake()
    return Swept(sum(one.requeued for one in swept), sum(one.failed for one in swept), is_woken)


def _sweep_jobs(kind: type[Job]) -> Swept:
    """Sweep the jobs of one table; is_woken says that a wake-up is needed."""
    jobs = kind._default_manager
    with transaction.atomic():
        expired = jobs.filter(status=Status.RUNNING, lease_until__lt=Now())
        failed = expired.filter(attempt__gte=F("attempt_limit")).update(**_failure("worker_lost", WORKER_LOST))
        requeued = expired.update(status=Status.QUEUED, lease_until=None, next_attempt_at=Now())
    is_unnoticed = jobs.filter(status=Status.QUEUED, next_attempt_at__lt=Now() - UNNOTICED).exists()
    return Swept(requeued=requeued, failed=failed, is_woken=is_unnoticed or bool(requeued))


@transaction.atomic
def retry(*, prediction: Prediction, actor: User) -> None:
    """failed -> queued, ahead of what is not urgent.

    Raises:
        NotRetryable: it has not failed.
        PixelsDropped: there is nothing any more to try it with.
    """
    failed = Prediction.objects.filter(pk=prediction.pk, status=Status.FAILED)
    if failed.filter(patch__pixels_dropped_at__isnull=False).exists():
        raise PixelsDropped
    if not failed.update(**another_try(), priority=Priority.INTERACTIVE):
        raise NotRetryable
    Event.objects.create(kind=Event.Kind.RETRIED, actor=actor, subject=str(prediction.uuid))
    wake_on_commit()
