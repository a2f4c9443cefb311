"""`idc predict` on folders, zips and files: the table says what the database says, about the right path."""

from __future__ import annotations

import io
import os
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from rich.console import Console

from accounts.models import User
from idc_finder_client import Client, Progress, Result, results
from idc_finder_client.display import shown
from idc_finder_client.images import images_of
from ml.formats import MESSAGES
from ml.images import MAX_BYTES, DecodedPatch
from predictions import exports, services
from predictions.models import Batch, BatchItem, ModelVersion, Patch, PatchImage, Prediction, Source, Visibility
from predictions.uploads import receive
from tests import pictures
from tests.client.conftest import Idc, table, write_patches
from tests.factories import fail, make_token
from tests.processes import Processes

pytestmark = pytest.mark.django_db(transaction=True)

# More than two chunks, in the order of the table. Equal names in other folders, names that a server would cut, quote
# or refuse, good and bad files in one chunk.
GOOD = {
    "0/a b (1).png": 1,
    "0/x.png": 2,
    "1/x.png": 3,
    "1/환자_가.png": 4,
    "=1+2.png": 5,
    "a;=3+4;.png": 8,
    "deep/er/&lt;b&gt;%22;'.PNG": 6,
    "twice.png": 2,
    "z.png": 7,
}
BAD = {
    "0/empty.png": (b"", "not_an_image", MESSAGES["not_an_image"]),
    "1/large.tif": (b"\0" * (MAX_BYTES + 1), "too_large", "The image is larger than 10 MB."),
    "1/text.jpg": (b"text", "not_an_image", MESSAGES["not_an_image"]),
}
LEFT_OUT = ("readme.txt", ".hidden.png", "0/._x.png", ".git/x.png")
ORDER = sorted([*GOOD, *BAD])


def write_folder(folder: Path) -> Path:
    contents = {path: pictures.png(seed=seed) for path, seed in GOOD.items()}
    contents |= {path: content for path, (content, _, _) in BAD.items()} | dict.fromkeys(LEFT_OUT, b"no image")
    for path, content in contents.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


def expected(path: str) -> dict[str, str]:
    """The line of the table, from the database."""
    shown = {"=1+2.png": "'=1+2.png", "a;=3+4;.png": "a;'=3+4;.png"}.get(path, path)
    if path in BAD:
        _, code, message = BAD[path]
        empty = dict.fromkeys(("probability", "label", "threshold", "model", "flags", "id"), "")
        return {"path": shown, "status": "rejected", **empty, "error": code, "message": message}
    pixels = np.ascontiguousarray(pictures.picture(seed=GOOD[path]))
    prediction = Prediction.objects.get(patch__sha256=DecodedPatch(pixels, 50, 50).sha256)
    return {
        "path": shown,
        "status": "succeeded",
        "probability": str(prediction.probability),
        "label": str(prediction.label),
        "threshold": "0.5",
        "model": "mobilenetv2-3",
        "flags": " ".join(prediction.flags),
        "id": str(prediction.uuid),
        "error": "",
        "message": "",
    }


def assert_refused_files_end_with_1(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 1, done.stderr
    summary, batch = done.stdout.splitlines()
    assert summary.startswith("9 of 12 answered, 3 rejected in ")
    assert batch.endswith(f"/batches/{Batch.objects.get().uuid}/")


def test_a_folder_becomes_a_table_in_the_order_of_its_paths(idc: Idc, tmp_path: Path) -> None:
    folder, out = write_folder(tmp_path / "folder"), tmp_path / "out.csv"
    assert_refused_files_end_with_1(idc.run("predict", folder, "--csv", out, "--um-per-pixel", "4"))
    assert table(out) == [expected(path) for path in ORDER]
    assert out.read_text().splitlines()[0] == (
        '"path","status","probability","label","threshold","model","flags","id","error","message"'
    )
    assert Patch.objects.filter(um_per_pixel=4, visibility="private").count() == len(set(GOOD.values()))
    assert not list(tmp_path.glob("out.csv.*"))


def test_the_table_disarms_what_the_site_disarms() -> None:
    assert results.FORMULA_BEGINS == exports.FORMULA_BEGINS


def test_a_zip_gives_the_table_of_the_folder_it_was_made_of(idc: Idc, tmp_path: Path) -> None:
    folder, out = write_folder(tmp_path / "folder"), tmp_path / "out.csv"
    with zipfile.ZipFile(tmp_path / "folder.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*"), reverse=True):
            archive.write(path, path.relative_to(folder))
        archive.writestr("__MACOSX/0/x.png", b"no image")
    before = set(tmp_path.rglob("*"))
    assert_refused_files_end_with_1(idc.run("predict", tmp_path / "folder.zip", "--csv", out))
    assert table(out) == [expected(path) for path in ORDER]
    assert set(tmp_path.rglob("*")) - before == {out}


