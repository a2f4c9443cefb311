"""Taking patches in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Max
from django.db.models.functions import Now

from accounts.models import User
from ml.images import DecodedPatch, encode_png
from ml.synthetic import example_digests
from predictions.exceptions import NoActiveModel, QuotaExceeded, UnknownBatch, image_error_message
from predictions.models import (
    Batch,
    BatchItem,
    Event,
    ModelVersion,
    Patch,
    PatchImage,
    Prediction,
    Priority,
    Source,
    Visibility,
)
from predictions.services.wake import wake_on_commit
from predictions.uploads import ReceivedFile

# A person waits for a few patches; whoever sends more waits for a folder.
INTERACTIVE_ITEMS = 20


@dataclass(frozen=True)
class Submission:
    """What became of the sent files, in the order sent. batch is None when no file was accepted."""

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
) -> Submission:
    """Store the good patches, queue a prediction of the active model for each, and note what each file became.

    A patch that the owner has sent before is answered with the row that exists, whose visibility stays.
    With `batch_id` the files are added to that batch.

    Raises:
        QuotaExceeded: nothing is stored.
        NoActiveModel: nothing is stored.
        UnknownBatch: the owner has no batch of this id.
    """
    # One submission of a user at a time: the quota and "sent before" are decided under this lock.
    User.objects.select_for_update(no_key=True).get(pk=owner.pk)
    decoded = {file.patch.sha256: file for file in files if file.patch}
    batch = _batch(owner=owner, source=source, batch_id=batch_id) if batch_id or decoded else None
    if batch is None:
        return Submission(None, [_item(file, patch=None) for file in files])
    model_version = ModelVersion.objects.active()
    if model_version is None:
        raise NoActiveModel
    _check_quota(owner, sum(1 for file in files if file.patch))

    position = (batch.items.aggregate(last=Max("position"))["last"] or 0) + 1
    known = {patch.sha256: patch for patch in Patch.objects.filter(owner=owner, sha256__in=decoded)}
    new = [
        Patch(
            owner=owner,
            sha256=digest,
            source_width=patch.width,
            source_height=patch.height,
            um_per_pixel=um_per_pixel,
            original_name=file.name,
            visibility=visibility,
            quality={"notes": _notes(patch)},
            source=source,
        )
        for digest, file in decoded.items()
        if digest not in known and (patch := file.patch)
    ]
    Patch.objects.bulk_create(new)
    PatchImage.objects.bulk_create(
        PatchImage(patch=patch, png=encode_png(received.pixels))
        for patch in new
        if (received := decoded[patch.sha256].patch)
    )
    patches = known | {patch.sha256: patch for patch in new}
    priority = Priority.INTERACTIVE if position + len(files) - 1 <= INTERACTIVE_ITEMS else Priority.BULK
    _queue_predictions(list(patches.values()), model_version=model_version, priority=priority)

    items = [
        _item(file, patch=patches[file.patch.sha256] if file.patch else None, batch=batch, position=place)
        for place, file in enumerate(files, start=position)
    ]
    BatchItem.objects.bulk_create(items)
    if new:
        User.objects.filter(pk=owner.pk).update(last_visibility=visibility)
    Event.objects.create(
        kind=Event.Kind.SUBMITTED,
        actor=owner,
        subject=str(batch.uuid),
        payload={"files": len(files), "new": len(new), "source": source},
    )
    wake_on_commit()
    return Submission(batch, items)


def _batch(*, owner: User, source: Source, batch_id: UUID | None) -> Batch:
    if batch_id is None:
        return Batch.objects.create(owner=owner, source=source)
    try:
        return Batch.objects.get(owner=owner, uuid=batch_id)
    except Batch.DoesNotExist as error:
        raise UnknownBatch from error


def used_today(owner: User) -> int:
    """How many of the patches of a day `owner` has sent in the last 24 hours."""
    return BatchItem.objects.filter(
        batch__owner=owner, batch__created_at__gte=Now() - timedelta(days=1), error_code=""
    ).count()


def _check_quota(owner: User, wanted: int) -> None:
    if used_today(owner) + wanted > settings.PATCHES_PER_DAY:
        raise QuotaExceeded


def _notes(patch: DecodedPatch) -> list[str]:
    return [*patch.notes, *(["drawn"] if patch.sha256 in example_digests() else [])]


def _queue_predictions(patches: list[Patch], *, model_version: ModelVersion, priority: Priority) -> None:
    """Make the active model's prediction the current one of each patch, in a new row where there is none."""
    existing = {
        prediction.patch_id: prediction
        for prediction in Prediction.objects.filter(patch__in=patches, model_version=model_version)
    }
    new = [
        Prediction(patch=patch, model_version=model_version, threshold=model_version.threshold, priority=priority)
        for patch in patches
        if patch.pk not in existing
    ]
    Prediction.objects.bulk_create(new)
    predictions = existing | {prediction.patch_id: prediction for prediction in new}
    changed = []
    for patch in patches:
        if patch.current_prediction_id != predictions[patch.pk].pk:
            changed.append(patch)
        patch.current_prediction = predictions[patch.pk]
    Patch.objects.bulk_update(changed, ["current_prediction"])


def _item(file: ReceivedFile, *, patch: Patch | None, batch: Batch | None = None, position: int = 0) -> BatchItem:
    return BatchItem(
        batch=batch,
        position=position,
        name=file.name,
        patch=patch,
        error_code=file.error.code if file.error else "",
        error_message=image_error_message(file.error) if file.error else "",
    )
