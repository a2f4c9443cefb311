"""The pixels of many patches, read and written in PostgreSQL's binary form: as text they are twice as long.

https://www.postgresql.org/docs/current/sql-copy.html#SQL-COPY-FILE-FORMATS: a head, of each row the number of its
columns and of each column its size and value, an end. All rows here have one size, so they are an array.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from django.db import connection
from numpy.typing import NDArray

from ml.images import PATCH_SIDE
from predictions.models.patch import shown_um_per_pixel
from predictions.services.bulk import copy

HEAD, END = b"PGCOPY\n\xff\r\n\0" + bytes(8), b"\xff\xff"
KEY, PIXELS = ("key", ">i8"), ("pixels", "u1", (PATCH_SIDE, PATCH_SIDE, 3))
WRITE = "COPY predictions_patchimage (patch_id, pixels) FROM STDIN (FORMAT binary)"
READ = """
COPY (
    SELECT image.patch_id, coalesce(patch.um_per_pixel, 'NaN')::float8, patch.source_width::int4,
        patch.source_height::int4, image.pixels
    FROM predictions_patchimage AS image JOIN predictions_patch AS patch ON patch.id = image.patch_id
    WHERE image.patch_id = ANY(%s)
) TO STDOUT (FORMAT binary)
"""


def _row(*columns: tuple[Any, ...]) -> np.dtype[np.void]:
    parts: list[tuple[Any, ...]] = [("columns", ">i2")]
    for column in columns:
        parts += [(f"size of {column[0]}", ">i4"), column]
    return np.dtype(parts)


WRITTEN = _row(KEY, PIXELS)
FOUND = _row(KEY, ("um_per_pixel", ">f8"), ("width", ">i4"), ("height", ">i4"), PIXELS)


def write_pixels(pixels: Mapping[int, NDArray[np.uint8]]) -> None:
    """A row of PatchImage for each key of a patch; uint8 [50, 50, 3] each."""
    rows = np.zeros(len(pixels), WRITTEN)
    rows["columns"] = 2
    for name in ("key", "pixels"):
        rows[f"size of {name}"] = WRITTEN[name].itemsize
    rows["key"] = list(pixels)
    rows["pixels"] = list(pixels.values())
    with connection.cursor() as cursor:
        copy(cursor, WRITE, io.BytesIO(HEAD + rows.tobytes() + END))


def read_pixels(patches: Collection[int]) -> dict[int, tuple[NDArray[np.uint8], float | None]]:
    """Of each of these patches that has pixels, by key: uint8 [50, 50, 3], and their um per pixel if it was stated."""
    stream = io.BytesIO()
    with connection.cursor() as cursor:
        # As text, as whoever watches the statements (django.db.backends) expects it.
        copy(cursor, cursor.mogrify(READ, [list(patches)]).decode(), stream)
    content = stream.getbuffer()
    rows = np.frombuffer(content[len(HEAD) : len(content) - len(END)], FOUND)
    stated = [None if np.isnan(um) else um for um in rows["um_per_pixel"].tolist()]
    scales = map(shown_um_per_pixel, stated, rows["width"].tolist(), rows["height"].tolist())
    return dict(zip(rows["key"].tolist(), zip(rows["pixels"], scales, strict=True), strict=True))
