from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import pytest

from ml.card import MODELS, ModelError, default_version, read_card
from ml.dataset import patients_in

FOLDERS = sorted(file.parent for file in MODELS.glob("*/card.json"))
# What was asked of each: AUC, balanced accuracy and F1 at least, calibration error at most.
ASKED = {"mobilenetv2-3": (0.963, 0.890, 0.865, 0.03), "resnet18-1": (0.970, 0.900, 0.875, 0.03)}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_committed_card_names_the_bytes_beside_it(folder: Path) -> None:
    card = read_card(folder)
    files = {name: (folder / name).read_bytes() for name in ("model.keras", "model.tflite")}
    assert card.sha256 == {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    assert card.bytes == {name: len(content) for name, content in files.items()}
    assert (card.version, card.threshold) == (folder.name, 0.5)
    assert sorted(file.name for file in folder.iterdir()) == ["card.json", "model.keras", "model.tflite"]


def test_the_models_are_the_network_of_2020_and_a_stronger_one(model_folder: Path) -> None:
    cards = {folder.name: read_card(folder) for folder in FOLDERS}
    assert set(cards) == set(ASKED)
    assert (cards[model_folder.name].architecture, cards[model_folder.name].weights) == ("mobilenetv2", 2_263_105)
    assert all(card.weights <= 6_000_000 for card in cards.values())


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_committed_model_reaches_what_was_asked_of_it(folder: Path) -> None:
    figures = read_card(folder).figures
    assert (figures["patients"], figures["n"], figures["excluded"]) == (29, 5652, 27)
    auc, balanced_accuracy, f1, ece = ASKED[folder.name]
    assert figures["auc"] >= auc
    assert figures["balanced_accuracy"] >= balanced_accuracy
    assert figures["f1"] >= f1
    assert figures["ece"] <= ece


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_parts_of_a_committed_card_agree_with_each_other(folder: Path) -> None:
    card = read_card(folder)
    confusion, data, n = card.evidence["confusion"], card.data["validation"], card.figures["n"]
    assert confusion["true_positive"] + confusion["false_negative"] == data["positive"]
    assert sum(confusion.values()) == n == data["patches"]
    assert sum(row["n"] for row in card.evidence["deciles"]) == n
    assert sum(row["n"] for row in card.evidence["per_patient"]) == n
    assert data["patient_ids"] == sorted(row["patient"] for row in card.evidence["per_patient"])
    assert set(data["patient_ids"]) == patients_in("validation")
    assert not set(card.data["train"]["patient_ids"]) & (patients_in("validation") | patients_in("test"))
    sensitivity = confusion["true_positive"] / data["positive"]
    assert card.figures["sensitivity"] == pytest.approx(sensitivity, abs=1e-5)


def test_a_card_survives_writing_and_reading(model_folder: Path, tmp_path: Path) -> None:
    card = read_card(model_folder)
    card.write(tmp_path)
    assert read_card(tmp_path) == card


def test_what_is_no_card_is_refused(model_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is missing"):
        read_card(tmp_path)
    path = tmp_path / "card.json"
    good = read_card(model_folder).as_dict()
    for values, message in (
        ("{", "not valid JSON"),
        ("[]", "no model card: the card: .* is not of type 'object'"),
        ('{"version": "x"}', "'architecture' is a required property"),
        (json.dumps(good | {"threshold": 1.5}), "threshold: 1.5 is greater than"),
        (json.dumps(good | {"version": "../x"}), "version: '../x' does not match"),
        (json.dumps(good | {"mood": "fine"}), "'mood' was unexpected"),
    ):
        path.write_text(values)
        with pytest.raises(ModelError, match=message):
            read_card(tmp_path)


def test_a_card_that_evaluates_on_trained_patients_is_refused(model_folder: Path, tmp_path: Path) -> None:
    values = read_card(model_folder).as_dict()
    values["data"]["train"]["patient_ids"].append(values["data"]["validation"]["patient_ids"][3])
    (tmp_path / "card.json").write_text(json.dumps(values))
    with pytest.raises(ModelError, match=r"evaluates on patients it was trained on \(\d+\): its figures mean nothing"):
        read_card(tmp_path)


def test_no_card_is_written_that_could_not_be_read(model_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="symmetries: 3 is not one of"):
        dataclasses.replace(read_card(model_folder), symmetries=3).write(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_card_is_immutable(model_folder: Path) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        read_card(model_folder).threshold = 0.1  # type: ignore[misc]  # that is what is tested


def test_a_folder_without_default_says_so(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="DEFAULT is missing"):
        default_version(tmp_path)
