"""From a prediction to its receipt, see ml/receipt.py. Nothing of its owner is in it."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings

from ml.receipt import ENGINE_FILES, Receipt, ReceiptEngine, ReceiptModel, utc
from predictions.exceptions import NoReceipt
from predictions.models import Prediction


def receipt_of(prediction: Prediction) -> Receipt:
    """The receipt of an answer, whether its pixels are still here or not.

    The engine is the one this site is set to (IDC_ENGINE).

    Raises:
        NoReceipt: there is no answer (yet).
    """
    if prediction.probability is None or prediction.label is None or prediction.finished_at is None:
        raise NoReceipt
    patch, version = prediction.patch, prediction.model_version
    card, file = version.card, ENGINE_FILES[settings.ENGINE]
    return Receipt(
        prediction=str(prediction.uuid),
        patch=str(patch.uuid),
        pixels_sha256=patch.sha256,
        model=ReceiptModel(version.version, version.sha256, utc(datetime.fromisoformat(card["created_at"]))),
        engine=ReceiptEngine(settings.ENGINE, file, card["sha256"][file]),
        probability=prediction.probability,
        threshold=prediction.threshold,
        label=prediction.label,
        flags=tuple(prediction.flags),
        notes=tuple(patch.quality.get("notes", [])),
        queued_at=utc(prediction.queued_at),
        started_at=utc(prediction.started_at) if prediction.started_at else None,
        finished_at=utc(prediction.finished_at),
    )
