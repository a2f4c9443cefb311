"""Starts PostgreSQL and Valkey before anything reads Django's settings, and stops them at the end.

A pytest plugin (see addopts): pytest-django reads the settings before any conftest is loaded. Servers named
by DATABASE_URL and REDIS_URL are used instead when these are set. Where pytest-xdist runs tests in several processes
(`make test`), each has servers of its own: tests stop them, and fill their queues.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path

from idc_site.local_services import running_services

_OWN = "IDC_TESTS_OWN"  # which of these the process that started us has started for itself
for name in os.environ.pop(_OWN, "").split():
    del os.environ[name]
_started = [name for name in ("DATABASE_URL", "REDIS_URL") if name not in os.environ]

_folder = Path(tempfile.mkdtemp(prefix="idc-tests-"))
_folder.chmod(0o755)
_running = ExitStack()
os.environ |= _running.enter_context(running_services(_folder, is_lasting=False)) | {
    "SECRET_KEY": "only-for-the-tests",
    "SITE_URL": "http://testserver",
    "STAFF_NEEDS_MFA": "false",  # tests of second factors switch it on
    "STATIC_ROOT": str(_folder / "static"),
    "LOG_LEVEL": "WARNING",
    _OWN: " ".join(_started),
}


def pytest_unconfigure() -> None:
    _running.close()
    shutil.rmtree(_folder, ignore_errors=True)
