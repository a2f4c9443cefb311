"""Where a run came from: enough to make it again."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

LIBRARIES = ("keras", "tensorflow", "numpy", "pillow", "scikit-learn")


def provenance(seed: int) -> dict[str, object]:
    """Seed, git revision ("unknown" outside a clone; "+" behind it: with changes), Python and library versions."""
    return {
        "seed": seed,
        "git_revision": _git_revision(),
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in LIBRARIES},
    }


def _git_revision() -> str:
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--abbrev=12"],  # noqa: S607  # whichever git the person uses
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return found.stdout.strip()
