"""Receipts over page and API, and what a forgotten patch answers there."""

from __future__ import annotations

import json
import os
import re
import zipfile
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from accounts.models import User
from ml import __main__ as command
from ml.receipt import USE, parse_receipt, utc
from predictions import services
from predictions.models import ModelVersion, Patch, PatchImage, Prediction, Purpose, Visibility
from tests import pictures
from tests.api.test_predictions_api import NOT_FOUND, URL, Api, as_json
from tests.factories import answer, fail, submit_drawn
from tests.predictions.test_forget import forgotten, sent_to_be_forgotten

pytestmark = pytest.mark.usefixtures("model_version")
DROPPED = {
    "error": {
        "code": "pixels_dropped",
        "message": "The pixels of this patch were dropped, as its owner asked; the answer is kept. "
        "Send the image again.",
    }
}


@pytest.fixture
def api(owner: User) -> Api:
    return Api(owner)


@pytest.fixture
def signed_in(client: Client, owner: User) -> Client:
    client.force_login(owner)
    return client


def receipt_page(client: Client, prediction: Prediction) -> Any:
    return client.get(reverse("predictions:receipt", args=[prediction.uuid]))


def test_a_receipt_says_all_that_made_the_answer_and_nothing_of_who_asked(
    api: Api, signed_in: Client, owner: User, model_version: ModelVersion
) -> None:
    sent = {"image": SimpleUploadedFile("secret-name.png", pictures.png(200, 150)), "um_per_pixel": "4"}
    signed_in.post(URL, sent)
    services.drain()
    prediction = Prediction.objects.select_related("patch").get()
    assert prediction.started_at
    assert prediction.finished_at
    expected = {
        "format": "idc-finder-receipt",
        "format_version": 1,
        "prediction": str(prediction.uuid),
        "patch": str(prediction.patch.uuid),
        "pixels_sha256": prediction.patch.sha256,
        "model": {
            "version": model_version.version,
            "sha256": model_version.sha256,
            "card_created_at": model_version.card["created_at"].replace("+00:00", "Z"),
        },
        "engine": {"name": "litert", "file": "model.tflite", "sha256": model_version.card["sha256"]["model.tflite"]},
        "probability": prediction.probability,
        "threshold": 0.5,
        "label": prediction.label,
        "flags": prediction.flags,
        "notes": ["rescaled"],
        "queued_at": utc(prediction.queued_at),
        "started_at": utc(prediction.started_at),
        "finished_at": utc(prediction.finished_at),
        "use": USE,
    }
    page, response = receipt_page(signed_in, prediction), api.get(f"{prediction.uuid}/receipt/")
    assert (page.status_code, page.json(), response.status_code, response.json()) == (200, expected, 200, expected)
    assert page["Content-Disposition"] == f'attachment; filename="receipt-{prediction.uuid}.json"'
    assert (page["Cache-Control"], response["Cache-Control"]) == ("private, no-store", "private, no-store")
    assert page["Content-Type"] == "application/json"
    for text in (page.content.decode(), response.content.decode()):
        assert "secret-name" not in text
        assert owner.email not in text
    assert parse_receipt(page.content) == parse_receipt(response.content)
    assert f'href="{reverse("predictions:receipt", args=[prediction.uuid])}"' in shown(signed_in, prediction)


def shown(client: Client, prediction: Prediction) -> str:
    return client.get(prediction.get_absolute_url()).content.decode()


def test_what_is_not_answered_has_no_receipt(api: Api, signed_in: Client, owner: User) -> None:
    waiting, failed = submit_drawn(owner, 1, 2)
    for prediction in (waiting, fail(failed)):
        response = api.get(f"{prediction.uuid}/receipt/")
        assert (response.status_code, response.json()["error"]["code"]) == (409, "no_receipt")
        page = receipt_page(signed_in, prediction)
        assert page.status_code == 409
        assert "A receipt is of an answer, and there is none yet." in page.content.decode()
        assert "receipt.json" not in shown(signed_in, prediction)


def test_strangers_are_answered_as_for_an_unknown_id(owner: User, stranger: User, staff: User, client: Client) -> None:
    private, public, shadow = (answer(one) for one in submit_drawn(owner, 1, 2, 3))
    services.set_visibility(patch=public.patch, actor=owner, visibility=Visibility.PUBLIC)
    Prediction.objects.filter(pk=shadow.pk).update(purpose=Purpose.SHADOW)
    nobody = client.get(reverse("predictions:receipt", args=[uuid4()]))
    for other in (None, stranger):
        if other:
            client.force_login(other)
            assert Api(other).get(f"{public.uuid}/receipt/").status_code == 200
            response = Api(other).get(f"{private.uuid}/receipt/")
            assert (response.status_code, response.json()) == (404, NOT_FOUND)
        assert receipt_page(client, public).status_code == 200
        refused = receipt_page(client, private)
        assert (refused.status_code, refused.content) == (404, nobody.content)
    assert receipt_page(client, shadow).status_code == 404
    assert Api(owner).get(f"{shadow.uuid}/receipt/").status_code == 404
    session = Client()  # a token of staff sees what anybody does
    session.force_login(staff)
    assert session.get(f"/api/v1/predictions/{shadow.uuid}/receipt/").status_code == 200


