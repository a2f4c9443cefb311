"""schemathesis calls every operation of the schema at a running server: what it can think of, bounded and repeatable.

Each answer is held against the schema: status, content type, headers, body; no server error, no token ignored, nothing
to be had after its deletion. schemathesis_hooks.py adds that another user learns nothing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from accounts.models import User
from ml.card import MODELS
from predictions import services
from predictions.models import Batch, ModelVersion, Patch, Prediction
from tests.factories import answer, fail, make_token, submit_drawn
from tests.processes import BASE_DIR, Processes

DEADLINE = 300  # seconds; it takes about a minute on two idle cores


def test_the_running_server_keeps_to_its_schema(
    processes: Processes, model_version: ModelVersion, owner: User, stranger: User, capfd: pytest.CaptureFixture[str]
) -> None:
    services.register_model(folder=MODELS / "resnet18-1")
    rows = submit_drawn(owner, *range(60))
    kept = [answer(rows[0]), fail(rows[1]), *rows[2:4]]
    ids = {
        "kept": [str(row.uuid) for row in kept],
        "changed": [str(row.uuid) for row in rows[4:8]],
        "deleted": [str(row.uuid) for row in rows[8:]],
        "batch": [str(Batch.objects.get().uuid)],
    }
    processes.start("worker")
    address = processes.start_web(PATCHES_PER_DAY="1000000", TRUSTED_PROXIES="1")
    done = subprocess.run(
        [sys.executable, "-m", "schemathesis.cli", "--config-file", str(BASE_DIR / "tests/api/schemathesis.toml"),
         "run", f"{address}/api/schema/", "--continue-on-failure"],
        cwd=processes.folder,  # what it remembers of one run does not change the next
        env=os.environ | {
            "PYTHONPATH": str(BASE_DIR),
            "IDC_TOKEN": make_token(owner),
            "IDC_IDS": json.dumps(ids),
            "IDC_OTHER_TOKEN": make_token(stranger),
        },
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )  # fmt: skip
    with capfd.disabled():
        print("\n" + done.stdout[done.stdout.rfind("= SUMMARY") :])
    assert done.returncode == 0, done.stdout + done.stderr
    assert Prediction.objects.filter(pk__in=[row.pk for row in kept], patch__visibility="private").count() == len(kept)
    assert not Patch.objects.filter(owner=stranger).exists()
