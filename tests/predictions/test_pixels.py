"""Pixels come back as they went in, with the scale of each patch, however many there are."""

from __future__ import annotations

import numpy as np
import pytest
from django.db import IntegrityError, connection, transaction

from accounts.models import User
from predictions.models import Patch, PatchImage
from predictions.services import bulk
from predictions.services.pixels import read_pixels, write_pixels
from tests.factories import submit_drawn

pytestmark = pytest.mark.usefixtures("model_version")


def patches_without_pixels(owner: User, number: int) -> list[int]:
    submit_drawn(owner, *range(number))
    PatchImage.objects.all().delete()
    return list(Patch.objects.order_by("pk").values_list("pk", flat=True))


@pytest.mark.parametrize("number", [1, bulk.FEW, bulk.FEW + 1, 130])
def test_the_pixels_of_a_submission_are_those_that_were_sent(owner: User, number: int) -> None:
    """Whether they went with the other rows or by themselves."""
    predictions = submit_drawn(owner, *range(number))
    found = read_pixels([one.patch_id for one in predictions])
    assert sorted(found) == [one.patch_id for one in predictions]
    assert {key: pixels.tobytes() for key, (pixels, _) in found.items()} == {
        image.patch_id: bytes(image.pixels) for image in PatchImage.objects.all()
    }
    assert {scale for _, scale in found.values()} == {None}


def test_any_bytes_are_written_and_read(owner: User) -> None:
    """The sign of the format, its end, and every value."""
    keys = patches_without_pixels(owner, 4)
    ends, signs = np.full(7500, 255, np.uint8), np.frombuffer((b"PGCOPY\n\xff\r\n\0" * 700)[:7500], np.uint8)
    every, none = np.arange(7500).astype(np.uint8), np.zeros(7500, np.uint8)
    sent = {key: flat.reshape(50, 50, 3) for key, flat in zip(keys, (ends, signs, every, none), strict=True)}
    write_pixels(sent)
    assert {key: pixels.tolist() for key, (pixels, _) in read_pixels(keys).items()} == {
        key: pixels.tolist() for key, pixels in sent.items()
    }


def test_a_scale_is_that_of_the_50_pixels_and_what_has_no_pixels_is_left_out(owner: User) -> None:
    one, other, dropped = (row.patch_id for row in submit_drawn(owner, 1, 2, 3))
    Patch.objects.filter(pk=one).update(um_per_pixel=0.5, source_width=100, source_height=400)
    PatchImage.objects.filter(patch=dropped).delete()
    assert {key: scale for key, (_, scale) in read_pixels([dropped, other, one, 10**9]).items()} == {
        one: 4,
        other: None,
    }
    assert read_pixels([]) == {}


def test_what_the_database_refuses_is_an_error_of_django(owner: User) -> None:
    """Those of psycopg2 itself would be a fault of this site, where the database is away for a moment."""
    (key,) = (row.patch_id for row in submit_drawn(owner, 1))
    with pytest.raises(IntegrityError, match="predictions_patchimage_pkey"), transaction.atomic():
        write_pixels({key: np.zeros((50, 50, 3), np.uint8)})


def test_pixels_of_no_patch_are_not_kept(db: None) -> None:
    write_pixels({10**9: np.zeros((50, 50, 3), np.uint8)})
    with pytest.raises(IntegrityError), transaction.atomic():
        connection.check_constraints()
    PatchImage.objects.all().delete()
