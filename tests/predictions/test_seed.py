from __future__ import annotations

import hashlib
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from pytest_django import Settings

from accounts.models import User
from predictions.models import BatchItem, Event, ModelVersion, Patch, PatchImage, Prediction, Status
from reviews.evidence import Share, evidence_of
from reviews.models import Draw, GroundTruth, Report, Review, Week
from webhooks.models import Webhook


@pytest.fixture
def local_site(transactional_db: None, model_version: ModelVersion, settings: Settings) -> None:
    settings.IS_LOCAL = True


def run(*arguments: str) -> str:
    said = StringIO()
    call_command("seed", *arguments, stdout=said)
    return said.getvalue()


@pytest.mark.usefixtures("local_site")
def test_it_fills_an_empty_site_and_leaves_any_other_as_it_is(client: Client, model_version: ModelVersion) -> None:
    said = run("--rows=1200", "--with-pixels=900")
    assert said.startswith("1,200 patches with predictions, 900 of them with drawn pixels, in ")
    assert (Patch.objects.count(), Prediction.objects.count()) == (1200, 1200)
    assert Patch.objects.filter(current_prediction__patch_id__isnull=False).count() == 1200
    assert BatchItem.objects.filter(patch__isnull=False).count() == 1200
    for rows in (
        Patch.objects.in_gallery(),
        Patch.objects.filter(hidden_at__isnull=False),
        Patch.objects.filter(pixels_dropped_at__isnull=False, visibility="private"),
        Prediction.objects.filter(status=Status.FAILED),
        Prediction.objects.exclude(flags=[]),
        Draw.objects.filter(is_random=True, outcome="skipped"),
        Draw.objects.filter(is_random=False),
        GroundTruth.objects.all(),
        Event.objects.filter(kind="reviewed"),
        Patch.objects.filter(reviewers_say="positive"),
        Patch.objects.filter(probability__isnull=False, is_flagged=True),
        Report.objects.open(),
        Week.objects.all(),
    ):
        assert rows.exists(), rows.query
    assert Review.objects.values("reviewer").distinct().count() == 3
    assert not Patch.objects.filter(visibility="public", pixels_dropped_at__isnull=False).exists()
    assert not Webhook.objects.filter(is_active=True).exists()
    assert evidence_of(model_version, Share.RANDOM).definite > 100
    for image in PatchImage.objects.select_related("patch")[:5]:
        assert hashlib.sha256(image.pixels).hexdigest() == image.patch.sha256

    password = said.split()[-1]
    assert client.login(username="person-1@example.org", email="person-1@example.org", password=password)
    with pytest.raises(CommandError, match="not empty"):
        run()
    assert Patch.objects.count() == 1200


@pytest.mark.usefixtures("transactional_db", "model_version")
def test_it_refuses_a_site_that_others_reach() -> None:
    with pytest.raises(CommandError, match="Only a site on this machine"):
        run()
    assert not User.objects.exists()


@pytest.mark.usefixtures("local_site")
def test_it_says_what_is_wrong_with_numbers_and_what_is_missing() -> None:
    for arguments in (["--rows=0"], ["--rows=10", "--with-pixels=11"]):
        with pytest.raises(CommandError, match="--rows is from 1"):
            run(*arguments)
    ModelVersion.objects.all().delete()
    with pytest.raises(CommandError, match="No model is active"):
        run("--rows=10", "--with-pixels=10")