def test_linked_folders_are_searched_once_and_own_paths_go_first(tmp_path: Path) -> None:
    folder, elsewhere = write_patches(tmp_path / "p", 2), write_patches(tmp_path / "elsewhere", 3)
    (folder / "runs").mkdir()
    run = write_patches(folder / "runs" / "1", 2)
    for link, target in (("linked", elsewhere), ("again", elsewhere), ("a latest", run), ("itself", folder)):
        (folder / link).symlink_to(target)
    with images_of([folder]) as images:
        found = [image.path for image in images]
    assert found == sorted(
        [f"{number:03d}.png" for number in range(2)]
        + [f"again/{number:03d}.png" for number in range(3)]
        + [f"runs/1/{number:03d}.png" for number in range(2)]
    )


def test_files_are_named_as_they_were_given(idc: Idc, tmp_path: Path) -> None:
    write_patches(tmp_path / "home" / "some", 3)
    done = idc.run("predict", "some/002.png", "some/000.png", "some/002.png", "--csv", "out.csv", "--visibility=public")
    assert done.returncode == 0, done.stderr
    lines = table(tmp_path / "home" / "out.csv")
    assert [line["path"] for line in lines] == ["some/002.png", "some/000.png", "some/002.png"]
    assert lines[0] == lines[2] != lines[1]
    assert set(Patch.objects.values_list("visibility", flat=True)) == {"public"}


def test_a_site_forgets_the_pixels_when_it_is_asked_to(idc: Idc, tmp_path: Path) -> None:
    done = idc.run("predict", write_patches(tmp_path / "patches", 12), "--csv", tmp_path / "out.csv", "--forget")
    assert done.returncode == 0, done.stderr
    assert {line["status"] for line in table(tmp_path / "out.csv")} == {"succeeded"}
    assert (Patch.objects.filter(is_to_be_forgotten=True).count(), PatchImage.objects.count()) == (12, 0)


def test_three_lines_of_python_do_the_same(
    idc: Idc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: User
) -> None:
    write_patches(tmp_path / "patches", 12)
    idc.run("predict", tmp_path / "patches", "--csv", tmp_path / "idc.csv")
    monkeypatch.setenv("IDC_SERVER", idc.server)
    monkeypatch.setenv("IDC_TOKEN", idc.token)
    reports: list[Progress] = []
    with Client() as client:
        results = client.predict(tmp_path / "patches", report=reports.append)
        results.write_csv(tmp_path / "python.csv")
    assert (tmp_path / "python.csv").read_bytes() == (tmp_path / "idc.csv").read_bytes()
    assert (reports[0], reports[-1]) == (Progress(12, 0, 0), Progress(12, 12, 12))
    first = Prediction.objects.get(patch__original_name="000.png")
    assert results[0] == Result(
        "000.png",
        "succeeded",
        probability=first.probability,
        label=str(first.label),
        threshold=0.5,
        model="mobilenetv2-3",
        flags=tuple(first.flags),
        id=str(first.uuid),
    )


def test_a_member_of_a_zip_without_a_name_harms_no_other(idc: Idc, tmp_path: Path) -> None:
    path = tmp_path / "nameless.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("abcd.png", "good.png"):
            archive.writestr(name, pictures.png())
    path.write_bytes(path.read_bytes().replace(b"abcd.png", b"\0bcd.png"))
    done = idc.run("predict", path, "--csv", tmp_path / "out.csv")
    assert done.returncode == 0, done.stderr
    assert [(line["path"], line["status"]) for line in table(tmp_path / "out.csv")] == [("good.png", "succeeded")]


def test_a_damaged_member_of_a_zip_is_a_line_of_its_own(idc: Idc, tmp_path: Path) -> None:
    path = tmp_path / "damaged.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for seed in range(3):
            archive.writestr(f"{seed}.png", pictures.png(seed=seed))
        second = archive.getinfo("1.png").header_offset
    content = bytearray(path.read_bytes())
    content[second + 200] ^= 0xFF
    path.write_bytes(content)
    done = idc.run("predict", path, "--csv", tmp_path / "out.csv")
    assert done.returncode == 1, done.stderr
    assert [(line["status"], line["error"]) for line in table(tmp_path / "out.csv")] == [
        ("succeeded", ""), ("rejected", "unreadable"), ("succeeded", "")
    ]  # fmt: skip


def test_a_run_without_one_good_file_is_a_table_of_refusals(idc: Idc, tmp_path: Path) -> None:
    folder = tmp_path / "bad"
    folder.mkdir()
    for number in range(12):  # three chunks, so that none of them makes the batch
        (folder / f"{number:02d}.png").write_bytes(b"text" if number else b"GIF89a")
    done = idc.run("predict", folder, "--csv", tmp_path / "out.csv")
    assert done.returncode == 1, done.stderr
    assert [line["error"] for line in table(tmp_path / "out.csv")] == ["unsupported_format", *["not_an_image"] * 11]
    assert not Batch.objects.exists()


