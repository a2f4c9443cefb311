from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import pytest

from ml.card import ModelError, default_version, read_card


def test_the_committed_card_names_the_bytes_beside_it(model_folder: Path) -> None:
    card = read_card(model_folder)
    assert card.sha256 == {
        name: hashlib.sha256((model_folder / name).read_bytes()).hexdigest() for name in ("model.keras", "model.tflite")
    }
    assert (card.version, card.architecture, card.weights) == (model_folder.name, "mobilenetv2", 2_263_105)
    assert card.threshold == 0.5


def test_the_committed_model_reaches_what_was_asked_of_it(model_folder: Path) -> None:
    figures = read_card(model_folder).figures
    assert (figures["patients"], figures["n"], figures["excluded"]) == (29, 5652, 27)
    assert figures["auc"] >= 0.950
    assert figures["balanced_accuracy"] >= 0.875


def test_a_card_survives_writing_and_reading(model_folder: Path, tmp_path: Path) -> None:
    card = read_card(model_folder)
    card.write(tmp_path)
    assert read_card(tmp_path) == card


def test_what_is_no_card_is_refused(model_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is missing"):
        read_card(tmp_path)
    path = tmp_path / "card.json"
    for text, message in (("{", "not valid JSON"), ("[]", "not a model card"), ('{"version": "x"}', "architecture")):
        path.write_text(text)
        with pytest.raises(ModelError, match=message):
            read_card(tmp_path)
    path.write_text(json.dumps(read_card(model_folder).as_dict() | {"threshold": 1.5}))
    with pytest.raises(ModelError, match="threshold"):
        read_card(tmp_path)


def test_a_card_is_immutable(model_folder: Path) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        read_card(model_folder).threshold = 0.1  # type: ignore[misc]  # that is what is tested


def test_a_folder_without_default_says_so(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="DEFAULT is missing"):
        default_version(tmp_path)
