"""Taking patches in."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import numpy as np
from django.db import transaction
from django.db.models import Max, Model
from django.db.models.functions import Now
from numpy.typing import NDArray

from accounts.models import ApiToken, User
from ml.images import DecodedPatch
from ml.synthetic import example_digests
from predictions.exceptions import (
    ForgetIsPrivate,
    IdempotencyConflict,
    NoActiveModel,
    ServiceError,
    UnknownBatch,
    image_error_message,
)
from predictions.models import (
    Batch,
    BatchItem,
    Event,
    IdempotencyKey,
    ModelVersion,
    Patch,
    PatchImage,
    Prediction,
    Priority,
    Purpose,
    Source,
    Visibility,
)
from predictions.models.patch import FORGET
from predictions.services import bulk, quota
from predictions.services.forget import refused_again, settle
from predictions.services.lookup import look
from predictions.services.moderate import hide_again
from predictions.services.opinion import raise_background
from predictions.services.pixels import write_pixels
from predictions.services.wake import wake_on_commit
from predictions.uploads import ReceivedFile

# A person waits for a few patches; whoever sends more waits for a folder.
INTERACTIVE_ITEMS = 20
KEY_KEPT = timedelta(hours=24)


@dataclass(frozen=True)
class Submission:
    """What became of the sent files, in the order sent. batch is None when no file was accepted.

    Repeated with the same idempotency key it is what became of them then, less the patches that were deleted since.
    """

    batch: Batch | None
    items: list[BatchItem]

    @property
    def accepted(self) -> list[Patch]:
        """One patch per accepted file, its current prediction filled in; twice if sent twice."""
        return [item.patch for item in self.items if item.patch]

    @property
    def rejected(self) -> list[BatchItem]:
        return [item for item in self.items if item.error_code]


@transaction.atomic
def submit(
    *,
    owner: User,
    files: Sequence[ReceivedFile],
    visibility: Visibility,
    source: Source,
    um_per_pixel: float | None = None,
    batch_id: UUID | None = None,
    token: ApiToken | None = None,
    idempotency_key: str = "",
    forget: bool = False,
) -> Submission:
    """Store the good patches, queue a prediction of the active model for each, and note what each file became.

    A patch that the owner has sent before is answered with the row that exists, whose visibility stays. One that was
    hidden when it was deleted is hidden from the start.
    forget: drop the pixels as soon as the answer is there. That counts for what was sent before too, except that what
    is public by now is refused (`already_shared`); and what was to be forgotten, sent without, is kept from now on.
    What is forgotten and sent again so is answered with the answer that exists, if the active model gave it.
    With `batch_id` the files are added to that batch. token: what sent them, if it was a program.
    With an idempotency key that the owner used in the last 24 hours for the same content, nothing is done again.

    Raises:
        AccountClosed: nothing is stored.
        QuotaExceeded: nothing is stored.
        NoActiveModel: nothing is stored.
        ForgetIsPrivate: it should be public and forgotten.
        UnknownBatch: the owner has no batch of this id.
        IdempotencyConflict: the key was used for other content.
    """
    if forget and visibility == Visibility.PUBLIC:
        raise ForgetIsPrivate
    decoded: dict[str, ReceivedFile] = {}
    for file in files:
        if file.patch:
            decoded.setdefault(file.patch.sha256, file)  # sent twice: the first gives it its name
    found = look(owner, decoded)
    now = found.now
    fingerprint = _fingerprint(files, visibility, um_per_pixel, batch_id, forget) if idempotency_key else ""
    if idempotency_key and (earlier := _earlier(owner, idempotency_key, fingerprint)):
        return earlier
    known, refused = found.known, refused_again(found.known, forget=forget)
    if not batch_id and len(refused) == len(decoded):
        return Submission(None, [_item(file, patch=None, refused=refused) for file in files])
    if batch_id:
        batch = _own_batch(owner=owner, batch_id=batch_id)
    else:
        batch = bulk.new(Batch, id=found.batch_key, owner=owner, source=source, created_at=now)
    if found.model_version is None:
        raise NoActiveModel
    quota.spend(owner, token, sum(1 for file in files if file.patch))

    position = 1 + ((batch.items.aggregate(last=Max("position"))["last"] or 0) if batch_id else 0)
    priority = Priority.INTERACTIVE if position + len(files) - 1 <= INTERACTIVE_ITEMS else Priority.BULK
    asked = [patch for digest, patch in known.items() if digest not in refused]
    _ask_again(asked, model_version=found.model_version, priority=priority)
    settle(asked, decoded, owner=owner, forget=forget)
    pattern = bulk.new(
        Patch,
        owner=owner,
        um_per_pixel=um_per_pixel,
        visibility=visibility,
        is_to_be_forgotten=forget,
        source=source,
        created_at=now,
    )
    new = {
        digest: bulk.alike(
            pattern,
            id=key,
            sha256=digest,
            source_width=patch.width,
            source_height=patch.height,
            original_name=file.name,
            quality={"notes": _notes(patch)},
        )
        for key, (digest, file) in zip(found.patch_keys, decoded.items(), strict=True)
        if digest not in known and (patch := file.patch)
    }
    hidden = hide_again(new, found.barred)
    pixels = {row.pk: patch.pixels for digest, row in new.items() if (patch := decoded[digest].patch)}
    predictions = _first_predictions(
        new.values(), found.prediction_keys, model_version=found.model_version, priority=priority, now=now
    )
    patches = known | new
    items = [
        _item(
            file,
            patch=patches[file.patch.sha256] if file.patch else None,
            batch=batch,
            position=place,
            refused=refused,
        )
        for place, file in enumerate(files, start=position)
    ]
    payload = {"files": len(files), "new": len(new), "source": source}
    event = bulk.new(Event, kind=Event.Kind.SUBMITTED, actor=owner, subject=str(batch.uuid), payload=payload)
    rows: list[Sequence[Model]] = [
        [] if batch_id else [batch],
        list(new.values()),
        predictions,
        items,
        [event, *hidden],
    ]
    _insert(rows, pixels)
    choice = FORGET if forget else visibility
    if new and owner.last_visibility != choice:
        User.objects.filter(pk=owner.pk).update(last_visibility=choice)
    if idempotency_key:
        places = {"batch": batch, "first": position, "last": items[-1].position}
        IdempotencyKey.objects.update_or_create(
            owner=owner, key=idempotency_key, defaults={"fingerprint": fingerprint, "created_at": now, **places}
        )
    wake_on_commit()
    return Submission(batch, items)


def _insert(rows: Sequence[Sequence[Model]], pixels: Mapping[int, NDArray[np.uint8]]) -> None:
    """The rows of each table, and the pixels by the key of their patch: of a few patches in one message."""
    if len(pixels) <= bulk.FEW:
        images = [bulk.new(PatchImage, patch_id=key, pixels=one.tobytes()) for key, one in pixels.items()]
        bulk.insert(*rows, images)
    else:
        bulk.insert(*rows)
        write_pixels(pixels)


def _fingerprint(
    files: Sequence[ReceivedFile],
    visibility: Visibility,
    um_per_pixel: float | None,
    batch_id: UUID | None,
    forget: bool,
) -> str:
    choice = FORGET if forget else visibility
    sent = [choice, str(um_per_pixel), str(batch_id), *((file.name, file.digest) for file in files)]
    return hashlib.sha256(json.dumps(sent).encode()).hexdigest()


def _earlier(owner: User, key: str, fingerprint: str) -> Submission | None:
    """What became of the request that used this key; None if there was none."""
    used = IdempotencyKey.objects.filter(owner=owner, key=key, created_at__gt=Now() - KEY_KEPT)
    found = used.select_related("batch").first()
    if found is None:
        return None
    if found.fingerprint != fingerprint:
        raise IdempotencyConflict
    items = found.batch.items.filter(position__range=(found.first, found.last)).order_by("position")
    return Submission(found.batch, list(items.with_answer()))


def _own_batch(*, owner: User, batch_id: UUID) -> Batch:
    try:
        return Batch.objects.get(owner=owner, uuid=batch_id)
    except Batch.DoesNotExist as error:
        raise UnknownBatch from error


def _notes(patch: DecodedPatch) -> list[str]:
    return [*patch.notes, *(["drawn"] if patch.sha256 in example_digests() else [])]


def _first_predictions(
    patches: Iterable[Patch], keys: Iterable[int], *, model_version: ModelVersion, priority: Priority, now: datetime
) -> list[Prediction]:
    """For each new patch a prediction to be made by the active model, which is its current one."""
    pattern = bulk.new(
        Prediction,
        model_version=model_version,
        threshold=model_version.threshold,
        priority=priority,
        queued_at=now,
        next_attempt_at=now,
    )
    predictions = []
    for patch, key in zip(patches, keys, strict=False):  # there are keys for known patches too
        prediction = bulk.alike(pattern, id=key, patch=patch)
        patch.current_prediction = prediction
        predictions.append(prediction)
    return predictions


def _ask_again(patches: list[Patch], *, model_version: ModelVersion, priority: Priority) -> None:
    """Make the active model's prediction the current one of each known patch, in a new row where there is none."""
    if not patches:
        return
    made = Prediction.objects.filter(patch__in=patches, model_version=model_version)
    locked = made.select_for_update(no_key=True).order_by("pk")
    predictions = {prediction.patch_id: prediction for prediction in locked}
    missing = sorted(patch.pk for patch in patches if patch.pk not in predictions)
    if missing:
        values = {"model_version": model_version, "threshold": model_version.threshold, "priority": priority}
        # In the order of keys, as a run goes: it may queue the same in this moment, and then its row is the one.
        Prediction.objects.bulk_create([Prediction(patch_id=key, **values) for key in missing], ignore_conflicts=True)
        predictions = {prediction.patch_id: prediction for prediction in locked.all()}
    if raise_background(predictions.values(), purpose=Purpose.UPLOAD, priority=priority):
        predictions = {prediction.patch_id: prediction for prediction in locked.all()}
    changed = [patch for patch in patches if patch.current_prediction_id != predictions[patch.pk].pk]
    for patch in patches:
        patch.current_prediction = predictions[patch.pk]
    Patch.objects.bulk_update(changed, ["current_prediction"])


def _item(
    file: ReceivedFile,
    *,
    patch: Patch | None,
    refused: Mapping[str, ServiceError],
    batch: Batch | None = None,
    position: int = 0,
) -> BatchItem:
    """What the file became. refused: why a patch is not taken, by digest."""
    refusal = refused.get(file.patch.sha256) if file.patch else None
    code, message = (refusal.code, str(refusal)) if refusal else ("", "")
    if file.error:
        code, message = file.error.code, image_error_message(file.error)
    return bulk.new(
        BatchItem,
        batch=batch,
        position=position,
        name=file.name,
        patch=None if refusal else patch,
        error_code=code,
        error_message=message,
    )