def test_a_patch_that_failed_says_where_to_ask_again(idc: Idc, tmp_path: Path, owner: User) -> None:
    folder, (failed,) = write_patches(tmp_path / "patches", 3), submit_pictures(owner, 1)
    fail(failed)
    done = idc.run("predict", folder, "--csv", tmp_path / "out.csv")
    assert done.returncode == 1
    lines = table(tmp_path / "out.csv")
    assert [line["status"] for line in lines] == ["succeeded", "failed", "succeeded"]
    assert (lines[1]["id"], lines[1]["error"], lines[1]["message"]) == (
        str(failed.uuid),
        "worker_lost",
        f"The server could not answer. It can be asked again on {idc.server}/predictions/{failed.uuid}/",
    )


def submit_pictures(owner: User, *seeds: int) -> list[Prediction]:
    files = receive([SimpleUploadedFile(f"{seed:03d}.png", pictures.png(seed=seed)) for seed in seeds])
    submission = services.submit(owner=owner, files=files, visibility=Visibility.PRIVATE, source=Source.API)
    return [patch.current_prediction for patch in submission.accepted if patch.current_prediction]


def test_a_patch_deleted_in_mid_run_is_a_line_that_says_so(idc: Idc, tmp_path: Path, owner: User) -> None:
    def delete_second(progress: Progress) -> None:
        second = Patch.objects.filter(original_name="001.png").first()
        if second and progress.sent == progress.total:
            services.withdraw(patch=second, actor=owner)

    with Client(idc.server, idc.token) as client:
        results = client.predict(write_patches(tmp_path / "patches", 7), report=delete_second)
    assert results[1] == Result(
        "001.png", "deleted", error="deleted", message="It was deleted on the server before its answer was read."
    )
    assert [result.status for result in results] == ["succeeded", "deleted", *["succeeded"] * 5]


def test_answers_are_read_in_bulk(idc: Idc, tmp_path: Path) -> None:
    """One request for the limits, one a chunk, a few looks at the progress, one table."""
    folder = write_patches(tmp_path / "patches", 50)
    assert idc.run("predict", folder, "--csv", tmp_path / "out.csv").returncode == 0
    log = (tmp_path / "web.log").read_text()
    assert log.count("GET /api/v1/me/") == 1
    assert log.count("POST /api/v1/predictions/") == 10
    assert log.count("/predictions.csv") == 1
    assert "GET /api/v1/predictions/" not in log
    assert BatchItem.objects.count() == 50


def test_out_of_a_terminal_progress_is_lines_and_quiet_is_silent(idc: Idc, tmp_path: Path) -> None:
    folder = write_patches(tmp_path / "patches", 2)
    done = idc.run("predict", folder, "--csv", tmp_path / "out.csv")
    assert done.stderr.splitlines()[0] == "sent 0, answered 0 of 2"
    quiet = idc.run("predict", folder, "--csv", tmp_path / "out.csv", "--quiet")
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")


def test_in_a_terminal_progress_is_a_bar() -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=100, color_system=None)
    with shown(console, is_quiet=False) as report:
        for answered in (1000, 3000):
            report(Progress(10_000, 5_000, answered))
    assert "sent 5,000, answered 3,000 of 10,000 ━━━━" in stream.getvalue()


@pytest.mark.data
def test_real_patches_come_back_beside_the_labels_in_their_names(
    processes: Processes, model_version: ModelVersion, owner: User, home: Path, tmp_path: Path
) -> None:
    """300 of the validation zip, through the site as it is: 100 images a request."""
    with (
        zipfile.ZipFile(Path(os.environ["IDC_DATA"], "idc-val.zip")) as archive,
        zipfile.ZipFile(tmp_path / "some.zip", "w") as some,
    ):
        names = sorted(name for name in archive.namelist() if name.endswith(".png"))[::18][:300]
        for name in names:
            some.writestr(name, archive.read(name))
    processes.start("worker")
    idc = Idc(home, processes.start_web(), make_token(owner))
    done = idc.run("predict", tmp_path / "some.zip", "--csv", tmp_path / "out.csv")
    lines = table(tmp_path / "out.csv")
    assert [line["path"] for line in lines] == names
    answered = [line for line in lines if line["status"] == "succeeded"]
    assert {line["error"] for line in lines if line not in answered} <= {"dimensions"}  # slivers
    assert (done.returncode, len(answered) >= 290) == (int(len(answered) < 300), True), done.stderr
    agreeing = [("class1" in line["path"]) == (line["label"] == "positive") for line in answered]
    assert sum(agreeing) / len(agreeing) > 0.8
