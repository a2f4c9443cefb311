"""python -m benchmarks: prints the table of docs/performance.md."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version

# Each in a process of its own: the engine's needs TensorFlow, and each site has its own database.
PARTS = ("engine", "site", "api", "lists", "pages")


def main() -> None:
    names = ("ai-edge-litert", "keras", "tensorflow", "django", "celery")
    packages = ", ".join(f"{name} {version(name)}" for name in names)
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    print(f"{datetime.now(UTC):%Y-%m-%d}, {machine}, {packages}")
    print("\n| what | measured |\n|---|---|", flush=True)
    for part in PARTS:
        subprocess.run([sys.executable, "-m", f"benchmarks.{part}"], check=True)


if __name__ == "__main__":
    main()