def test_a_receipt_needs_few_queries(
    signed_in: Client, owner: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    prediction = answer(submit_drawn(owner, 1)[0])
    with django_assert_num_queries(5):  # the session and its user, the prediction, the card
        receipt_page(signed_in, prediction)


# Forgotten patches, at every door


def test_over_the_api_a_forgotten_patch_has_an_answer_and_no_picture(api: Api, model_version: ModelVersion) -> None:
    waiting = api.post(pictures.png(), forget="true").json()["predictions"][0]
    prediction = Prediction.objects.select_related("patch").get()
    assert waiting == as_json(prediction, forget=True)
    services.drain()
    prediction.refresh_from_db()
    patch = Patch.objects.get()
    assert patch.pixels_dropped_at
    response = api.get(f"{prediction.uuid}/")
    assert response.json() == waiting | {
        "status": "succeeded",
        "probability": prediction.probability,
        "label": prediction.label,
        "flags": prediction.flags,
        "finished_at": utc(prediction.finished_at) if prediction.finished_at else None,
        "pixels_dropped_at": utc(patch.pixels_dropped_at),
        "image": None,
    }
    assert api.get().json()["results"] == [response.json()]
    assert api.get(f"{prediction.uuid}/receipt/").status_code == 200
    again = api.post(pictures.png(), forget="true")
    assert again.json()["predictions"] == [response.json()]


def test_what_needs_pixels_is_answered_with_a_code(api: Api, owner: User, model_version: ModelVersion) -> None:
    ModelVersion.objects.create(version="other-1", sha256="0" * 64, card=model_version.card)
    prediction = forgotten(owner)
    etag = {"If-None-Match": f'"{prediction.patch.sha256}"'}
    for path in ("image.png", "heatmap.png"):
        for headers in ({}, etag):
            response = api.client.get(f"{URL}{prediction.uuid}/{path}", headers=headers)
            assert (response.status_code, response.json()) == (410, DROPPED)
    other, kind = {"model": "other-1"}, "application/json"
    for action in ("share", "rerun"):
        response = api.client.post(f"{URL}{prediction.uuid}/{action}/", other, content_type=kind)
        assert (response.status_code, response.json()) == (410, DROPPED)
    Prediction.objects.filter(pk=prediction.pk).update(
        status="failed", probability=None, error_code="worker_lost", error_message="Lost."
    )
    response = api.client.post(f"{URL}{prediction.uuid}/retry/")
    assert (response.status_code, response.json()) == (410, DROPPED)
    waiting = sent_to_be_forgotten(owner, 2)
    for action in ("share", "rerun"):
        response = api.client.post(f"{URL}{waiting.uuid}/{action}/", other, content_type=kind)
        assert (response.status_code, response.json()["error"]["code"]) == (409, "to_be_forgotten")
    assert api.client.post(f"{URL}{waiting.uuid}/unshare/").status_code == 200


def test_a_public_patch_cannot_be_forgotten_over_the_api(api: Api, owner: User) -> None:
    refused = api.post(pictures.png(), forget="true", visibility="public")
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "forget_is_private")
    api.post(pictures.png(), visibility="public")
    refused = api.post(pictures.png(), forget="true")
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "already_shared")
    assert [one["code"] for one in refused.json()["rejected"]] == ["already_shared"]
    wrong = api.post(pictures.png(), forget="perhaps")
    assert (wrong.status_code, wrong.json()["error"]["field"]) == (400, "forget")
    assert PatchImage.objects.count() == 1


def test_the_upload_page_offers_to_forget(signed_in: Client, owner: User) -> None:
    sent = {"image": SimpleUploadedFile("a.png", pictures.png()), "visibility": "forget"}
    response = signed_in.post(reverse("predictions:new"), sent)
    prediction = Prediction.objects.get()
    assert response["Location"] == prediction.get_absolute_url()
    patch = Patch.objects.get()
    assert (patch.visibility, patch.is_to_be_forgotten) == ("private", True)
    page = signed_in.get(reverse("predictions:new")).content.decode()
    assert re.findall(r'value="(\w+)"[^>]* checked', page) == ["forget"]  # as chosen last
    assert "the pixels are dropped once it is answered" in shown(signed_in, prediction)


