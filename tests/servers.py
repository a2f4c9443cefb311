"""Starts PostgreSQL and Valkey before anything reads Django's settings, and stops them at the end.

A pytest plugin (see addopts): pytest-django reads the settings before any conftest is loaded. Servers named
by DATABASE_URL and REDIS_URL are used instead when these are set. With -n every process that runs tests has servers
of its own; the one that hands the tests out has none.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from idc_site.local_services import running_services

NONE = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:9/none", "REDIS_URL": "redis://127.0.0.1:9/0"}
_running = ExitStack()


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Iterator[None]:
    folder = Path(tempfile.mkdtemp(prefix="idc-tests-"))
    folder.chmod(0o755)
    _running.callback(shutil.rmtree, folder, ignore_errors=True)
    os.environ |= _servers(early_config, folder) | {
        "SECRET_KEY": "only-for-the-tests",
        "SITE_URL": "http://testserver",
        "STAFF_NEEDS_MFA": "false",  # tests of second factors switch it on
        "STATIC_ROOT": str(folder / "static"),
        "LOG_LEVEL": "WARNING",
    }
    yield


def pytest_unconfigure() -> None:
    _running.close()


def _servers(config: pytest.Config, folder: Path) -> dict[str, str]:
    if "PYTEST_XDIST_WORKER" in os.environ:
        for name in NONE:
            del os.environ[name]
    elif config.known_args_namespace.numprocesses:
        if any(os.environ.get(name) for name in NONE):
            raise pytest.UsageError("The tests empty the servers in DATABASE_URL and REDIS_URL: -n needs these unset.")
        return NONE
    return _running.enter_context(running_services(folder, is_lasting=False))
