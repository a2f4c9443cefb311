"""How far an answer can be trusted: what became of held-out patches that scored alike."""

from __future__ import annotations

from typing import Any

from predictions.models import Prediction

FEW = 100  # patches in a row of the table, below which it says so


def held_out_like(prediction: Prediction) -> dict[str, Any] | None:
    """The row of the card's calibration table that the probability falls into; None without an answer.

    low, high, n, patients, share and share_ci as in the card; few: whether the row holds few patches.
    """
    if prediction.probability is None:
        return None
    rows: list[dict[str, Any]] = prediction.model_version.card["evidence"]["deciles"]
    row = rows[min(int(prediction.probability * len(rows)), len(rows) - 1)]
    return {**row, "few": row["n"] < FEW}
