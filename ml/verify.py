"""Computing an answer again from its receipt and the image: offline, with the decoder and the engine of the site."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

from ml.card import CARD_FILE, MODELS, ModelCard, ModelError, read_card
from ml.engine import load_engine
from ml.images import DecodedPatch
from ml.judge import answer
from ml.receipt import TIMES, Receipt, label_of

TOLERANCE = 1e-5  # of the probability: what processors and sizes of stacks may differ by
CLOCKS = timedelta(minutes=5)  # by which the site's clock may be ahead of this one
# What a receipt holds, by whether an image and a model can show it.
CHECKED = ("pixels_sha256", "model", "engine", "probability", "threshold", "label", "flags")
UNCHECKED = ("prediction", "patch", "notes", *TIMES, "use")
STATED = "scale_stated"  # the flag that hangs on what the owner said, which is not in the receipt


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
    output, (flags,) = answer(engine, patch.pixels[None], [None], limit=card.likeness["limit"])
    probability = float(output.probability[0])
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
    if (claimed := [flag for flag in receipt.flags if flag != STATED]) != flags:
        # Limits fitted anew move a few flags of a thousand; a receipt names its model, and no release.
        differences.append(
            f"flags: {_listed(claimed)} in the receipt, {_listed(flags)} by the gate of this release; "
            "if the rest agrees, verify with the release that answered"
        )
    return Verdict(probability, label, (*differences, *_odd_times(receipt)))


def _odd_times(receipt: Receipt) -> Iterator[str]:
    """When it was, only the site knows; but not in another order, before there was the model, or in the future."""
    given = {"card_created_at": receipt.model.card_created_at}
    given |= {name: moment for name in TIMES if (moment := getattr(receipt, name)) is not None}
    for earlier, later in pairwise(given):
        if datetime.fromisoformat(given[earlier]) > datetime.fromisoformat(given[later]):
            yield f"{later}: {given[later]} in the receipt, which is before {earlier}, {given[earlier]}"
    if datetime.fromisoformat(receipt.finished_at) > datetime.now(UTC) + CLOCKS:
        yield f"finished_at: {receipt.finished_at} in the receipt, which is still to come"


def _listed(flags: Sequence[str]) -> str:
    return ", ".join(flags) or "none"


def _card(receipt: Receipt, models: Path) -> ModelCard:
    """The card of the very model that the receipt names."""
    known = sorted(path.parent.name for path in models.glob(f"*/{CARD_FILE}"))
    if receipt.model.version not in known:
        raise ModelError(f"The receipt names the model {receipt.model.version}; here are: {', '.join(known)}.")
    card = read_card(models / receipt.model.version)
    expected = {
        "network": (receipt.model.sha256, card.identity),
        "card": tuple(datetime.fromisoformat(one) for one in (receipt.model.card_created_at, card.created_at)),
        receipt.engine.file: (receipt.engine.sha256, card.sha256.get(receipt.engine.file, "")),
    }
    for what, (named, here) in expected.items():
        if named != here:
            raise ModelError(
                f"The {what} of {card.version} here is not the one that the receipt names. "
                "Use the models of the site that gave the receipt."
            )
    return card
