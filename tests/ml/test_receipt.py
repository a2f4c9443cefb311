"""Receipts are text from anywhere; what holds and what does not is computed with the real engine."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml import __main__ as command
from ml import receipt as receipts
from ml import verify as verification
from ml.card import MODELS, ModelError, default_version, read_card
from ml.engine import load_engine
from ml.images import DecodedPatch, decode_patch, encode_png
from ml.judge import answer
from ml.receipt import Receipt, ReceiptEngine, ReceiptError, ReceiptModel, parse_receipt
from tests import pictures
from tests.ml.test_commands import message_of

FOLDER = MODELS / default_version()
CARD = read_card(FOLDER)
IMAGE = pictures.png(seed=7)


def receipt_of(
    patch: DecodedPatch, *, probability: float, flags: Sequence[str] = ("blurred",), kind: str = "litert"
) -> Receipt:
    file = receipts.ENGINE_FILES[kind]
    return Receipt(
        prediction="9b4d0000-0000-4000-8000-000000000001",
        patch="9b4d0000-0000-4000-8000-000000000002",
        pixels_sha256=patch.sha256,
        model=ReceiptModel(CARD.version, CARD.identity, "2026-11-23T16:41:28Z"),
        engine=ReceiptEngine(kind, file, CARD.sha256[file]),
        probability=probability,
        threshold=CARD.threshold,
        label=receipts.label_of(probability, CARD.threshold),
        flags=tuple(flags),
        notes=("rescaled",),
        queued_at="2026-11-24T12:00:00Z",
        started_at="2026-11-24T12:00:00.250000Z",
        finished_at="2026-11-24T12:00:01Z",
    )


def answered(patch: DecodedPatch, *, kind: str = "litert") -> Receipt:
    """What the site would give for this patch."""
    engine = load_engine(FOLDER, CARD, kind=kind)
    output, (flags,) = answer(engine, patch.pixels[None], [None], limit=CARD.likeness["limit"])
    return receipt_of(patch, probability=float(output.probability[0]), flags=flags, kind=kind)


WHAT_WAS_CHECKED = [
    "Checked: pixels_sha256, model, engine, probability, threshold, label, flags; "
    "that queued_at, started_at, finished_at are in this order, after the model's card, and past.",
    "Not checked, the site's word: prediction, patch, notes, queued_at, started_at, finished_at, use; "
    "the flag scale_stated.",
]
RECEIPT = receipt_of(decode_patch(IMAGE), probability=0.75)


@pytest.fixture(scope="module")
def true_receipt() -> Receipt:
    return answered(decode_patch(IMAGE))


def as_bytes(receipt: Receipt = RECEIPT, **changes: Any) -> bytes:
    return json.dumps(receipt.as_dict() | changes).encode()


def code_of(content: bytes) -> str:
    with pytest.raises(ReceiptError) as refusal:
        parse_receipt(content)
    assert str(refusal.value).endswith(".")
    return refusal.value.code


def test_what_is_written_is_read_again() -> None:
    assert parse_receipt(as_bytes()) == RECEIPT
    waited = dataclasses.replace(RECEIPT, started_at=None, probability=1.0, flags=(), notes=())
    assert parse_receipt(as_bytes(waited)) == waited


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "not_json"),
        (b"\xff", "not_json"),
        (b"[" * 60_000, "not_json"),
        (b'{"probability": NaN}', "not_json"),
        (b'{"probability": ' + b"9" * 5000 + b"}", "not_json"),
        (as_bytes().replace(b'"label":', b'"label": "positive", "label":'), "not_json"),
        (b" " * (receipts.MAX_BYTES + 1), "too_large"),
        (b"null", "not_a_receipt"),
        (b"{}", "not_a_receipt"),
        (b"[" * 500 + b"]" * 500, "not_a_receipt"),
        (as_bytes(format_version=2), "unknown_version"),
        (as_bytes(format="receipt"), "not_a_receipt"),
        (as_bytes(owner="someone@example.org"), "not_a_receipt"),
        (as_bytes(probability=1.5), "not_a_receipt"),
        (as_bytes().replace(b"0.75", b"1e999"), "not_a_receipt"),
        (as_bytes(probability=True), "not_a_receipt"),
        (as_bytes(label="maybe"), "not_a_receipt"),
        (as_bytes(pixels_sha256="0" * 63), "not_a_receipt"),
        (as_bytes(model=RECEIPT.as_dict()["model"] | {"version": "../.."}), "not_a_receipt"),
        (as_bytes(engine=RECEIPT.as_dict()["engine"] | {"file": "model.keras"}), "not_a_receipt"),
        (as_bytes(finished_at="2026-13-24T12:00:00Z"), "not_a_receipt"),
        (as_bytes(flags=["x"] * 41), "not_a_receipt"),
        (as_bytes(flags=["blurred\n"]), "not_a_receipt"),
        (as_bytes(flags=["scale_stated", "blurred", "scale_stated"]), "not_a_receipt"),
        (as_bytes(notes=["grey", "grey"]), "not_a_receipt"),
        (as_bytes(finished_at="2026-11-24T12:00:01Z\n"), "not_a_receipt"),
        (as_bytes(model=RECEIPT.as_dict()["model"] | {"version": f"{CARD.version}\n"}), "not_a_receipt"),
        (as_bytes(model=RECEIPT.as_dict()["model"] | {"card_created_at": "2026-13-24T12:00:00Z"}), "not_a_receipt"),
    ],
)  # fmt: skip
def test_what_is_no_receipt_has_a_code_and_a_sentence(content: bytes, code: str) -> None:
    assert code_of(content) == code


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)
FIELDS = sorted(RECEIPT.as_dict())


@settings(max_examples=300)
@given(content=st.binary() | JSON.map(lambda values: json.dumps(values).encode()))
def test_any_bytes_are_a_receipt_or_an_error_with_a_code(content: bytes) -> None:
    assert code_of(content) in receipts.MESSAGES


@settings(max_examples=300)
@given(field=st.sampled_from(FIELDS), value=JSON)
def test_a_receipt_with_any_value_in_a_field_is_read_as_it_stands_or_refused(field: str, value: Any) -> None:
    with contextlib.suppress(ReceiptError):
        read = parse_receipt(as_bytes(**{field: value}))
        assert read.as_dict() == RECEIPT.as_dict() | ({} if field == "use" else {field: value})


def run(tmp_path: Path, receipt: bytes, image: bytes = IMAGE) -> int:
    (tmp_path / "receipt.json").write_bytes(receipt)
    (tmp_path / "image").write_bytes(image)
    return command.main(["verify", str(tmp_path / "receipt.json"), str(tmp_path / "image")])


def test_an_answer_is_computed_again(tmp_path: Path, capsys: pytest.CaptureFixture[str], true_receipt: Receipt) -> None:
    assert run(tmp_path, as_bytes(true_receipt)) == 0
    says = f"{CARD.version} answers {true_receipt.label}, {true_receipt.probability!r}, on this image."
    assert capsys.readouterr().out.splitlines() == [f"The receipt holds: {says}", *WHAT_WAS_CHECKED]


def test_every_field_is_named_as_checked_or_not() -> None:
    named = {*verification.CHECKED, *verification.UNCHECKED}
    assert named == RECEIPT.as_dict().keys() - {"format", "format_version"}


def test_the_gate_judges_again(tmp_path: Path, capsys: pytest.CaptureFixture[str], true_receipt: Receipt) -> None:
    glass = encode_png(np.full((50, 50, 3), 245, np.uint8))
    empty = answered(decode_patch(glass))
    assert "no_tissue" in empty.flags
    assert run(tmp_path, as_bytes(empty), glass) == 0
    capsys.readouterr()
    assert run(tmp_path, as_bytes(empty, flags=[]), glass) == 1
    assert "- flags: none in the receipt, no_tissue" in capsys.readouterr().out
    assert run(tmp_path, as_bytes(true_receipt, flags=[*true_receipt.flags, "unlike"])) == 1
    assert differences(capsys) == ["flags"]
    # What hangs on the scale that the owner stated cannot be known from an image.
    assert run(tmp_path, as_bytes(true_receipt, flags=["scale_stated", *true_receipt.flags])) == 0


def test_times_are_in_order_after_the_models_card_and_past(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], true_receipt: Receipt
) -> None:
    for changes in (
        {"started_at": "2026-11-24T11:59:59Z"},
        {"finished_at": "2026-11-24T12:00:00.200000+00:00"},
        {"started_at": None, "finished_at": "2026-11-24T11:00:00Z"},
        {"finished_at": receipts.utc(datetime.now(UTC) + timedelta(hours=1))},
        {"queued_at": "2026-11-23T16:41:27Z"},
        dict.fromkeys(("finished_at", "started_at", "queued_at"), "2026-11-20T12:00:00Z"),
    ):
        assert run(tmp_path, as_bytes(true_receipt, **changes)) == 1
        assert differences(capsys) == [next(reversed(changes))]
    soon = {"finished_at": receipts.utc(datetime.now(UTC) + timedelta(minutes=1))}  # by clocks that differ
    at_once = {"queued_at": RECEIPT.model.card_created_at}
    for fine in ({"started_at": None}, {"started_at": RECEIPT.queued_at}, soon, at_once):
        assert run(tmp_path, as_bytes(true_receipt, **fine)) == 0


@pytest.mark.parametrize("kind", sorted(receipts.ENGINE_FILES))
def test_it_is_computed_with_the_engine_that_answered(tmp_path: Path, kind: str) -> None:
    assert run(tmp_path, as_bytes(answered(decode_patch(IMAGE), kind=kind))) == 0


@pytest.mark.parametrize(
    "sent",
    [
        pictures.save(pictures.picture(120, 100), "JPEG"),
        pictures.save(pictures.picture(75, 60), "TIFF"),
        pictures.turned_jpeg(),
        pictures.png(200, 150, "RGBA"),
        pictures.png(60, 60, "L"),
    ],
    ids=["jpeg", "tiff", "turned", "transparent", "grey"],
)
def test_the_file_that_was_sent_and_the_picture_as_served_are_the_same_to_it(tmp_path: Path, sent: bytes) -> None:
    patch = decode_patch(sent)
    receipt = as_bytes(answered(patch))
    assert run(tmp_path, receipt, sent) == 0
    assert run(tmp_path, receipt, encode_png(patch.pixels)) == 0


@pytest.mark.parametrize(("by", "holds"), [(5e-6, True), (-5e-6, True), (2e-5, False), (-2e-5, False)])
def test_a_probability_may_differ_by_a_hundred_thousandth(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], true_receipt: Receipt, by: float, holds: bool
) -> None:
    assert run(tmp_path, as_bytes(true_receipt, probability=true_receipt.probability + by)) == (0 if holds else 1)
    assert differences(capsys) == ([] if holds else ["probability"])


def differences(capsys: pytest.CaptureFixture[str]) -> list[str]:
    lines = capsys.readouterr().out.splitlines()
    return [line.removeprefix("- ").partition(":")[0] for line in lines if line.startswith("- ")]


def test_what_differs_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str], true_receipt: Receipt) -> None:
    other = {"positive": "negative", "negative": "positive"}[true_receipt.label]
    for changes in ({"pixels_sha256": "0" * 64}, {"threshold": 0.25}, {"label": other}):
        assert run(tmp_path, as_bytes(true_receipt, **changes)) == 1
        assert differences(capsys) == [next(iter(changes)).removesuffix("_sha256")]


def test_another_image_is_not_the_one_that_was_answered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], true_receipt: Receipt
) -> None:
    assert run(tmp_path, as_bytes(true_receipt), pictures.png(seed=8)) == 1
    assert {"pixels", "probability"} <= {*differences(capsys)}


def test_what_cannot_be_compared_is_said_in_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    receipt, image = tmp_path / "receipt.json", tmp_path / "image.png"
    receipt.write_bytes(as_bytes())
    image.write_bytes(IMAGE)
    text = tmp_path / "text"
    text.write_text("text")
    model = RECEIPT.as_dict()["model"]
    engine = RECEIPT.as_dict()["engine"]

    def with_(**changes: Any) -> Path:
        path = tmp_path / "changed.json"
        path.write_bytes(as_bytes(**changes))
        return path

    assert "No such file or directory" in message_of(capsys, "verify", tmp_path / "none", image)
    assert "No such file or directory" in message_of(capsys, "verify", receipt, tmp_path / "none")
    assert "Is a directory" in message_of(capsys, "verify", receipt, tmp_path)
    assert "The receipt is not JSON." in message_of(capsys, "verify", text, image)
    assert f"{text}: This is not an image." in message_of(capsys, "verify", receipt, text)
    unknown = with_(model=model | {"version": "other-1"})
    assert f"names the model other-1; here are: {CARD.version}, " in message_of(capsys, "verify", unknown, image)
    other = with_(model=model | {"sha256": "0" * 64})
    assert f"The network of {CARD.version} here is not the one" in message_of(capsys, "verify", other, image)
    edition = with_(model=model | {"card_created_at": "2026-11-23T16:41:29Z"})
    assert f"The card of {CARD.version} here is not the one" in message_of(capsys, "verify", edition, image)
    other_file = with_(engine=engine | {"sha256": "0" * 64})
    assert f"The model.tflite of {CARD.version} here is not" in message_of(capsys, "verify", other_file, image)


def test_a_damaged_model_verifies_nothing(tmp_path: Path, true_receipt: Receipt) -> None:
    models = tmp_path / "models"
    shutil.copytree(FOLDER, models / FOLDER.name)
    patch = decode_patch(IMAGE)
    assert verification.verify(true_receipt, patch, models=models).differences == ()
    (models / FOLDER.name / "model.tflite").write_bytes(b"other")
    with pytest.raises(ModelError, match="sha256 differs"):
        verification.verify(true_receipt, patch, models=models)
