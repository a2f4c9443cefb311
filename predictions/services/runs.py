"""A model version asked about many patches, in the background and after everyone who waits.

Starting and stopping a run writes one row. The chores process does the rest in short transactions: it looks at the
next thousand patches in the order of their keys, queues what is missing, and counts what was answered. Wherever it is
killed, another goes on from the same row.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime

from django.db import transaction
from django.db.models import Exists, F, Max, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Now

from accounts.models import User
from predictions.exceptions import NoActiveModel, NothingToCompare, NotRunning, TooManyChosen
from predictions.models import (
    MOST_CHOSEN,
    Event,
    ModelVersion,
    Patch,
    Prediction,
    Priority,
    Purpose,
    Run,
    Status,
)
from predictions.models.job import ENDED, another_try
from predictions.services.wake import wake_on_commit

RECENT = 1_000  # of the newest answered patches that a trial takes, unless it is said otherwise
MOST_RECENT = 20_000
CHUNK = 1_000  # rows of one transaction
AT_A_TIME = 5.0  # seconds
State = Run.State


@transaction.atomic
def start_shadow(*, model_version: ModelVersion, actor: User | None = None, recent: int = RECENT) -> Run:
    """Ask a version silently about all patches that people have judged, and the newest `recent` answered ones.

    The shadow run that is under way is the answer if there is one.

    Raises:
        NothingToCompare: no other version is active.
    """
    active = ModelVersion.objects.active()
    if active is None or active == model_version:
        raise NothingToCompare
    newest = _recent().order_by("-pk").values_list("pk", flat=True)[: min(recent, MOST_RECENT)]
    recent_from = min(newest, default=0)
    return _start(
        Run.Kind.SHADOW,
        model_version,
        actor,
        compared_with=active,
        recent_from=recent_from if recent else _last_patch() + 1,
    )


@transaction.atomic
def start_rerun(
    *,
    model_version: ModelVersion,
    actor: User | None = None,
    patches: QuerySet[Patch] | None = None,
    since: datetime | None = None,
) -> Run:
    """Ask a version about these patches, or about all that were sent `since`, or about all; for their owners to see.

    An answer of the active version becomes the current one of its patch; what was answered before stays beside it.
    The re-run of all that is under way is the answer to another.

    Raises:
        TooManyChosen: there are more than MOST_CHOSEN patches.
    """
    chosen = None
    if patches is not None:
        chosen = list(patches.order_by("pk").values_list("pk", flat=True)[: MOST_CHOSEN + 1])
        if len(chosen) > MOST_CHOSEN:
            raise TooManyChosen
    return _start(Run.Kind.RERUN, model_version, actor, chosen=chosen, since=since)


@transaction.atomic
def start_rerun_of(*, patches: QuerySet[Patch], actor: User) -> Run:
    """Ask the active version about these patches.

    Raises:
        NoActiveModel: there is none.
        TooManyChosen: there are more than MOST_CHOSEN patches.
    """
    active = ModelVersion.objects.active()
    if active is None:
        raise NoActiveModel
    return start_rerun(model_version=active, actor=actor, patches=patches)


def _start(kind: Run.Kind, model_version: ModelVersion, actor: User | None, **choice: object) -> Run:
    # One start at a time, so that pressing twice is once.
    ModelVersion.objects.select_for_update(no_key=True).get(pk=model_version.pk)
    if choice.get("chosen") is None:
        under_way = Run.objects.open().filter(kind=kind, model_version=model_version, chosen__isnull=True).first()
        if under_way:
            return under_way
    run = Run.objects.create(kind=kind, model_version=model_version, requested_by=actor, until=_last_patch(), **choice)
    payload = {"kind": kind, "model": model_version.version}
    Event.objects.create(kind=Event.Kind.RUN_STARTED, actor=actor, subject=str(run.uuid), payload=payload)
    return run


@transaction.atomic
def cancel_run(*, run: Run, actor: User | None = None) -> None:
    """Stop a run: what waits is removed, what is answered stays. Doing it twice is one event.

    Raises:
        NotRunning: it has ended by itself.
    """
    stopped = Run.objects.filter(pk=run.pk, state__in=(State.FILLING, State.WORKING)).update(state=State.CANCELLING)
    if stopped:
        Event.objects.create(kind=Event.Kind.RUN_CANCELLED, actor=actor, subject=str(run.uuid))
    elif Run.objects.filter(pk=run.pk, state=State.FINISHED).exists():
        raise NotRunning


def advance_runs(*, seconds: float = AT_A_TIME) -> None:
    """Move every open run on, in turns, until none has more to do at the moment or the time is up."""
    deadline = time.monotonic() + seconds
    busy = list(Run.objects.open().order_by("pk").values_list("pk", flat=True))
    while busy and time.monotonic() < deadline:
        busy = [key for key in busy if _advance(key)]


@transaction.atomic
def _advance(key: int) -> bool:
    """One step of a run; whether there is more to do at once. A run that another process has in hand is left to it."""
    run = Run.objects.open().select_for_update(skip_locked=True).filter(pk=key).first()
    if run is None:
        return False
    run.model_version = ModelVersion.objects.without_card().get(pk=run.model_version_id)
    counted = _count(run)
    if run.state == State.FILLING:
        return _fill(run)
    removed = _remove_waiting(run) if run.state == State.CANCELLING else 0
    if counted or removed:
        return True
    if not _awaited(run).exists():
        ended = State.FINISHED if run.state == State.WORKING else State.CANCELLED
        Run.objects.filter(pk=key).update(state=ended, finished_at=Now())
    return False


def _fill(run: Run) -> bool:
    """Queue what is missing among the next patches."""
    passed = list(run.candidates().values_list("pk", flat=True)[:CHUNK])
    if not passed:
        Run.objects.filter(pk=run.pk).update(state=State.WORKING)
        return True
    wanted = _wanted(run, Patch.objects.filter(pk__in=passed)).order_by("pk")
    # Locked before their predictions, as everywhere, so that who deletes one in this moment waits, or we do.
    locked = wanted.select_for_update(no_key=True, of=("self",))
    current = dict(locked.values_list("pk", "current_prediction"))
    asked, known = _join(run, current)
    new = [
        Prediction(
            patch_id=patch,
            model_version=run.model_version,
            threshold=run.model_version.threshold,
            purpose=Purpose.SHADOW if run.kind == Run.Kind.SHADOW else Purpose.RERUN,
            priority=Priority.BACKGROUND,
            awaited_by=run,
        )
        for patch in current
        if patch not in asked and patch not in known
    ]
    # Someone may ask the same at this moment; then theirs is the row.
    Prediction.objects.bulk_create(new, ignore_conflicts=True)
    Run.objects.filter(pk=run.pk).update(
        position=passed[-1],
        number=F("number") + len(current),
        known=F("known") + len(known),
        asked=F("asked") + len(asked) + len(new),
    )
    if new or asked:
        wake_on_commit()
    return True


def _recent() -> QuerySet[Patch]:
    """What a trial may take without anyone having judged it: answered tissue that staff have not hidden."""
    answered = Patch.objects.filter(
        current_prediction__status=Status.SUCCEEDED, hidden_at__isnull=True, is_to_be_forgotten=False
    )
    return answered.exclude(quality__notes__contains="drawn")


def _wanted(run: Run, patches: QuerySet[Patch]) -> QuerySet[Patch]:
    """Those of `patches` that the run is about. What is to be forgotten is for one model alone."""
    from reviews.models import GroundTruth, Review

    kept = patches.filter(pixels_dropped_at__isnull=True, is_to_be_forgotten=False)
    if run.kind == Run.Kind.RERUN:
        return kept if run.since is None else kept.filter(created_at__gte=run.since)
    judged = Q(*(Exists(kind.objects.filter(patch=OuterRef("pk"))) for kind in (Review, GroundTruth)), _connector=Q.OR)
    return kept.filter(judged | Q(pk__gte=run.recent_from, pk__in=_recent().values("pk")))


def _join(run: Run, current: Mapping[int, int | None]) -> tuple[set[int], set[int]]:
    """Of the patches that have a row of this version: those whose row the run now waits for, and those that are done.

    current: of each patch, its current prediction. Failed rows are tried again. A shadow leaves alone what an owner
    waits for or sees; a re-run makes a shadow's row one for the owner to see.
    """
    is_rerun = run.kind == Run.Kind.RERUN
    becomes_current = is_rerun and run.model_version.is_active
    rows = Prediction.objects.filter(patch__in=list(current), model_version=run.model_version)
    locked = rows.select_for_update(no_key=True).order_by("pk")
    waiting, failed, known = {}, {}, set()
    for key, patch, status, purpose, awaited in locked.values_list("pk", "patch", "status", "purpose", "awaited_by"):
        is_shadow = purpose == Purpose.SHADOW
        if status == Status.FAILED and (is_rerun or is_shadow):
            failed[key] = patch
        elif (becomes_current and current[patch] != key) or (is_rerun and is_shadow):
            waiting[key] = patch  # if it is answered already, the next count makes it current
        elif status in ENDED or awaited:
            known.add(patch)
        else:
            waiting[key] = patch
    Prediction.objects.filter(pk__in=failed).update(**another_try(), priority=Priority.BACKGROUND)
    Prediction.objects.filter(pk__in=[*waiting, *failed]).update(awaited_by=run)
    if is_rerun:
        Prediction.objects.filter(pk__in=[*waiting, *failed], purpose=Purpose.SHADOW).update(purpose=Purpose.RERUN)
    return {*waiting.values(), *failed.values()}, known


def _awaited(run: Run) -> QuerySet[Prediction]:
    return Prediction.objects.filter(awaited_by=run)


def _count(run: Run) -> int:
    """Count what was answered since, and make answers of the active version the current ones; return how many."""
    ended = _awaited(run).filter(status__in=ENDED)
    patches = Patch.objects.filter(pk__in=ended.values("patch")[:CHUNK]).order_by("pk")
    locked = list(patches.select_for_update(skip_locked=True, no_key=True).values_list("pk", flat=True))
    if not locked:
        return 0
    rows = list(ended.filter(patch__in=locked).select_for_update(no_key=True).values_list("pk", "patch", "status"))
    Prediction.objects.filter(pk__in=[key for key, _, _ in rows]).update(awaited_by=None)
    succeeded = [patch for _, patch, status in rows if status == Status.SUCCEEDED]
    if run.kind == Run.Kind.RERUN and run.model_version.is_active:
        answer = Prediction.objects.filter(patch=OuterRef("pk"), model_version=run.model_version)
        Patch.objects.filter(pk__in=succeeded).update(current_prediction=Subquery(answer.values("pk")))
    Run.objects.filter(pk=run.pk).update(
        succeeded=F("succeeded") + len(succeeded), failed=F("failed") + len(rows) - len(succeeded)
    )
    return len(rows)


def _remove_waiting(run: Run) -> int:
    """Remove rows that only this run waits for: an owner who asked the same meanwhile has made theirs more urgent."""
    waiting = _awaited(run).filter(status=Status.QUEUED, priority=Priority.BACKGROUND, attempt=0)
    keys = list(waiting.select_for_update(skip_locked=True).values_list("pk", flat=True)[:CHUNK])
    removed, _ = Prediction.objects.filter(pk__in=keys).delete()
    return removed


def _last_patch() -> int:
    return Patch.objects.aggregate(last=Max("pk"))["last"] or 0
