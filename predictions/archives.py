"""A zip of patches: its members one by one, each with an outcome of its own, whatever else is in the archive."""

from __future__ import annotations

import threading
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO

from django.conf import settings
from django.core.files.base import File
from django.utils.translation import gettext_lazy as _

from ml.formats import ImageError
from ml.images import MAX_BYTES
from predictions.exceptions import FileRequired, ServiceError
from predictions.uploads import NAME_LENGTH, ReceivedFile, clean_path, decode

# The directory of 10,000 members takes about 1 MB; one much longer would fill the memory before it is counted.
DIRECTORY_BYTES = 4 * 1024**2
# All members unpacked. Patches weigh 5 to 8 KB: this is a hundred times what 10,000 of them need, and read in seconds.
UNPACKED_BYTES = 1024**3
SIGNATURE = b"PK\x03\x04"
ENCRYPTED = 0x1  # of a member's flags
PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# Written beside the patches by the systems that pack them, and meant by nobody.
LITTER = ("__MACOSX/", ".DS_Store", "Thumbs.db", "desktop.ini")


class BadArchive(ServiceError):
    code = "not_a_zip"
    message = _("This is not a zip archive, or it is damaged. Pack the folder again.")


class TooManyMembers(ServiceError):
    code = "too_many_files"
    message = _("The archive holds more files than are taken at once. Pack the rest into further archives.")


class UnpacksTooLarge(ServiceError):
    code = "too_large"
    message = _("Unpacked, the archive is larger than all its patches could be. Pack the patches alone.")
    status = 413


class TooManyArchives(ServiceError):
    code = "busy"
    message = _("Other archives are being unpacked. Try again in a moment.")
    status = 503
    retry_after = 5


# Of a web process: an archive keeps a thread busy for seconds, and other requests need theirs.
ARCHIVES_AT_ONCE = 2
_places = threading.BoundedSemaphore(ARCHIVES_AT_ONCE)


class _BoundedReads:
    """A file for zipfile, which reads the directory of an archive at once, however long that says it is."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.most = file, DIRECTORY_BYTES
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, size: int = -1) -> bytes:
        if size > self.most:
            raise TooManyMembers
        return self.file.read(size)


def receive_zip(file: File[bytes]) -> list[ReceivedFile]:
    """Decode each member by itself, in the archive's order. Folders, and what systems leave behind, are passed over.

    Raises:
        BadArchive, FileRequired, TooManyMembers, UnpacksTooLarge, TooManyArchives: none of it is taken.
    """
    if not _places.acquire(blocking=False):
        raise TooManyArchives
    try:
        bounded = _BoundedReads(file)
        with zipfile.ZipFile(bounded) as archive:
            bounded.most = MAX_BYTES + 1  # from here on members are read
            members = [member for member in archive.infolist() if not _is_passed_over(member)]
            if not members:
                raise FileRequired
            if len(members) > settings.ZIP_MEMBERS:
                raise TooManyMembers
            if sum(member.file_size for member in members) > UNPACKED_BYTES:
                raise UnpacksTooLarge
            return list(_received(archive, members))
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, EOFError) as error:
        raise BadArchive from error
    finally:
        _places.release()


def is_archive(file: File[bytes]) -> bool:
    """By its first bytes; it is read from the start afterwards."""
    head: bytes = file.read(len(SIGNATURE))
    file.seek(0)
    return head == SIGNATURE


def _is_passed_over(member: zipfile.ZipInfo) -> bool:
    # Not `is_dir`: it fails on a name that is empty, as one that begins with NUL is.
    return member.filename.startswith(LITTER[0]) or member.filename.endswith(("/", *LITTER[1:]))


def _received(archive: zipfile.ZipFile, members: list[zipfile.ZipInfo]) -> Iterator[ReceivedFile]:
    for member in members:
        name = clean_path(member.filename)
        shown = name[-NAME_LENGTH:]
        if error := _refusal(member, name):
            yield ReceivedFile(shown, error=error)
        else:
            yield _decode_member(archive, member, shown)


def _refusal(member: zipfile.ZipInfo, name: str) -> ImageError | None:
    """What is wrong with a member before a byte of it is read."""
    # Nothing is ever written under a member's name; one that climbs out of its folder is refused all the same.
    if not name or name.startswith("/") or ".." in name.split("/") or name[1:2] == ":":
        return ImageError("unsafe_path")
    if member.flag_bits & ENCRYPTED:
        return ImageError("encrypted")
    if member.compress_type not in PACKINGS:
        return ImageError("packing")
    if member.file_size > MAX_BYTES:
        return ImageError("too_large", megabytes=MAX_BYTES // 1024**2)
    return None


def _decode_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str) -> ReceivedFile:
    try:
        with archive.open(member) as opened:
            return decode(name, opened.read(MAX_BYTES + 1))
    # A member may be damaged, cut short, or not be where the directory says.
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, NotImplementedError):
        return ReceivedFile(name, error=ImageError("corrupt"))
