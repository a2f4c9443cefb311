from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import OperationalError
from django.db.models.functions import Now
from django.test import Client
from pytest_django import Settings
from redis import Redis

from accounts.models import User
from idc_site.local_services import reserved_port
from predictions.models import ModelVersion, Prediction, WorkerHeartbeat
from tests.factories import answer, submit_drawn

READY = {"ready": True, "problems": {}}


@pytest.fixture
def heartbeat(model_version: ModelVersion, broker: Redis) -> WorkerHeartbeat:
    return WorkerHeartbeat.objects.create(worker="w", model_hashes=[model_version.sha256], seen_at=Now())


def problems(client: Client) -> dict[str, str]:
    response = client.get("/readyz")
    body = response.json()
    assert response.status_code == (200 if body["ready"] else 503)
    assert body["ready"] == (not body["problems"])
    found: dict[str, str] = body["problems"]
    return found


@pytest.mark.usefixtures("heartbeat")
def test_all_well(client: Client) -> None:
    assert client.get("/healthz").json() == {"alive": True}
    assert client.get("/readyz").json() == READY


def test_no_model_is_active(client: Client, db: None, broker: Redis) -> None:
    assert list(problems(client)) == ["worker"]
    assert problems(client)["worker"].startswith("No model is active: run `manage.py register_model")


def test_a_silent_worker(client: Client, heartbeat: WorkerHeartbeat) -> None:
    WorkerHeartbeat.objects.update(seen_at=Now() - timedelta(seconds=16))
    assert list(problems(client)) == ["worker"]


def test_a_worker_with_another_model(client: Client, heartbeat: WorkerHeartbeat) -> None:
    WorkerHeartbeat.objects.update(model_hashes=["0" * 64])
    assert "No worker has been seen" in problems(client)["worker"]
    WorkerHeartbeat.objects.update(problem="model.tflite cannot be read")
    assert problems(client)["worker"].endswith("model.tflite cannot be read")


@pytest.mark.usefixtures("heartbeat")
def test_an_interactive_row_that_waits_too_long(client: Client, owner: User) -> None:
    (prediction,) = submit_drawn(owner, 1)
    Prediction.objects.update(queued_at=Now() - timedelta(seconds=61))
    assert list(problems(client)) == ["queue"]
    answer(prediction)
    assert problems(client) == {}


@pytest.mark.usefixtures("heartbeat")
def test_a_broker_that_is_away(client: Client, settings: Settings) -> None:
    settings.REDIS_URL = f"redis://127.0.0.1:{reserved_port()}/0"
    assert list(problems(client)) == ["broker"]


@pytest.mark.usefixtures("heartbeat")
def test_a_missing_migration(client: Client) -> None:
    from django.db.migrations.recorder import MigrationRecorder

    MigrationRecorder.Migration.objects.filter(app="accounts").delete()
    assert "migrations are missing" in problems(client)["migrations"]


def test_a_database_that_is_away_is_a_503_for_pages_and_api(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """The view fails as it does when PostgreSQL stops; the handlers and their pages are the real ones."""

    def fail(*args: object, **options: object) -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr("predictions.models.patch.PatchQuerySet.in_gallery", fail)
    monkeypatch.setattr("accounts.authentication.ApiTokenAuthentication.authenticate", fail)
    client.raise_request_exception = False
    page = client.get("/gallery/")
    assert (page.status_code, page["Retry-After"]) == (503, "10")
    assert "Nothing of what you sent was stored." in page.content.decode()
    answered = client.get("/api/v1/predictions/")
    assert (answered.status_code, answered["Retry-After"], answered.json()["error"]["code"]) == (
        503,
        "10",
        "unavailable",
    )


def test_an_unexpected_error_is_a_500_without_details(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **options: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr("predictions.models.patch.PatchQuerySet.in_gallery", fail)
    client.raise_request_exception = False
    page = client.get("/gallery/")
    assert page.status_code == 500
    assert "Something went wrong here" in page.content.decode()
    assert "secret" not in page.content.decode()
