"""Training on drawn patches: a small network interrupted and resumed, a real one trained, exported and used."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest

from ml import __main__ as command
from ml.backend import keras
from ml.card import ModelError, read_card
from ml.dataset import DatasetError, Patches, patients_in
from ml.evaluate import report
from ml.export import export
from ml.images import encode_png
from ml.provenance import provenance
from ml.recipe import Recipe, read_recipe
from ml.synthetic import draw_patch
from ml.train import AveragedWeights, patch_weights, read_log, train
from tests.ml.conftest import build_small


def drawn_patches(number: int = 96) -> Patches:
    """Drawn patches of two training, two validation and one test patient, a fifth each: many nuclei are "IDC"."""
    patients = [min(patients_in(name)) for name in ("train", "validation", "test")]
    patients += ["10253", max(patients_in("validation"))]
    labels = np.arange(number) % 2
    return Patches(
        pixels=np.stack([draw_patch(i, cellularity=0.9 if label else 0.1) for i, label in enumerate(labels)]),
        labels=labels.astype(np.uint8),
        patients=np.array([patients[i // 2 % 5] for i in range(number)]),
        names=np.array([f"{i}.png" for i in range(number)]),
    )


def drawn_splits() -> tuple[Patches, Patches]:
    patches = drawn_patches()
    return patches.of_split("train"), patches.of_split("validation")


@pytest.fixture
def recipe() -> Recipe:
    return dataclasses.replace(read_recipe("mobilenetv2"), epochs=2, batch_size=16, warmup_epochs=0.5)


class Interrupted(Exception):
    pass


@pytest.mark.usefixtures("small_network")
def test_an_interrupted_run_goes_on_where_it_stopped(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(self: object, epoch: int, logs: object = None) -> None:
        if epoch == 1:
            raise Interrupted

    with monkeypatch.context() as patched:
        patched.setattr(AveragedWeights, "on_epoch_begin", interrupt)
        with pytest.raises(Interrupted):
            train(recipe, *drawn_splits(), tmp_path)
    assert [entry["epoch"] for entry in read_log(tmp_path)] == [1]

    model = train(recipe, *drawn_splits(), tmp_path)
    log = read_log(tmp_path)
    assert [entry["epoch"] for entry in log] == [1, 2]
    assert set(log[0]) == {
        "epoch", "loss", "auc", "balanced_accuracy", "f1", "accuracy", "sensitivity", "specificity", "ece"
    }  # fmt: skip
    assert model.name == "mobilenetv2"
    assert "about 0 min left" in capsys.readouterr().out


@pytest.mark.usefixtures("small_network")
def test_a_run_that_is_killed_while_it_saves_goes_on_from_the_epoch_before(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved: list[int] = []

    def half_saved(weights: keras.Model, path: Path) -> None:
        saved.append(1)
        if len(saved) > 2:  # of the second epoch: what a kill leaves of a file
            path.write_bytes(b"half")
            raise Interrupted
        original(weights, path)

    original = keras.Model.save_weights
    with monkeypatch.context() as patched:
        patched.setattr(keras.Model, "save_weights", half_saved)
        with pytest.raises(Interrupted):
            train(recipe, *drawn_splits(), tmp_path)
    assert [entry["epoch"] for entry in read_log(tmp_path)] == [1]

    train(recipe, *drawn_splits(), tmp_path)
    assert [entry["epoch"] for entry in read_log(tmp_path)] == [1, 2]
    assert [folder.name for folder in (tmp_path / "checkpoints").iterdir()] == ["epoch0002"]


@pytest.mark.usefixtures("small_network")
def test_a_run_does_not_go_on_by_another_recipe(recipe: Recipe, tmp_path: Path) -> None:
    one_epoch = dataclasses.replace(recipe, epochs=1)
    train(one_epoch, *drawn_splits(), tmp_path)
    for changed, number in ((dataclasses.replace(one_epoch, learning_rate=0.1), 96), (one_epoch, 40)):
        patches = drawn_patches(number)
        with pytest.raises(ModelError, match=r"is a run of another recipe, or of other patches\. Begin in another"):
            train(changed, patches.of_split("train"), patches.of_split("validation"), tmp_path)


def write_layout(patches: Patches, folder: Path) -> Path:
    for pixels, label, patient, name in zip(
        patches.pixels, patches.labels, patches.patients, patches.names, strict=True
    ):
        path = folder / patient / str(label) / f"{patient}_{name}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_png(pixels))
    return folder


def test_train_export_evaluate_and_predict_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_layout(drawn_patches(320), tmp_path / "data")
    recipes, models = tmp_path / "recipes", tmp_path / "models"
    recipes.mkdir()
    models.mkdir()
    text = (Path(command.__file__).parent / "recipes/resnet18.toml").read_text()
    # So short a run needs more steps than one an epoch, and averages that follow quickly.
    for name, value in {
        "epochs": 3,
        "batch_size": 8,
        "averaging": 0.8,
        "warmup_epochs": 0.5,
        "precision": '"float32"',
    }.items():
        text, number = re.subn(rf"(?m)^{name} = \S+", f"{name} = {value}", text)
        assert number == 1
    (recipes / "small.toml").write_text(text)
    monkeypatch.setattr("ml.recipe.RECIPES", recipes)
    monkeypatch.setattr(command, "MODELS", models)
    monkeypatch.setattr(command, "default_version", lambda: "small-1")
    run = tmp_path / "run"

    assert command.main(["train", "--recipe", "small", "--data", str(data), "--run", str(run)]) == 0
    assert sorted(file.name for file in run.iterdir()) == [
        "checkpoints", "curves.png", "log.jsonl", "model.keras", "provenance.json", "recipe.json", "run.json"
    ]  # fmt: skip

    arguments = ["export", "small-1", "--run", str(run), "--data", str(data)]
    assert command.main([*arguments, "--default"]) == 0
    assert sorted(file.name for file in (models / "small-1").iterdir()) == ["card.json", "model.keras", "model.tflite"]
    card = read_card(models / "small-1")
    test_patches = drawn_patches(320).of_split("test")
    assert (card.data["train"]["patches"], card.figures["n"], len(test_patches)) == (128, 128, 64)
    assert (card.architecture, card.weights) == ("resnet18", 1_577_065)
    assert card.figures["auc"] > 0.9
    assert [member["recipe"]["name"] for member in card.members] == ["small"]
    assert (models / "DEFAULT").read_text() == "small-1\n"
    capsys.readouterr()
    assert command.main(arguments) == 2
    assert "small-1 exists already" in capsys.readouterr().err

    figures = tmp_path / "figures.json"
    assert command.main(["evaluate", "--data", str(data), "--json", str(figures)]) == 0
    assert json.loads(figures.read_text())["n"] == 320

    capsys.readouterr()
    picture = next(data.rglob("*.png"))
    assert command.main(["predict", str(picture), "--json"]) == 0
    (answer,) = json.loads(capsys.readouterr().out)
    assert set(answer) == {"file", "probability", "label", "model"}
    assert (answer["file"], answer["model"]) == (str(picture), "small-1")
    assert answer["label"] == ("positive" if answer["probability"] >= 0.5 else "negative")


def finished_run(folder: Path, **changes: object) -> Path:
    """A run of the committed recipe as it looks when it has ended; its network is small and has never seen a patch."""
    folder.mkdir()
    figures = report(np.array([0, 1], np.uint8), np.array([0.1, 0.9]), np.array(["1", "1"]), threshold=0.5)
    values = {
        "recipe": dataclasses.asdict(read_recipe("mobilenetv2")),
        "provenance": provenance(2021),
        "finished_at": "2026-01-01T00:00:00+00:00",
        "started_from": "random weights",
        "weights": 2_263_105,
        "figures": figures,
    }
    (folder / "run.json").write_text(json.dumps(values | changes))
    build_small("mobilenetv2").save(folder / "model.keras")
    return folder


def test_export_refuses_what_it_cannot_stand_for(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is not a finished run"):
        export([tmp_path], tmp_path / "out", drawn_patches())
    run, leaky = finished_run(tmp_path / "run"), finished_run(tmp_path / "leaky", leak={"why": "by patch"})
    with pytest.raises(ModelError, match="at least 64 real patches of training, and of two or more"):
        export([run], tmp_path / "out", drawn_patches(8))
    with pytest.raises(ModelError, match="leaky was split by patch"):
        export([run, leaky], tmp_path / "out", drawn_patches(320))
    assert not (tmp_path / "out").exists()


def test_export_refuses_when_the_engines_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ml.export.TOLERANCE", -1.0)
    with pytest.raises(ModelError, match=r"differs from Keras by .*: not written"):
        export([finished_run(tmp_path / "run")], tmp_path / "out", drawn_patches(320))
    assert not (tmp_path / "out").exists()


def test_training_needs_patches_of_both_splits(recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="needs patches of training and of validation patients"):
        train(recipe, drawn_splits()[0], drawn_patches().of_split("none"), tmp_path)


def test_weights_balance_classes_and_temper_large_patients() -> None:
    patches = drawn_patches(8)
    uneven = Patches(
        pixels=patches.pixels,
        labels=np.array([0, 0, 0, 0, 0, 0, 1, 1], np.uint8),
        patients=np.array(["a", "a", "a", "a", "b", "b", "b", "b"]),
        names=patches.names,
    )
    weights = patch_weights(uneven, patient_exponent=0.0, balance_classes=True)
    assert weights.mean() == pytest.approx(1)
    assert weights[6:].sum() == pytest.approx(weights[:6].sum())
    plain = patch_weights(uneven, patient_exponent=1.0, balance_classes=False)
    np.testing.assert_allclose(plain, np.ones(8))
    alone = dataclasses.replace(uneven, patients=np.array(["a"] * 7 + ["b"]))
    tempered = patch_weights(alone, patient_exponent=0.5, balance_classes=False)
    assert tempered[:7].sum() / tempered[7] == pytest.approx(7**0.5)


def test_an_unknown_recipe_names_those_that_exist(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert command.main(["train", "--recipe", "none", "--data", str(tmp_path), "--run", str(tmp_path / "run")]) == 2
    assert "Known: mobilenetv2, resnet18, seed-2020, seed-2020-scaled." in capsys.readouterr().err


def test_a_file_that_is_no_patch_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_text("text")
    assert command.main(["predict", str(bad)]) == 2
    assert f"{bad}: This is not an image." in capsys.readouterr().err
