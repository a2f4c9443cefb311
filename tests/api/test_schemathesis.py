"""schemathesis calls every operation of the schema at a running server: what it can think of, bounded and repeatable.

Each answer is held against the schema: status, content type, headers, body; no server error, no token ignored, nothing
to be had after its deletion. schemathesis_hooks.py adds that another user learns nothing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from ipaddress import ip_network

import pytest
from django.contrib.auth.models import Group
from django.db.models.functions import Now
from pytest_django import Settings

from accounts.models import REVIEWERS, User
from ml.card import MODELS
from predictions import services
from predictions.models import Batch, ModelVersion, Patch, Prediction
from predictions.services import forget
from reviews import services as reviews
from tests.factories import answer, fail, make_token, make_user, submit_drawn
from tests.processes import BASE_DIR, Processes
from tests.reviews.people import answered, say
from webhooks import services as webhooks
from webhooks.models import Delivery

RECEIVERS = "127.0.0.1/32"
DEADLINE = 300  # seconds; it takes about a minute on two idle cores


def test_the_running_server_keeps_to_its_schema(
    processes: Processes, model_version: ModelVersion, owner: User, stranger: User, settings: Settings,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    services.register_model(folder=MODELS / "resnet18-1")
    settings.WEBHOOK_ALLOWED_NETWORKS = [ip_network(RECEIVERS)]
    rows = submit_drawn(owner, *range(60))
    kept = [answer(rows[0]), fail(rows[1]), rows[2], answer(rows[3])]
    Patch.objects.filter(pk=rows[3].patch_id).update(is_to_be_forgotten=True)
    assert forget.drop_overdue() == 1
    hooks = [webhooks.create_webhook(owner=owner, url="http://127.0.0.1/hook") for _ in range(5)]
    delivery = webhooks.send_test(webhook=hooks[0], actor=owner)
    Delivery.objects.update(status="failed", error_code="timeout", finished_at=Now())
    owner.groups.add(Group.objects.get_or_create(name=REVIEWERS)[0])
    answered(make_user("sharing@example.org"), 0.1, 0.9, 0.5, 0.6, first_seed=70)
    review = say(owner)
    reported = answered(make_user("reported@example.org"), *[0.5] * 8, first_seed=80)
    ids = {
        "kept": [str(row.uuid) for row in kept],
        "changed": [str(row.uuid) for row in rows[4:8]],
        "deleted": [str(row.uuid) for row in rows[8:]],
        "shared": [str(patch.current_prediction.uuid) for patch in reported if patch.current_prediction],
        "batch": [str(Batch.objects.get(owner=owner).uuid)],
        "webhook": [str(hooks[0].uuid)],
        "gone_webhook": [str(hook.uuid) for hook in hooks[1:]],
        "delivery": [str(delivery.uuid)],
        "draw": [str(draw.uuid) for draw in reviews.next_draws(reviewer=owner)],
        "review": [str(review.uuid)],
    }
    processes.start("worker")
    address = processes.start_web(PATCHES_PER_DAY="1000000", TRUSTED_PROXIES="1", WEBHOOK_ALLOWED_NETWORKS=RECEIVERS)
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
