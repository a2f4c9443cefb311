"""Reads patches in the Kaggle layout, from a folder or a zip, and splits them by patient.

The layout is `<patient>/<0|1>/<patient>_idx5_x<X>_y<Y>_class<0|1>.png`, as in the data set "Breast
Histopathology Images" (CC0; Cruz-Roa et al. 2014, Janowczyk & Madabhushi 2016). Folders above the
patient are ignored, and a file name met twice is read once: Kaggle's archive holds its patches twice.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ml.images import PATCH_SIDE, ImageError, decode_patch

SPLITS = Path(__file__).parent / "splits"
MEMBER = re.compile(r"(?:^|/)(?P<patient>\d+)/(?P<label>[01])/(?P<name>[^/]+\.png)$", re.IGNORECASE)


class DatasetError(Exception):
    """The data cannot be used; the message says why and how to mend it."""


class Excluded(NamedTuple):
    """A file that is no patch: slivers at the edge of a section, mostly. code: of the decoder's error."""

    name: str
    patient: str
    code: str


@dataclass(frozen=True)
class Patches:
    """Decoded patches and what is known of them, all of one length n.

    pixels: uint8 [n, 50, 50, 3], RGB. labels: uint8 [n], 1 is IDC. patients: str [n]. names: str [n].
    excluded: every file of these patients that the decoder refused.
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    patients: NDArray[np.str_]
    names: NDArray[np.str_]
    excluded: tuple[Excluded, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)

    def of_split(self, split: str) -> Patches:
        """The patches whose patient belongs to `split` ("train", "validation" or "test")."""
        wanted = np.array([split_of(patient) == split for patient in self.patients], dtype=bool)
        excluded = tuple(file for file in self.excluded if split_of(file.patient) == split)
        return replace(self.where(wanted), excluded=excluded)

    def where(self, wanted: NDArray[np.bool_] | NDArray[np.intp]) -> Patches:
        """The patches that a mask or indices choose, without the list of excluded files."""
        return Patches(self.pixels[wanted], self.labels[wanted], self.patients[wanted], self.names[wanted])


@cache
def patients_in(list_name: str) -> frozenset[str]:
    """Patient ids of one published list: "train" (84), "validation" (29) or "test" (49)."""
    return frozenset((SPLITS / f"{list_name}.txt").read_text().split())


def split_of(patient: str) -> str:
    """The split of a patient. The 119 patients in no published list may be used for training only."""
    for split in ("validation", "test"):
        if patient in patients_in(split):
            return split
    return "train"


def read_patches(*paths: Path) -> Patches:
    """Decode every patch under `paths` with the decoder the site uses.

    Raises:
        DatasetError: a path does not exist, is damaged, or holds no patch in the Kaggle layout.
    """
    pixels, labels, patients, names = [], [], [], []
    excluded = []
    for name, patient, label, content in _unique(member for path in paths for member in _members(path)):
        try:
            pixels.append(decode_patch(content).pixels)
        except ImageError as error:
            excluded.append(Excluded(name, patient, error.code))
            continue
        labels.append(label)
        patients.append(patient)
        names.append(name)
    if not pixels:
        raise DatasetError(
            f"Not one file is a patch (files: {len(excluded)}; the first, {excluded[0].name}: {excluded[0].code}). "
            f"Name data with PNG pictures of {PATCH_SIDE} x {PATCH_SIDE} pixels."
        )
    return Patches(
        pixels=np.stack(pixels),
        labels=np.array(labels, np.uint8),
        patients=np.array(patients, np.str_),
        names=np.array(names, np.str_),
        excluded=tuple(excluded),
    )


Member = tuple[str, str, int, bytes]


def _unique(members: Iterable[Member]) -> Iterator[Member]:
    seen = set()
    for member in members:
        if member[0] not in seen:
            seen.add(member[0])
            yield member


def _members(path: Path) -> Iterator[Member]:
    """(file name, patient, label, bytes) of every patch, in the order of the names."""
    if path.is_dir():
        found = {file.relative_to(path).as_posix(): file for file in path.rglob("*.png") if file.is_file()}
        # The folder handed over may itself be one patient's.
        matches = [(MEMBER.search(f"{path.resolve().name}/{name}"), name) for name in sorted(found)]
        for match, name in matches:
            if match:
                yield match["name"], match["patient"], int(match["label"]), found[name].read_bytes()
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            matches = [(MEMBER.search(name), name) for name in sorted(archive.namelist())]
            for match, name in matches:
                if match:
                    yield match["name"], match["patient"], int(match["label"]), _unpacked(archive, name, path)
    elif not path.exists():
        raise DatasetError(f"{path} does not exist. Name a folder or a zip file in the Kaggle layout.")
    else:
        raise DatasetError(f"{path} is neither a folder nor a zip file. Name one in the Kaggle layout.")
    if not any(match for match, _ in matches):
        raise DatasetError(f"{path} holds no patch. Expected <patient>/<0|1>/<name>.png inside.")


def _unpacked(archive: zipfile.ZipFile, name: str, path: Path) -> bytes:
    try:
        return archive.read(name)
    # RuntimeError and its child NotImplementedError: a password, a compression that Python does not know.
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise DatasetError(f"{name} in {path} cannot be unpacked ({error}). Get the zip file again.") from error
