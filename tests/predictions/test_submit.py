from __future__ import annotations

import threading
from functools import partial
from uuid import uuid4

import pytest
from django.db import connection
from pytest_django import Settings

from accounts.models import User
from ml.formats import ImageError
from ml.images import decode_patch
from ml.synthetic import example_png
from predictions import services
from predictions.exceptions import NoActiveModel, QuotaExceeded, UnknownBatch
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
    Status,
    Visibility,
)
from predictions.uploads import ReceivedFile
from tests.factories import drawn, make_user, received, submit_drawn

pytestmark = pytest.mark.usefixtures("model_version")
BAD = ReceivedFile("bad.txt", error=ImageError("not_an_image"))


def test_a_submission_stores_patches_pixels_jobs_and_an_event(owner: User, model_version: ModelVersion) -> None:
    files = [*received(1), BAD, *received(2)]
    submission = services.submit(
        owner=owner, files=files, visibility=Visibility.PUBLIC, source=Source.API, um_per_pixel=4.0
    )
    items = list(BatchItem.objects.filter(batch=submission.batch).order_by("position"))
    assert [(item.position, item.name, bool(item.patch), item.error_code) for item in items] == [
        (1, "drawn-1.png", True, ""),
        (2, "bad.txt", False, "not_an_image"),
        (3, "drawn-2.png", True, ""),
    ]
    patch = items[0].patch
    assert patch
    assert (patch.owner, patch.sha256, patch.visibility, patch.um_per_pixel) == (owner, drawn(1).sha256, "public", 4.0)
    assert bytes(PatchImage.objects.get(patch=patch).pixels) == drawn(1).pixels.tobytes()
    prediction = patch.current_prediction
    assert prediction
    assert (prediction.status, prediction.model_version, prediction.threshold, prediction.attempt) == (
        Status.QUEUED,
        model_version,
        0.5,
        0,
    )
    event = Event.objects.get(kind="submitted")
    assert (event.actor, event.subject, event.payload) == (
        owner,
        str(items[0].batch.uuid),
        {"files": 3, "new": 2, "source": "api"},
    )


def test_the_same_pixels_again_are_the_row_that_exists(owner: User) -> None:
    (first,) = submit_drawn(owner, 1, visibility=Visibility.PRIVATE)
    second, other, third = submit_drawn(owner, 1, 2, 1, visibility=Visibility.PUBLIC)
    assert first == second == third != other
    assert Patch.objects.get(pk=first.patch_id).visibility == "private"
    assert (Patch.objects.count(), Prediction.objects.count(), BatchItem.objects.count()) == (2, 2, 4)


def test_the_same_pixels_of_another_owner_are_another_patch(owner: User, stranger: User) -> None:
    assert submit_drawn(owner, 1) != submit_drawn(stranger, 1)


def test_a_new_active_model_makes_a_new_prediction_of_a_known_patch(owner: User, model_version: ModelVersion) -> None:
    (old,) = submit_drawn(owner, 1)
    newer = ModelVersion.objects.create(version="newer", sha256="0" * 64, card=model_version.card)
    services.activate(model_version=newer)
    (new,) = submit_drawn(owner, 1)
    assert (new.patch, new.model_version, old.model_version) == (old.patch, newer, model_version)
    assert Patch.objects.get().current_prediction == new


def test_files_can_be_added_to_ones_own_batch_only(owner: User, stranger: User) -> None:
    batch = services.submit(owner=owner, files=received(1), visibility=Visibility.PRIVATE, source=Source.WEB).batch
    assert batch
    add = partial(services.submit, visibility=Visibility.PRIVATE, source=Source.WEB, files=[BAD])
    assert add(owner=owner, batch_id=batch.uuid).batch == batch
    assert list(batch.items.order_by("position").values_list("position", "error_code")) == [
        (1, ""),
        (2, "not_an_image"),
    ]
    for user, batch_id in ((stranger, batch.uuid), (owner, uuid4())):
        with pytest.raises(UnknownBatch):
            add(owner=user, batch_id=batch_id)


def test_nothing_is_stored_when_no_file_is_good(owner: User) -> None:
    submission = services.submit(owner=owner, files=[BAD], visibility=Visibility.PRIVATE, source=Source.WEB)
    assert (submission.batch, submission.accepted, len(submission.rejected)) == (None, [], 1)
    assert (Batch.objects.count(), Event.objects.filter(kind="submitted").count()) == (0, 0)


def test_the_quota_of_a_day_holds_and_stores_nothing_beyond(owner: User, settings: Settings) -> None:
    settings.PATCHES_PER_DAY = 3
    submit_drawn(owner, 1, 2)
    services.withdraw(patch=Patch.objects.earliest("pk"), actor=owner)  # deleting gives nothing back
    with pytest.raises(QuotaExceeded):
        submit_drawn(owner, 3, 4)
    assert Patch.objects.count() == 1
    submit_drawn(owner, 3)


def test_nothing_is_taken_without_an_active_model(owner: User) -> None:
    ModelVersion.objects.update(is_active=False)
    with pytest.raises(NoActiveModel):
        submit_drawn(owner, 1)
    assert Batch.objects.count() == 0


def test_a_few_patches_are_interactive_and_many_are_bulk(owner: User) -> None:
    few, many = submit_drawn(owner, 1)[0], submit_drawn(owner, *range(2, 23))
    assert few.priority == Priority.INTERACTIVE
    assert {one.priority for one in many} == {Priority.BULK}


def test_a_drawn_example_is_known_as_drawn(owner: User) -> None:
    files = [ReceivedFile("tissue.png", patch=decode_patch(example_png(0)))]
    services.submit(owner=owner, files=files, visibility=Visibility.PRIVATE, source=Source.WEB)
    assert Patch.objects.get().quality == {"notes": ["drawn"]}


def test_the_last_choice_of_visibility_is_remembered(owner: User) -> None:
    submit_drawn(owner, 1, visibility=Visibility.PUBLIC)
    owner.refresh_from_db()
    assert owner.last_visibility == "public"


@pytest.mark.django_db(transaction=True)
def test_thirty_parallel_submissions_never_pass_the_quota(settings: Settings, model_version: ModelVersion) -> None:
    settings.PATCHES_PER_DAY = 10
    owner = make_user("busy@example.org")
    refused = []

    def upload(seed: int) -> None:
        try:
            submit_drawn(owner, seed)
        except QuotaExceeded:
            refused.append(seed)
        finally:
            connection.close()

    threads = [threading.Thread(target=upload, args=(seed,)) for seed in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (Patch.objects.filter(owner=owner).count(), len(refused)) == (10, 20)
