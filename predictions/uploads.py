"""From uploaded files to decoded patches: the same for the page and the API."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from django.core.files.base import File

from ml.formats import ImageError
from ml.images import MAX_BYTES, DecodedPatch, decode_patch

NAME_LENGTH = 255
UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True)
class ReceivedFile:
    """One sent file: either a patch, or the error that kept it from being one.

    digest: SHA-256 of its bytes, as far as they were read.
    """

    name: str
    patch: DecodedPatch | None = None
    error: ImageError | None = None
    digest: str = ""


def receive(files: Iterable[File[bytes]]) -> list[ReceivedFile]:
    """Decode each file by itself; a bad one harms no other."""
    # One byte more than allowed is enough to know; the rest is never read into memory.
    return [decode(clean_name(file.name or ""), file.read(MAX_BYTES + 1)) for file in files]


def decode(name: str, content: bytes) -> ReceivedFile:
    digest = hashlib.sha256(content).hexdigest()
    try:
        return ReceivedFile(name, patch=decode_patch(content), digest=digest)
    except ImageError as error:
        return ReceivedFile(name, error=error, digest=digest)


def clean_name(name: str) -> str:
    """A file's name as it may be shown: no control or direction marks, no folders, at most 255 characters."""
    return clean_path(name).rsplit("/", 1)[-1].strip()[:NAME_LENGTH]


def clean_path(name: str) -> str:
    """A name with its folders, written with slashes, without control or direction marks."""
    printable = UNPRINTABLE.sub("", name.encode("utf-8", "replace").decode())
    return printable.replace("\\", "/")
