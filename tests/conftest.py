"""Fixtures that every test may use. People and rows are made by tests/factories.py."""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.core.management import call_command
from hypothesis import settings as property_tests
from redis import Redis

from accounts.exports import PLACES
from accounts.models import User
from ml.card import MODELS, default_version
from predictions import services
from predictions.exports import ANONYMOUS, SIGNED_IN
from predictions.models import ModelVersion
from tests.factories import make_reviewer, make_user
from tests.processes import Processes

# How long an example takes says how busy the machine is, and nothing of the code.
property_tests.register_profile("unhurried", deadline=None)
property_tests.load_profile("unhurried")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests of real patches are deselected where there are none."""
    if os.environ.get("IDC_DATA"):
        return
    deselected = [item for item in items if item.get_closest_marker("data")]
    config.hook.pytest_deselected(items=deselected)
    items[:] = [item for item in items if not item.get_closest_marker("data")]


@pytest.fixture(scope="session", autouse=True)
def _static_files() -> None:
    """Collected once. A client of Django's tests looks a file up when it is asked for: it would else read all of them
    at its first request, and nearly every test has a client of its own."""
    call_command("collectstatic", interactive=False, verbosity=0)
    settings.WHITENOISE_AUTOREFRESH = True


@pytest.fixture(scope="session", autouse=True)
def _passwords_are_hashed_in_no_time() -> Iterator[None]:
    """In the tests' own process. The hash says how often it was hashed, so that real web servers read it as well."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(PBKDF2PasswordHasher, "iterations", 1)
        yield


@pytest.fixture(autouse=True)
def _no_file_is_on_its_way() -> Iterator[None]:
    """An answer that a test did not read to its end keeps a place until it is collected: not into the next test."""
    yield
    if any(places._readers for places in (ANONYMOUS, SIGNED_IN, PLACES)):
        gc.collect()


@pytest.fixture(scope="session")
def model_folder() -> Path:
    return MODELS / default_version()


@pytest.fixture
def models_dir(tmp_path: Path, model_folder: Path) -> Path:
    """A copy of the models, for tests that damage them."""
    copy = tmp_path / "models"
    shutil.copytree(model_folder, copy / model_folder.name)
    (copy / "DEFAULT").write_text(model_folder.name)
    return copy


@pytest.fixture
def model_version(db: None, model_folder: Path) -> ModelVersion:
    """The default model, registered and active."""
    registered = services.register_model(folder=model_folder)
    services.activate(model_version=registered)
    registered.refresh_from_db()
    return registered


@pytest.fixture
def owner(db: None) -> User:
    return make_user("owner@example.org")


@pytest.fixture
def stranger(db: None) -> User:
    return make_user("stranger@example.org")


@pytest.fixture
def staff(db: None) -> User:
    return make_user("staff@example.org", is_staff=True, is_superuser=True)


@pytest.fixture
def reviewer(db: None) -> User:
    return make_reviewer("reviewer@example.org")


@pytest.fixture
def broker() -> Iterator[Redis]:
    """The real broker, empty."""
    with Redis.from_url(settings.REDIS_URL) as client:
        client.flushall()
        yield client


@pytest.fixture
def processes(transactional_db: None, broker: Redis, tmp_path: Path) -> Iterator[Processes]:
    """Starts real workers and web servers on the test's database; all are stopped at the end."""
    with Processes(tmp_path) as started:
        yield started
