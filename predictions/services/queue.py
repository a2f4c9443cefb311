"""The queue: rows are the jobs. What is computed is written only while it is still ours; who works is in `stacks`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils.translation import gettext_noop

from accounts.models import User
from idc_site.postgres.prepared import Prepared, execute
from ml.engine import EngineOutput
from predictions.exceptions import NotRetryable, PixelsDropped
from predictions.models import Event, Explanation, Job, Prediction, Priority, Status
from predictions.models.job import another_try
from predictions.services.forget import drop_answered
from predictions.services.wake import wake, wake_on_commit
from predictions.waiting import FINISHED

PAUSE = timedelta(seconds=2)  # before the next attempt, times the attempts made
UNNOTICED = timedelta(seconds=2)  # what is claimable for longer has lost its wake-up

# Stored in English, translated where they are shown.
NO_PIXELS = gettext_noop("The pixels of this patch were dropped before this was done. Send the image again.")
WORKER_LOST = gettext_noop("The analysis was interrupted each time it was tried. You can try again.")

# unnest takes arrays of arrays apart, so the flags of a row travel as one text: "blurred,unlike", or "" for none.
# Who waits for these answers is told in the same statement (predictions/waiting.py).
# A patch is locked before what was answered about it, as everywhere: a trigger writes the answer beside the patch, and
# whoever shares, sends again or deletes it holds the patch and then wants the row. What is marked to be forgotten by
# then is left out, unless it is named: its pixels go in the transaction of its answer, and others need none.
FINISH = Prepared(
    "finish",
    """
WITH locked AS MATERIALIZED (
SELECT id, is_to_be_forgotten AND id <> ALL(%(to_forget)s) AS is_marked
FROM predictions_patch WHERE id = ANY(%(patches)s) ORDER BY id FOR NO KEY UPDATE
), marked AS MATERIALIZED (
SELECT coalesce(array_agg(id) FILTER (WHERE is_marked), '{}') AS patches FROM locked
), finished AS (
UPDATE predictions_prediction AS job
SET status = 'succeeded', probability = answer.probability, embedding = answer.embedding,
    flags = string_to_array(answer.flags, ','), finished_at = clock_timestamp(), lease_until = NULL,
    error_code = '', error_message = ''
FROM unnest(
    %(ids)s, %(attempts)s, %(probabilities)s, %(embeddings)s, %(flags)s
) AS answer(id, attempt, probability, embedding, flags), marked
WHERE job.id = answer.id AND job.status = 'running' AND job.attempt = answer.attempt
    AND job.patch_id <> ALL(marked.patches)
RETURNING job.id
)
SELECT count(*), pg_notify(%(channel)s, string_agg(id::text, ',')), (SELECT patches FROM marked) FROM finished
""",
    {
        "patches": "bigint[]",
        "to_forget": "bigint[]",
        "ids": "bigint[]",
        "attempts": "int[]",
        "probabilities": "float8[]",
        "embeddings": "bytea[]",
        "flags": "text[]",
        "channel": "text",
    },
)


@dataclass(frozen=True)
class Swept:
    """What a sweep found: leases that ran out, jobs given up, and whether a wake-up was needed."""

    requeued: int
    failed: int
    is_woken: bool


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
        execute(
            cursor,
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
            FINISH,
        )
        finished, _, marked = cursor.fetchone()
    return int(finished), marked


def finish_explanation(job: Explanation, png: bytes) -> bool:
    """running -> succeeded, if this attempt is still the current one."""
    mine = Explanation.objects.filter(pk=job.pk, status=Status.RUNNING, attempt=job.attempt)
    done = {"status": Status.SUCCEEDED, "png": png, "finished_at": Now(), "lease_until": None}
    return bool(mine.update(**done, error_code="", error_message=""))


def release(job: Job, code: str, message: str) -> None:
    """running -> queued after a pause, or failed when no attempt is left."""
    mine = type(job)._default_manager.filter(pk=job.pk, status=Status.RUNNING, attempt=job.attempt)
    if job.attempt < job.attempt_limit:
        mine.update(status=Status.QUEUED, lease_until=None, next_attempt_at=Now() + PAUSE * job.attempt)
    else:
        mine.update(**_failure(code, message))


def give_up(job: Job) -> None:
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
    """failed -> queued, ahead of what is not urgent. So says `prediction` then.

    Raises:
        NotRetryable: it has not failed.
        PixelsDropped: there is nothing any more to try it with.
    """
    failed = Prediction.objects.filter(pk=prediction.pk, status=Status.FAILED)
    if failed.filter(patch__pixels_dropped_at__isnull=False).exists():
        raise PixelsDropped
    if not failed.update(**another_try(), priority=Priority.INTERACTIVE):
        raise NotRetryable
    prediction.status, prediction.finished_at = Status.QUEUED, None
    prediction.error_code, prediction.error_message = "", ""
    Event.objects.create(kind=Event.Kind.RETRIED, actor=actor, subject=str(prediction.uuid))
    wake_on_commit()
