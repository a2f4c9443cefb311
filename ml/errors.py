"""Where a model fails: contact sheets of its worst errors, grouped by measured traits, as one HTML page.

The page holds patches of the data set: it is for looking at, not for publishing with the project.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ml.card import ModelCard
from ml.dataset import Patches
from ml.engine import Engine
from ml.evidence import LEVELS, measured_traits, per_patient, strata, thirds
from ml.images import PATCH_SIDE
from ml.trials import trials

COLUMNS, ROWS = 12, 2
ENLARGED, GAP = 2 * PATCH_SIDE, 4
WORST_PATIENTS = 6

STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 84rem; margin: 2rem auto; padding: 0 1rem; }
img { max-width: 100%; height: auto; image-rendering: pixelated; }
table { border-collapse: collapse; }
th, td { padding: .2rem .8rem; text-align: right; white-space: nowrap; border-bottom: 1px solid #8886; }
th:first-child, td:first-child { text-align: left; } figure { margin: 1rem 0; } .scroll { overflow-x: auto; }
"""


@dataclass(frozen=True)
class Group:
    """Patches that share a trait. rows: their indices, the worst first."""

    title: str
    kind: str
    rows: NDArray[np.intp]


def write_errors(engine: Engine, card: ModelCard, patches: Patches, folder: Path) -> Path:
    """Write index.html and its sheets to `folder`; return the page's path.

    Worst are the negatives with the highest and the positives with the lowest probability.
    """
    folder.mkdir(parents=True, exist_ok=True)
    probabilities = engine.predict(patches.pixels).probability
    traits = measured_traits(patches.pixels)
    sheets = []
    for number, group in enumerate(_groups(patches, probabilities, traits, card.threshold)):
        file = f"sheet-{number:02}.png"
        _sheet(patches.pixels[group.rows[: COLUMNS * ROWS]]).save(folder / file)
        lowest, highest = np.sort(probabilities[group.rows[: COLUMNS * ROWS]])[[0, -1]]
        caption = f"{group.kind}: {len(group.rows)}, the worst at {lowest:.1%} to {highest:.1%}"
        sheets.append((group.title, file, caption))
    page = folder / "index.html"
    page.write_text(
        _page(
            card,
            sheets,
            strata(patches.labels, probabilities, patches.patients, traits, threshold=card.threshold),
            per_patient(patches.labels, probabilities, patches.patients, threshold=card.threshold),
            trials(engine, patches, threshold=card.threshold),
        )
    )
    return page


def _groups(
    patches: Patches, probabilities: NDArray[np.float32], traits: dict[str, NDArray[Any]], threshold: float
) -> Iterator[Group]:
    called = probabilities >= threshold
    kinds = {
        "false positives": (called & (patches.labels == 0), -probabilities),
        "false negatives": (~called & (patches.labels == 1), probabilities),
    }

    def group(title: str, wanted: NDArray[np.bool_]) -> Iterator[Group]:
        for kind, (wrong, order) in kinds.items():
            rows = np.flatnonzero(wrong & wanted)
            if len(rows):
                yield Group(title, kind, rows[np.argsort(order[rows], kind="stable")])

    yield from group("All", np.ones(len(patches), bool))
    for name, values in traits.items():
        third_of = thirds(values)
        for third, level in enumerate(LEVELS):
            yield from group(f"{name}: {level} third", third_of == third)
    ids, numbers = np.unique(patches.patients[called != (patches.labels == 1)], return_counts=True)
    for place in np.argsort(-numbers, kind="stable")[:WORST_PATIENTS]:
        yield from group(f"patient {ids[place]}", patches.patients == ids[place])


def _sheet(pixels: NDArray[np.uint8]) -> Image.Image:
    columns = min(COLUMNS, len(pixels))
    rows = -(-len(pixels) // COLUMNS)
    step = ENLARGED + GAP
    sheet = Image.new("RGB", (columns * step - GAP, rows * step - GAP), (128, 128, 128))
    for place, patch in enumerate(pixels):
        tile = Image.fromarray(patch).resize((ENLARGED, ENLARGED), Image.Resampling.NEAREST)
        sheet.paste(tile, (place % COLUMNS * step, place // COLUMNS * step))
    return sheet


def _page(
    card: ModelCard,
    sheets: list[tuple[str, str, str]],
    by_trait: list[dict[str, Any]],
    by_patient: list[dict[str, Any]],
    tried: list[dict[str, Any]],
) -> str:
    title = f"Where {card.version} fails"
    parts = [
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>',
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style><h1>{escape(title)}</h1>',
        f"<p>{escape(card.intended_use)} Threshold {card.threshold:.0%}.</p>",
        "<h2>By trait</h2>",
        _table(
            ("trait", "third", "patches", "sensitivity", "specificity"),
            [
                (row["trait"], row["level"], row["n"], _with_ci(row, "sensitivity"), _with_ci(row, "specificity"))
                for row in by_trait
            ],
        ),
        "<h2>By patient</h2>",
        _table(
            ("patient", "patches", "IDC", "AUC", "sensitivity", "specificity"),
            [
                (row["patient"], row["n"], row["positive"], *(_share(row[name]) for name in PATIENT_FIGURES))
                for row in by_patient
            ],
        ),
        "<h2>Changes to the patch that were tried</h2>",
        _table(
            ("change", "AUC", "balanced accuracy", "F1"),
            [(row["change"], *(_change(row[name]) for name in ("auc", "balanced_accuracy", "f1"))) for row in tried],
        ),
        "<h2>The worst errors</h2>",
    ]
    for heading, file, caption in sheets:
        parts.append(
            f"<figure><figcaption><strong>{escape(heading)}</strong>, {escape(caption)}</figcaption>"
            f'<img src="{file}" alt="{escape(caption)}" loading="lazy"></figure>'
        )
    return "\n".join(parts) + "\n"


PATIENT_FIGURES = ("auc", "sensitivity", "specificity")


def _table(head: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    cells = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table><tr>{cells}</tr>{body}</table></div>'


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _with_ci(row: dict[str, Any], name: str) -> str:
    low, high = row[f"{name}_ci"]
    return f"{_share(row[name])} [{_share(low)} - {_share(high)}]"


def _change(found: dict[str, Any]) -> str:
    if found["difference"] is None:
        return "-"
    return f"{found['value']:.4f} ({found['difference']:+.4f} [{found['ci'][0]:+.4f} .. {found['ci'][1]:+.4f}])"