def test_the_page_says_what_is_refused_when_all_is(signed_in: Client, owner: User) -> None:
    for choice in ("public", "forget"):
        sent = {"image": SimpleUploadedFile("a.png", pictures.png()), "visibility": choice}
        response = signed_in.post(reverse("predictions:new"), sent)
    assert response.status_code == 400
    assert "You have shared this very picture, so it cannot be forgotten." in response.content.decode()


def test_pages_show_a_placeholder_and_no_broken_picture(signed_in: Client, owner: User, staff: User) -> None:
    prediction = forgotten(owner)
    picture = reverse("predictions:image", args=[prediction.uuid])
    batch = prediction.patch.batch_items.get().batch
    for address in (
        prediction.get_absolute_url(),
        reverse("predictions:status", args=[prediction.uuid]),
        reverse("predictions:history"),
        reverse("batch", args=[batch.uuid]),
    ):
        page = signed_in.get(address).content.decode()
        assert "Pixels dropped" in page, address
        assert picture not in page, address
    waiting = sent_to_be_forgotten(owner, 2)  # which may be gone before the browser asks for its picture
    for address in (waiting.get_absolute_url(), reverse("predictions:history")):
        page = signed_in.get(address).content.decode()
        assert "To be forgotten" in page, address
        assert f'src="{reverse("predictions:image", args=[waiting.uuid])}"' not in page, address
    page = shown(signed_in, prediction)
    for gone in ("visibility", "ask", "explain", "retry", "review"):
        assert reverse(f"predictions:{gone}", args=[prediction.uuid]) not in page, gone
    assert reverse("predictions:receipt", args=[prediction.uuid]) in page
    for address in (picture, reverse("predictions:heatmap", args=[prediction.uuid])):
        response = signed_in.get(address)
        assert response.status_code == 410
        assert "The pixels of this patch were dropped" in response.content.decode()


@pytest.mark.parametrize(
    ("action", "sent"),
    [("visibility", {"visibility": "public"}), ("review", {"review": "allowed"}), ("ask", {"model": "other-1"})],
)
def test_a_form_that_comes_too_late_is_told_why(
    signed_in: Client, owner: User, model_version: ModelVersion, action: str, sent: dict[str, str]
) -> None:
    ModelVersion.objects.create(version="other-1", sha256="0" * 64, card=model_version.card)
    prediction = forgotten(owner)
    address = reverse(f"predictions:{action}", args=[prediction.uuid])
    page = signed_in.post(address, sent, follow=True).content.decode()
    assert "The pixels of this patch were dropped, as its owner asked" in page
    assert Prediction.objects.count() == 1


def test_a_failed_one_says_how_long_its_pixels_are_kept(signed_in: Client, owner: User) -> None:
    prediction = fail(sent_to_be_forgotten(owner))
    assert "Its pixels are kept for a day so that you can try again" in shown(signed_in, prediction)
    Patch.objects.update(pixels_dropped_at=prediction.finished_at)
    PatchImage.objects.all().delete()
    page = shown(signed_in, prediction)
    assert "cannot be tried again. Send the image again." in page
    assert reverse("predictions:retry", args=[prediction.uuid]) not in page


# From the site to the command line


def verify(tmp_path: Path, receipt: bytes, image: bytes) -> int:
    (tmp_path / "receipt.json").write_bytes(receipt)
    (tmp_path / "image").write_bytes(image)
    return command.main(["verify", str(tmp_path / "receipt.json"), str(tmp_path / "image")])


@pytest.mark.parametrize("forget", ["true", "false"])
def test_what_the_site_answered_is_computed_again(api: Api, tmp_path: Path, forget: str) -> None:
    sent = [pictures.png(seed=3), pictures.save(pictures.picture(120, 100), "JPEG"), pictures.turned_jpeg()]
    predictions = api.post(*sent, forget=forget).json()["predictions"]
    services.drain()
    for content, prediction in zip(sent, predictions, strict=True):
        receipt = api.get(f"{prediction['id']}/receipt/").content
        assert verify(tmp_path, receipt, content) == 0
        assert verify(tmp_path, receipt, pictures.png(seed=9)) == 1
        if forget == "false":
            assert verify(tmp_path, receipt, api.get(f"{prediction['id']}/image.png").content) == 0


@pytest.mark.data
def test_real_patches_are_computed_again(api: Api, tmp_path: Path) -> None:
    with zipfile.ZipFile(Path(os.environ["IDC_DATA"]) / "idc-val.zip") as archive:
        names = [name for name in archive.namelist() if name.endswith(".png")][:4000:200]
        contents = [archive.read(name) for name in names]
    predictions = api.post(*contents, forget="true").json()["predictions"]
    services.drain()
    for content, prediction in zip(contents, predictions, strict=True):
        receipt = api.get(f"{prediction['id']}/receipt/").content
        assert json.loads(receipt)["probability"] > 0
        assert verify(tmp_path, receipt, content) == 0
    assert PatchImage.objects.count() == 0
