"""Computing an answer again from its receipt and the image: offline, with the decoder and the engine of the site."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ml.card import CARD_FILE, MODELS, ModelCard, ModelError, read_card
from ml.engine import load_engine
from ml.images import DecodedPatch
from ml.receipt import Receipt, label_of

TOLERANCE = 1e-5  # of the probability: what processors and sizes of stacks may differ by


@dataclass(frozen=True)
class Verdict:
    """What was computed now, and each way in which that is not what the receipt says."""

    probability: float
    label: str
    differences: tuple[str, ...]


def verify(receipt: Receipt, patch: DecodedPatch, *, models: Path = MODELS) -> Verdict:
    """Answer the patch anew with the model and the engine that the receipt names.

    Raises:
        ModelError: the model is not here, is another one of that name, or its files are damaged.
    """
    card = _card(receipt, models)
    engine = load_engine(models / receipt.model.version, card, kind=receipt.engine.name)
    probability = float(engine.predict(patch.pixels[None]).probability[0])
    label = label_of(probability, card.threshold)
    differences = []
    if patch.sha256 != receipt.pixels_sha256:
        differences.append("pixels: the image is not the one that was answered (the sha256 of its pixels differs)")
    if receipt.threshold != card.threshold:
        differences.append(f"threshold: {receipt.threshold!r} in the receipt, {card.threshold!r} on the model's card")
    if label != receipt.label:
        differences.append(f"label: {receipt.label} in the receipt, {label} now")
    if not abs(probability - receipt.probability) <= TOLERANCE:
        differences.append(f"probability: {receipt.probability!r} in the receipt, {probability!r} now")
    return Verdict(probability, label, tuple(differences))


def _card(receipt: Receipt, models: Path) -> ModelCard:
    """The card of the very model that the receipt names."""
    known = sorted(path.parent.name for path in models.glob(f"*/{CARD_FILE}"))
    if receipt.model.version not in known:
        raise ModelError(f"The receipt names the model {receipt.model.version}; here are: {', '.join(known)}.")
    card = read_card(models / receipt.model.version)
    expected = {
        "network": (receipt.model.sha256, card.identity),
        receipt.engine.file: (receipt.engine.sha256, card.sha256.get(receipt.engine.file, "")),
    }
    for what, (named, here) in expected.items():
        if named != here:
            raise ModelError(
                f"The {what} of {card.version} here is not the one that the receipt names (its sha256 differs). "
                "Use the models of the site that gave the receipt."
            )
    return card
