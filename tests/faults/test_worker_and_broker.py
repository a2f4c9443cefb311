"""Faults under a real worker: nothing is lost, nothing is answered twice, and people are told the truth."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
import urllib.error
import urllib.request
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
from django.test import Client
from redis import Redis

from accounts.models import User
from idc_site.local_services import reserved_port, running_broker
from ml.card import KERAS_FILE, LITERT_FILE, read_card
from ml.engine import load_engine
from predictions import services
from predictions.models import ModelVersion, Prediction, Status, WorkerHeartbeat
from predictions.services.stacks import _stack
from predictions.tasks import drain_task
from tests import pictures
from tests.factories import make_token, submit_drawn
from tests.ml.test_engine import misshapen
from tests.processes import BASE_DIR, PATIENCE, Processes, wait_for

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("model_version")]

PATIENT = "120"  # seconds; where attempts are counted, no lease of a worker that is merely slow runs out


def all_answered() -> bool:
    return not Prediction.objects.exclude(status=Status.SUCCEEDED).exists()


def readiness(address: str) -> dict[str, object]:
    """The JSON of /readyz, whatever its status."""
    try:
        with urllib.request.urlopen(f"{address}/readyz", timeout=PATIENCE) as response:
            body: dict[str, object] = json.load(response)
    except urllib.error.HTTPError as error:
        body = json.load(error)
    return body


@pytest.mark.parametrize("engine", ["litert", "keras"])
def test_a_real_worker_answers_with_either_engine(
    engine: str, processes: Processes, owner: User, model_folder: Path
) -> None:
    child = processes.start_worker(IDC_ENGINE=engine)
    predictions = submit_drawn(owner, *range(70))
    wait_for(all_answered, what=processes.log("worker"))
    expected = load_engine(model_folder, read_card(model_folder)).predict(_stack(predictions).pixels).probability
    for prediction, probability in zip(predictions, expected, strict=True):
        prediction.refresh_from_db()
        assert prediction.probability == pytest.approx(float(probability), abs=1e-5)
    loaded = {Path(mapped.path).name for mapped in child.memory_maps()}
    parent = {Path(mapped.path).name for mapped in psutil.Process(child.ppid()).memory_maps()}
    has_tensorflow = any("tensorflow" in name for name in loaded)
    assert has_tensorflow == (engine == "keras")
    assert not any("tensorflow" in name or "litert" in name.lower() for name in parent)


def test_a_worker_killed_in_mid_batch_loses_and_doubles_nothing(processes: Processes, owner: User) -> None:
    child = processes.start_worker(LEASE_SECONDS=PATIENT)
    child.suspend()  # so that rows can be caught while they run
    submit_drawn(owner, *range(100))
    # Rows as a worker leaves them that dies between claim and finish.
    claimed = Prediction.objects.claim(model_version=ModelVersion.objects.get(), limit=30, lease=timedelta(seconds=2))
    assert len(claimed) == 30
    child.kill()
    wait_for(all_answered, what=processes.log("worker"))
    attempts = dict(Prediction.objects.values_list("pk", "attempt"))
    assert {attempts[job.pk] for job in claimed} == {2}
    assert Prediction.objects.count() == 100


def test_a_child_killed_again_and_again_under_load_loses_nothing(processes: Processes, owner: User) -> None:
    parent = processes.start("worker")
    for first in range(0, 700, 100):
        submit_drawn(owner, *range(first, first + 100))
        if first == 0:  # a worker whose very first child dies gives up, and its supervisor starts it again
            wait_for(all_answered, what=processes.log("worker"))
            continue
        child = processes.child(parent)
        child.kill()
        child.wait(timeout=PATIENCE)
    wait_for(all_answered, what=processes.log("worker"))
    assert Prediction.objects.count() == 700


def test_a_patch_that_kills_the_child_fails_alone(processes: Processes, owner: User) -> None:
    """The worker runs a site whose engine dies on one certain patch: everything else is the real thing."""
    predictions = submit_drawn(owner, *range(8))
    poison = predictions[3].patch.sha256
    search_path = f"{Path(__file__).parent / 'poison'}:{BASE_DIR}"
    processes.start("worker", PYTHONPATH=search_path, POISON=poison)
    wait_for(
        lambda: not Prediction.objects.exclude(status__in=[Status.SUCCEEDED, Status.FAILED]).exists(),
        what=processes.log("worker"),
    )
    assert list(Prediction.objects.order_by("pk").values_list("status", flat=True)) == [
        *["succeeded"] * 3, "failed", *["succeeded"] * 4
    ]  # fmt: skip
    failed = Prediction.objects.get(status=Status.FAILED)
    assert (failed.error_code, failed.attempt) == ("worker_lost", 3)


def test_a_flushed_broker_loses_nothing(processes: Processes, broker: Redis, owner: User) -> None:
    submit_drawn(owner, *range(100))
    broker.flushall()
    processes.start_worker()
    wait_for(all_answered, what=processes.log("worker"))
    submit_drawn(owner, *range(100, 150))
    broker.flushall()
    wait_for(all_answered, what=processes.log("worker"))


def test_uploads_are_taken_without_a_broker_and_answered_when_it_is_back(
    processes: Processes, owner: User, tmp_path: Path
) -> None:
    port = reserved_port()
    address = f"redis://127.0.0.1:{port}/0"
    web = processes.start_web(REDIS_URL=address)
    request = urllib.request.Request(
        f"{web}/api/v1/predictions/",
        data=multipart(pictures.png()),
        headers={"Content-Type": "multipart/form-data; boundary=b", "Authorization": f"Bearer {make_token(owner)}"},
    )
    with urllib.request.urlopen(f"{web}/api/v1/models/", timeout=PATIENCE):
        pass  # connected to the database, and all code loaded
    started = time.monotonic()
    with urllib.request.urlopen(request, timeout=PATIENCE) as response:
        assert response.status == 202
    assert time.monotonic() - started < 2  # what is promised
    assert "The broker did not take a wake-up" in processes.log("web")
    problems = readiness(web)["problems"]
    assert isinstance(problems, dict)
    assert problems["broker"].startswith("The broker does not answer: ")
    processes.start("worker", REDIS_URL=address)
    with running_broker(tmp_path, port=port):
        wait_for(all_answered, what=processes.log("worker"))


def multipart(content: bytes) -> bytes:
    head = b'--b\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n'
    return head + content + b"\r\n--b--\r\n"


def test_a_wake_up_delivered_twenty_times_changes_nothing(processes: Processes, owner: User, broker: Redis) -> None:
    submit_drawn(owner, *range(80))
    for _ in range(20):
        drain_task.apply_async()
    for _ in range(2):
        processes.start_worker(LEASE_SECONDS=PATIENT)
    wait_for(lambda: all_answered() and broker.llen("idc:predictions") == 0, what=processes.log("worker"))
    assert set(Prediction.objects.values_list("attempt", flat=True)) == {1}


def test_without_a_worker_uploads_wait_and_the_page_says_so(processes: Processes, owner: User) -> None:
    (prediction,) = submit_drawn(owner, 1)
    visitor = Client()
    visitor.force_login(owner)
    assert "Waiting for a worker" in visitor.get(prediction.get_absolute_url()).content.decode()
    processes.start_worker()
    wait_for(all_answered)
    assert "Waiting" not in visitor.get(prediction.get_absolute_url()).content.decode()


@pytest.mark.parametrize("damage", ["missing", "altered", "misshapen"])
@pytest.mark.parametrize("engine", ["litert", "keras"])
def test_a_model_that_is_not_what_was_registered_lets_rows_wait_and_readyz_say_why(
    damage: str, engine: str, processes: Processes, owner: User, models_dir: Path, model_version: ModelVersion
) -> None:
    file = models_dir / model_version.version / (LITERT_FILE if engine == "litert" else KERAS_FILE)
    sound = file.read_bytes()
    if damage == "missing":
        file.unlink()
        reason = "cannot be read"
    elif damage == "altered":
        file.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
        reason = "is not the file that was registered"
    else:
        other = dict(zip((KERAS_FILE, LITERT_FILE), misshapen(), strict=True))
        file.write_bytes(other[file.name])
        digests = {name: hashlib.sha256(content).hexdigest() for name, content in other.items()}
        model_version.card["sha256"] = digests
        model_version.sha256 = digests[KERAS_FILE]
        model_version.save()
        reason = "The model's shapes are"
    environment = {"IDC_MODELS": str(models_dir), "IDC_ENGINE": engine}
    web = processes.start_web(**environment)
    processes.start_worker(**environment)
    (prediction,) = submit_drawn(owner, 1)
    wait_for(lambda: WorkerHeartbeat.objects.exclude(problem="").exists(), what=processes.log("worker"))
    state = readiness(web)
    assert state["ready"] is False
    assert isinstance(state["problems"], dict)
    assert list(state["problems"]) == ["worker"]
    assert state["problems"]["worker"].startswith(f"The worker refuses {model_version.version}: ")
    assert reason in state["problems"]["worker"]
    prediction.refresh_from_db()
    assert (prediction.status, prediction.attempt) == ("queued", 0)
    if damage != "misshapen":
        file.write_bytes(sound)
        wait_for(all_answered, what=processes.log("worker"))
        wait_for(lambda: readiness(web) == {"ready": True, "problems": {}})


def test_a_change_of_model_in_mid_run_leaves_each_answer_with_its_maker(
    processes: Processes, owner: User, model_version: ModelVersion, models_dir: Path
) -> None:
    folder = models_dir / model_version.version
    shutil.copytree(folder, models_dir / "second")
    second = ModelVersion.objects.create(
        version="second", sha256=model_version.sha256, card=model_version.card | {"version": "second"}
    )
    submit_drawn(owner, *range(40))
    services.activate(model_version=second)
    submit_drawn(owner, *range(40, 80))
    processes.start_worker(IDC_MODELS=str(models_dir))
    wait_for(all_answered, what=processes.log("worker"))
    made_by = list(Prediction.objects.order_by("pk").values_list("model_version__version", flat=True))
    assert made_by == [model_version.version] * 40 + ["second"] * 40


def test_sigterm_under_load_loses_nothing(processes: Processes, owner: User) -> None:
    process = processes.start("worker")
    submit_drawn(owner, *range(100))
    wait_for(lambda: Prediction.objects.filter(status=Status.SUCCEEDED).exists(), what=processes.log("worker"))
    process.terminate()
    assert process.wait(timeout=PATIENCE) == 0
    processes.start_worker()
    wait_for(all_answered, what=processes.log("worker"))
