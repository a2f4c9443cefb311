from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from ml.dataset import DatasetError, Excluded, patients_in, read_patches, split_of
from tests import pictures


def member(patient: str, label: int, number: int = 1, folder: str = "") -> str:
    return f"{folder}{patient}/{label}/{patient}_idx5_x{number}_y1_class{label}.png"


FILES = {
    member("10253", 0): pictures.png(seed=1),
    member("10253", 1): pictures.png(seed=2),
    member("9073", 1): pictures.png(seed=3),
    member("9073", 0): pictures.png(50, 20),
    "readme.png": pictures.png(),
}


@pytest.fixture(params=["folder", "zip", "nested zip"])
def data(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "folder":
        for name, content in FILES.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(content)
        return tmp_path
    path = tmp_path / "data.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in FILES.items():
            archive.writestr(name, content)
            if request.param == "nested zip":  # as Kaggle's archive, which holds everything twice
                archive.writestr(f"IDC_regular_ps50_idx5/{name}", content)
    return path


def test_patches_are_read_from_folder_or_zip_once_each(data: Path) -> None:
    patches = read_patches(data)
    assert patches.patients.tolist() == ["10253", "10253", "9073"]
    assert patches.labels.tolist() == [0, 1, 1]
    assert patches.pixels.shape == (3, 50, 50, 3)
    np.testing.assert_array_equal(patches.pixels[0], np.asarray(pictures.picture(seed=1)))
    assert patches.excluded == (Excluded("9073_idx5_x1_y1_class0.png", "9073", "dimensions"),)
    assert (len(patches.of_split("validation").excluded), len(patches.of_split("test").excluded)) == (0, 1)


def test_the_published_lists_are_whole_and_apart() -> None:
    lists = {name: patients_in(name) for name in ("train", "validation", "test")}
    assert {name: len(patients) for name, patients in lists.items()} == {"train": 84, "validation": 29, "test": 49}
    assert len(frozenset().union(*lists.values())) == 84 + 29 + 49


def test_a_patient_in_no_list_is_for_training() -> None:
    assert "10253" not in patients_in("train")
    assert split_of("10253") == "train"
    assert {split_of(patient) for patient in patients_in("test")} == {"test"}


def test_a_path_without_patches_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"holds no patch\. Expected <patient>/<0\|1>/<name>\.png"):
        read_patches(tmp_path)
    with pytest.raises(DatasetError, match="missing does not exist"):
        read_patches(tmp_path / "missing")
