"""What `python -m ml` is given by mistake ends in one sentence and exit status 2, never in a traceback."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import pytest

from ml import __main__ as command
from ml import gate_rates
from ml.formats import MESSAGES
from ml.recipe import read_recipe
from tests import pictures

NAME = "10253/0/10253_idx5_x1_y1_class0.png"
RECIPES = Path(command.__file__).parent / "recipes"


def zipped(path: Path, content: bytes, name: str = NAME) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, content)
    return path


def damaged(path: Path) -> Path:
    """A zip whose only picture was altered after packing."""
    content = bytearray(zipped(path, pictures.png()).read_bytes())
    content[200] ^= 255
    path.write_bytes(content)
    return path


def locked(path: Path) -> Path:
    """A zip that says a password is needed."""
    content = bytearray(zipped(path, pictures.png()).read_bytes())
    content[6] |= 1
    content[content.find(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    return path


def message_of(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """What one command that must fail says, in its last line."""
    try:
        status = command.main([str(argument) for argument in arguments])
    except SystemExit as stopped:  # argparse
        status = int(str(stopped.code))
    assert status == 2
    return capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("name", ["evaluate", "errors"])
def test_data_that_cannot_be_read_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str) -> None:
    text = tmp_path / "text.zip"
    text.write_text("text")
    folder = tmp_path / "folder"
    (folder / "10253/0/folder.png").mkdir(parents=True)
    for data, message in {
        tmp_path / "missing": "missing does not exist. Name a folder or a zip file",
        text: "text.zip is neither a folder nor a zip file",
        folder: "folder holds no patch",
        zipped(tmp_path / "else.zip", b"", "readme.txt"): "else.zip holds no patch",
        zipped(tmp_path / "none.zip", b"text"): "Not one file is a patch (files: 1; the first, 10253_idx5_x1_y1",
        damaged(tmp_path / "damaged.zip"): "cannot be unpacked (Bad CRC-32",
        locked(tmp_path / "locked.zip"): "is encrypted, password required for extraction). Get the zip file again.",
    }.items():
        out = ("--out", tmp_path / "out") if name == "errors" else ()
        assert message in message_of(capsys, name, "--data", data, *out)


def test_a_model_or_a_place_to_write_that_does_not_exist_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    data = zipped(tmp_path / "one.zip", pictures.png())
    for model in ("none", "", "../.."):
        assert f"No model {model!r} in " in message_of(capsys, "evaluate", "--data", data, "--model", model)
    for place, message in {
        tmp_path: "is a folder. Name a file.",
        tmp_path / "none/x.json": "none is no folder. Make it first.",
    }.items():
        assert message in message_of(capsys, "evaluate", "--data", data, "--json", place)
    assert "one.zip: File exists. Check the path" in message_of(capsys, "errors", "--data", data, "--out", data)
    assert "missing.png: No such file or directory. Check" in message_of(capsys, "predict", tmp_path / "missing.png")
    assert "'1' is not a whole number of at least 2." in message_of(
        capsys, "crossvalidate", "--recipe", "resnet18", "--data", data, "--run", tmp_path / "cv", "--folds", "1"
    )


def test_a_default_that_names_no_model_is_said(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ml.card.default_version.__defaults__", (tmp_path,))
    (tmp_path / "DEFAULT").write_text("../elsewhere\n")
    picture = tmp_path / "patch.png"
    picture.write_bytes(pictures.png())
    assert "says '../elsewhere', which is no version" in message_of(capsys, "predict", picture)


def test_bad_files_are_named_one_by_one_and_the_others_are_answered(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    good, text, missing, folder, other = (tmp_path / name for name in ("1.png", "2.png", "3.png", "4", "5.png"))
    good.write_bytes(pictures.png(seed=1))
    text.write_text("text")
    folder.mkdir()
    other.write_bytes(pictures.png(seed=2))
    names = [str(file) for file in (good, text, missing, folder, other)]

    def run(*arguments: str) -> tuple[int, str, list[str]]:
        status = command.main(["predict", *arguments])
        said = capsys.readouterr()
        return status, said.out, said.err.splitlines()

    _, alone, none = run(str(good), str(other))
    _, alone_as_json, _ = run(str(good), str(other), "--json")
    errors = [
        f"error: {text}: {MESSAGES['not_an_image']}",
        f"error: {missing}: No such file or directory. Check the path, the permissions and the room on the disk.",
        f"error: {folder}: Is a directory. Check the path, the permissions and the room on the disk.",
    ]
    assert none == []
    assert run(*names) == (2, alone, errors)
    assert run(*names, "--json") == (2, alone_as_json, errors)
    assert [run(str(text), *kind)[:2] for kind in ((), ("--json",))] == [(2, ""), (2, "[]\n")]


def test_export_says_what_is_wrong_with_a_version_or_a_run(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    data = zipped(tmp_path / "one.zip", pictures.png())
    card = tmp_path / "run.json"

    def message(version: str) -> str:
        return message_of(capsys, "export", version, "--run", tmp_path, "--data", data)

    assert "'No Version' is no version: use small letters" in message("No Version")
    for content, expected in {
        "{": "is not valid JSON",
        "[]": "is no run's card",
        "{}": "lacks figures, finished_at",
    }.items():
        card.write_text(content)
        assert expected in message("new-1")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("seed = 2021", "seed = ", "is not TOML: "),
        ("epochs = 40", "", "the recipe: 'epochs' is a required property"),
        ("epochs = 40", "epochs = 0", "epochs: 0 is less than the minimum of 1"),
        ("dropout = 0.3", 'dropout = "much"', "dropout: 'much' is not of type 'number'"),
        ("dropout = 0.3", "dropout = 0.3\nmood = 1", "the recipe: Additional properties are not allowed ('mood'"),
        ('network = "resnet18"', 'network = "resnet"', "network: 'resnet' is not one of ['mobilenetv2'"),
        ("zoom = 0.15", "zooom = 0.15", "augment: Additional properties are not allowed ('zooom'"),
    ],
)
def test_a_recipe_that_makes_no_sense_is_corrected_by_what_is_said(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    old: str,
    new: str,
    message: str,
) -> None:
    monkeypatch.setattr("ml.recipe.RECIPES", tmp_path)
    text = (RECIPES / "resnet18.toml").read_text()
    assert text.count(old) == 1
    (tmp_path / "odd.toml").write_text(text.replace(old, new))
    data = zipped(tmp_path / "one.zip", pictures.png())
    assert message in message_of(capsys, "train", "--recipe", "odd", "--data", data, "--run", tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("file", sorted(RECIPES.glob("*.toml")), ids=lambda file: file.stem)
def test_a_committed_recipe_is_one(file: Path) -> None:
    assert read_recipe(file.stem).name == file.stem


def test_the_errors_of_a_single_patch_have_a_page_too(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, model_folder: Path
) -> None:
    data = zipped(tmp_path / "one.zip", pictures.png())
    assert command.main(["errors", "--data", str(data), "--out", str(tmp_path / "out")]) == 0
    assert "<td>white balance</td><td>-</td>" in (tmp_path / "out/index.html").read_text()
    shutil.rmtree(tmp_path / "out")
    assert gate_rates.main(["--data", str(data)]) == 2
    assert "there is none" in capsys.readouterr().err


def test_a_kind_of_which_there_is_no_picture_has_no_rate() -> None:
    found = gate_rates.rates([])
    assert found == {"n": 0, "flagged": None, "flags": {}}
    assert gate_rates.table({"reduced": found}).splitlines()[1].split() == ["reduced", "0", "-"]


@pytest.mark.parametrize(
    ("called", "arguments", "said"),
    [
        ("_predict", ["predict", "a.png"], "Stopped.\n"),
        ("_train", ["train", "--data", "a.zip", "--run", "run"], "Stopped. The same command goes on with this run.\n"),
    ],
)
def test_whoever_stops_a_command_is_told_whether_it_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], called: str, arguments: list[str], said: str
) -> None:
    def stopped(options: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, called, stopped)
    assert command.main(arguments) == 130
    assert capsys.readouterr().err == said
