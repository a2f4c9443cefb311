"""python -m benchmarks: prints the table of docs/performance.md."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version

from benchmarks import api, engine, lists, site


def main() -> None:
    # The engine first: it needs TensorFlow, which would otherwise share the cores with the site.
    rows = [*engine.rows(), *site.rows(), *api.rows(), *lists.rows()]
    names = ("ai-edge-litert", "keras", "tensorflow", "django", "celery")
    packages = ", ".join(f"{name} {version(name)}" for name in names)
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    print(f"{datetime.now(UTC):%Y-%m-%d}, {machine}, {packages}")
    print("\n| what | measured |\n|---|---|")
    for what, figure in rows:
        print(f"| {what} | {figure} |")


if __name__ == "__main__":
    main()
