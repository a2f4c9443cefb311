"""Fits the limits of the gate on training patients, and measures how often it speaks up: python -m ml.gate_rates.

What it must let pass are the validation patches, whose patients had no part in the fit, and the same patches
resampled at their scale. What it must flag: photographs, blank, black and noise tiles, grey and recoloured tissue,
tissue enlarged and reduced four times. No photograph takes part in the fit.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ml import gate
from ml.arguments import in_words, new_file
from ml.dataset import DatasetError, Patches, read_patches
from ml.gate_fit import fit
from ml.gate_kinds import Pixels, kinds


def rates(pictures: Iterable[Pixels]) -> dict[str, Any]:
    """n, how many are flagged at all (share, 0..1; None of no picture), and the share of each flag that was raised."""
    found = [gate.flags(picture) for picture in pictures]
    raised = Counter(flag for flags in found for flag in flags)
    return {
        "n": len(found),
        "flagged": round(sum(map(bool, found)) / len(found), 4) if found else None,
        "flags": {flag: round(raised[flag] / len(found), 4) for flag in gate.FLAGS if raised[flag]},
    }


def report(patches: Patches) -> dict[str, Any]:
    """Rates by kind: the real patches first. patches: of validation patients."""
    return {"real": rates(patches.pixels), **{kind: rates(pictures) for kind, pictures in kinds(patches).items()}}


def table(found: Mapping[str, Mapping[str, Any]]) -> str:
    """The report as lines of text: kind, n, share flagged, share of each flag."""
    lines = [f"{'kind':44}{'n':>7}{'flagged':>10}  flags"]
    for kind, row in found.items():
        each = "  ".join(f"{flag} {share:.1%}" for flag, share in row["flags"].items())
        flagged = "-" if row["flagged"] is None else f"{row['flagged']:.2%}"
        lines.append(f"{kind:44}{row['n']:>7}{flagged:>10}  {each}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m ml.gate_rates", description="How often the gate flags what.")
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="ZIP", help="in the Kaggle layout")
    parser.add_argument("--fit", action="store_true", help="first rewrite ml/gate.json from the training patients")
    parser.add_argument("--json", type=new_file, metavar="FILE", help="also write the rates to this file")
    options = parser.parse_args(arguments)
    try:
        patches = read_patches(*options.data)
        if options.fit:
            gate.LIMITS.write_text(json.dumps(fit(patches), indent=1) + "\n")
            gate.limits.cache_clear()
        validation = patches.of_split("validation")
        if not len(validation):
            raise DatasetError("The rates are measured on validation patients, and there is none.")
    except (DatasetError, OSError) as error:
        print(f"error: {in_words(error)}", file=sys.stderr)
        return 2
    found = report(validation)
    print(table(found))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
