"""With -n: which tests one process runs together, and which come first. A pytest plugin, see addopts."""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

COMPUTING = "tests/ml"  # one process computes while the others wait
SLOW = {"processes", "old_database"}  # fixtures of tests that wait for real processes


def group_of(test: str) -> str:
    """The file of a test, of which one process runs all, or the folder of those that compute."""
    file = test.partition("::")[0]
    return COMPUTING if file.startswith(f"{COMPUTING}/") else file


class ByGroup(LoadScopeScheduling):
    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    config.option.loadscopereorder = False  # as they are sorted below
    return ByGroup(config, log)


@pytest.hookimpl(trylast=True)  # after pytest-django, which sorts too
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest groups come first, or all would wait for the process that begins one last."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return
    slow = Counter(group_of(item.nodeid) for item in items if SLOW & set(getattr(item, "fixturenames", ())))
    slow[COMPUTING] = len(items)
    items.sort(key=lambda item: -slow[group_of(item.nodeid)])
