"""Starts PostgreSQL and Valkey before anything reads Django's settings, and stops them at the end.

A pytest plugin (see addopts): pytest-django reads the settings before any conftest is loaded. Servers named
by DATABASE_URL and REDIS_URL are used instead when these are set.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path

from idc_site.local_services import running_services

_folder = Path(tempfile.mkdtemp(prefix="idc-tests-"))
_folder.chmod(0o755)
_running = ExitStack()
os.environ |= _running.enter_context(running_services(_folder, is_lasting=False)) | {
    "SECRET_KEY": "only-for-the-tests",
    "SITE_URL": "http://testserver",
    "STAFF_NEEDS_MFA": "false",  # tests of second factors switch it on
    "STATIC_ROOT": str(_folder / "static"),
    "LOG_LEVEL": "WARNING",
}


def pytest_unconfigure() -> None:
    _running.close()
    shutil.rmtree(_folder, ignore_errors=True)
