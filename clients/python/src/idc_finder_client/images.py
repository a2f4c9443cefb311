"""The images of a run: a folder's, a zip's or single files, each read when its turn comes."""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NoReturn

from idc_finder_client.errors import WrongUse

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
NAME_LENGTH = 120  # of a sent name; the server keeps 255


class Unreadable(Exception):
    """An image of the run cannot be read here; the text says why."""


@dataclass(frozen=True)
class Image:
    """path: how the table names it. mark: changes when the content does."""

    path: str
    size: int
    mark: str
    _read: Callable[[int], bytes]

    def read(self, most: int) -> bytes:
        """At most `most` bytes of it.

        Raises:
            Unreadable: with the reason.
        """
        try:
            return self._read(most)
        except OSError as error:
            raise Unreadable(f"It cannot be read: {error.strerror or 'input/output error'}.") from error
        except RuntimeError as error:  # how zipfile says that a password is needed
            raise Unreadable("It is encrypted in the zip.") from error
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError) as error:
            raise Unreadable("It is damaged in the zip, or packed in a way that cannot be read here.") from error


@contextmanager
def images_of(inputs: Sequence[Path]) -> Iterator[list[Image]]:
    """The images of one folder, of one zip, or the files themselves. Folders and zips are sorted by path.

    Raises:
        WrongUse: there is nothing to send, or it cannot be read.
    """
    if len(inputs) == 1 and inputs[0].is_dir():
        found = _of_folder(inputs[0])
    elif len(inputs) == 1 and inputs[0].suffix.lower() == ".zip":
        with _opened(inputs[0]) as archive:
            found = _of_zip(archive)
            yield _some(found, inputs[0])
        return
    else:
        found = [_of_file(path.as_posix(), path) for path in inputs]
    yield _some(found, *inputs)


def fingerprint(images: Sequence[Image]) -> str:
    """The same for the same images, unchanged."""
    listing = json.dumps([(image.path, image.size, image.mark) for image in images])
    return hashlib.sha256(listing.encode()).hexdigest()


def sent_names(paths: Sequence[str]) -> list[str]:
    """A name for each image under which it is sent: close to its own, no two alike, and none that anybody changes.

    The server keeps the last part of a path and drops signs that do not print; its table quotes what a spreadsheet
    would run. Only letters, digits and a few signs are sent, so a name comes back exactly as it went.
    """
    names: dict[str, None] = {}  # in order
    for position, path in enumerate(paths):
        own = unicodedata.normalize("NFC", PurePosixPath(path).name)
        safe = re.sub(r"[^\w. ()-]", "_", own)[-NAME_LENGTH:].strip()
        name = safe if re.match(r"\w", safe) else f"_{safe}"
        while name in names:
            name = f"{position:06d}-{name}"
        names[name] = None
    return list(names)


def _some(found: list[Image], *inputs: Path) -> list[Image]:
    if not found:
        where = ", ".join(str(path) for path in inputs) or "the call"
        raise WrongUse(f"There is no image in {where} ({', '.join(SUFFIXES)}).")
    return found


def _of_folder(folder: Path) -> list[Image]:
    found = []
    # Linked folders come after all that are there themselves, so that an image has its own path; each is searched once,
    # also one that holds itself.
    waiting, seen = [folder], set()
    while waiting:
        for parent, folders, names in os.walk(waiting.pop(0), onerror=_unlistable):
            real = os.path.realpath(parent)
            if real in seen:
                folders.clear()
                continue
            seen.add(real)
            folders[:] = sorted(filter(_is_wanted, folders))
            waiting += [path for path in (Path(parent, name) for name in folders) if path.is_symlink()]
            for name in filter(_is_image, names):
                path = Path(parent, name)
                found.append(_of_file(path.relative_to(folder).as_posix(), path))
    return sorted(found, key=lambda image: image.path)


def _unlistable(error: OSError) -> NoReturn:
    # Going on would leave images out without a word.
    raise WrongUse(f"The folder {error.filename} cannot be read: {error.strerror}.") from error


def _of_file(name: str, path: Path) -> Image:
    def read(most: int) -> bytes:
        with path.open("rb") as file:
            return file.read(most)

    try:
        status = path.stat()
    except FileNotFoundError as error:
        raise WrongUse(f"There is no {path}.") from error
    except OSError as error:
        raise WrongUse(f"{path} cannot be read: {error.strerror}.") from error
    if path.is_dir():
        raise WrongUse(f"{path} is a folder. Give one folder, one zip, or files.")
    if not path.is_file():  # to open a pipe waits for somebody who writes
        raise WrongUse(f"{path} is no file that can be read.")
    return Image(name, status.st_size, str(status.st_mtime_ns), read)


def _opened(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except FileNotFoundError as error:
        raise WrongUse(f"There is no {path}.") from error
    except (OSError, zipfile.BadZipFile) as error:
        raise WrongUse(f"{path} is no zip that can be read.") from error


def _of_zip(archive: zipfile.ZipFile) -> list[Image]:
    """Members are read one by one as they are sent; nothing is written to the disk."""
    turn = threading.Lock()  # ZipFile counts its open members without one

    def image(member: zipfile.ZipInfo) -> Image:
        def read(most: int) -> bytes:
            with turn, archive.open(member) as file:
                return file.read(most)

        return Image(member.filename, member.file_size, str(member.CRC), read)

    # Not `is_dir`: it fails on a name that is empty, as one that begins with NUL is.
    members = [member for member in archive.infolist() if not member.filename.endswith("/")]
    wanted = [member for member in members if all(map(_is_wanted, PurePosixPath(member.filename).parts))]
    found = [image(member) for member in wanted if _is_image(member.filename)]
    return sorted(found, key=lambda image: image.path)


def _is_image(name: str) -> bool:
    path = PurePosixPath(name)
    return path.suffix.lower() in SUFFIXES and _is_wanted(path.name)


def _is_wanted(name: str) -> bool:
    """Not hidden, and not what macOS puts beside the files of a zip."""
    return not name.startswith(".") and name != "__MACOSX"
