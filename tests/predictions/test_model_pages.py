"""The model pages, and what the result page makes of the card."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from django.core.management import call_command
from django.template.loader import render_to_string
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from accounts.models import User
from ml.card import CARD_FILE, MODELS
from predictions import services
from predictions.models import Event, ModelVersion, Patch, Prediction, Purpose
from predictions.trust import held_out_like
from reviews.figures import Figure
from tests.factories import answer, fail, submit_drawn


@pytest.fixture
def other(model_version: ModelVersion) -> ModelVersion:
    """A second model, with the card of the first and another name."""
    card = model_version.card | {"version": "other-1"}
    return ModelVersion.objects.create(version="other-1", sha256="0" * 64, card=card)


def test_both_pages_tell_the_card_to_anyone(
    client: Client, model_version: ModelVersion, other: ModelVersion, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(1):
        page = client.get(reverse("models")).content.decode()
    assert page.index(model_version.version) < page.index("other-1")
    assert (page.count("answers new patches"), page.count("for a second opinion")) == (1, 1)
    client.get(reverse("model", args=[model_version.version]))  # what reviewers say is counted now, and kept a while
    with django_assert_num_queries(3):
        page = client.get(reverse("model", args=[model_version.version])).content.decode()
    figures = model_version.card["figures"]
    assert f"{figures['auc']:.3f}" in page
    assert f"{figures['auc_ci'][0]:.3f}–{figures['auc_ci'][1]:.3f}" in page
    for limit in model_version.card["limits"]:
        assert limit in page
    assert "never a diagnosis" in page.lower()
    assert client.get(reverse("model-card", args=[model_version.version])).json() == model_version.card


def test_what_is_below_zero_has_a_true_minus(client: Client, other: ModelVersion) -> None:
    figures = {"ece": {"difference": -0.00432, "ci": [-0.00996, 0.00148]}}
    other.card |= {"comparison": {"with": "mobilenetv2-3", "figures": figures}}
    other.save()
    page = client.get(reverse("model", args=["other-1"])).content.decode()
    assert ("<td>−0.0043</td>" in page, "<td>−0.0100 … 0.0015</td>" in page) == (True, True)
    kappa = render_to_string("reviews/_figure.html", {"figure": Figure("kappa", 40, -0.1, -0.25, -0.00001)})
    assert kappa.strip() == "−0.100 (−0.250 to 0.000)"


def test_without_a_model_the_list_says_so(client: Client, db: None) -> None:
    assert "No model is registered yet." in client.get(reverse("models")).content.decode()


@pytest.mark.parametrize("kind", ["roc", "reliability"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_charts_are_pictures_that_run_nothing(
    client: Client, model_version: ModelVersion, kind: str, scheme: str
) -> None:
    response = client.get(reverse("model-chart", args=[model_version.version, kind, scheme]))
    assert (response.status_code, response["Content-Type"]) == (200, "image/svg+xml")
    assert response["Content-Security-Policy"] == "default-src 'none'; style-src 'unsafe-inline'; sandbox"
    drawn = ET.fromstring(response.content)
    assert drawn.tag == "{http://www.w3.org/2000/svg}svg"
    assert not [element for element in drawn.iter() if element.tag.endswith("script")]
    assert client.get(response.request["PATH_INFO"]).content == response.content


@pytest.mark.parametrize(
    "address", ["/models/none/", "/models/none/card.json", "/models/none/roc-light.svg", "/models/{}/roc-pink.svg",
                "/models/{}/pie-light.svg"]
)  # fmt: skip
def test_what_is_not_there_is_not_found(client: Client, model_version: ModelVersion, address: str) -> None:
    assert client.get(address.format(model_version.version)).status_code == 404


@pytest.mark.parametrize(("probability", "place"), [(0.0, 0), (0.0999, 0), (0.1, 1), (0.5, 5), (0.999, 9), (1.0, 9)])
def test_an_answer_is_held_against_the_patches_that_scored_alike(
    model_version: ModelVersion, owner: User, probability: float, place: int
) -> None:
    prediction = answer(submit_drawn(owner, 1)[0], probability)
    row = model_version.card["evidence"]["deciles"][place]
    assert held_out_like(prediction) == {**row, "few": row["n"] < 100}


def test_the_result_page_says_how_far_to_trust_it(client: Client, model_version: ModelVersion, owner: User) -> None:
    prediction = submit_drawn(owner, 1)[0]
    client.force_login(owner)
    assert "held-out patches" not in client.get(prediction.get_absolute_url()).content.decode()
    row = model_version.card["evidence"]["deciles"][0]
    page = client.get(answer(prediction, 0.004).get_absolute_url()).content.decode()
    low, high = (f"{100 * bound:.1f}\N{NO-BREAK SPACE}%" for bound in row["share_ci"])
    share = f"{100 * row['share']:.1f}\N{NO-BREAK SPACE}%"
    assert f"Of {row['n']:,} held-out patches that scored 0\N{EN DASH}10\N{NO-BREAK SPACE}%, {share} were IDC" in page
    assert f"(95 % interval {low} to {high})" in page


def test_an_owner_asks_another_model_once_and_both_answers_stand_side_by_side(
    client: Client, other: ModelVersion, owner: User
) -> None:
    prediction = answer(submit_drawn(owner, 1)[0], 0.2)
    client.force_login(owner)
    page = client.get(prediction.get_absolute_url()).content.decode()
    assert "Ask other-1 too" in page
    for _ in range(2):
        response = client.post(reverse("predictions:ask", args=[prediction.uuid]), {"model": "other-1"})
        asked = Prediction.objects.get(model_version=other)
        assert response["Location"] == asked.get_absolute_url()
    assert (asked.purpose, asked.status, asked.threshold) == (Purpose.RERUN, "queued", other.threshold)
    assert Patch.objects.get().current_prediction == prediction
    assert list(Event.objects.filter(kind="asked").values_list("actor", "subject", "payload")) == [
        (owner.pk, str(prediction.patch.uuid), {"model": "other-1"})
    ]
    answer(asked, 0.9)
    page = client.get(prediction.get_absolute_url()).content.decode()
    assert "Ask other-1 too" not in page
    assert "90.0\N{NO-BREAK SPACE}%" in page
    assert "20.0\N{NO-BREAK SPACE}%" in client.get(asked.get_absolute_url()).content.decode()


def test_only_the_owner_asks_and_only_a_model_that_exists(
    client: Client, other: ModelVersion, owner: User, stranger: User
) -> None:
    prediction = fail(submit_drawn(owner, 1)[0])
    address = reverse("predictions:ask", args=[prediction.uuid])
    assert client.post(address, {"model": "other-1"})["Location"].startswith(reverse("account_login"))
    client.force_login(stranger)
    assert client.post(address, {"model": "other-1"}).status_code == 404
    client.force_login(owner)
    assert client.post(address, {"model": "none"}).status_code == 404
    assert client.post(address).status_code == 404
    assert client.get(address).status_code == 405
    assert Prediction.objects.count() == 1


def test_setup_registers_every_model_and_activates_the_default(db: None) -> None:
    call_command("setup", verbosity=0)
    folders = {card.parent.name for card in MODELS.glob(f"*/{CARD_FILE}")}
    assert set(ModelVersion.objects.values_list("version", flat=True)) == folders
    assert ModelVersion.objects.active() == ModelVersion.objects.get(version=(MODELS / "DEFAULT").read_text().strip())


def test_a_card_that_is_none_is_not_registered(tmp_path: Path, model_folder: Path, db: None) -> None:
    values = json.loads((model_folder / CARD_FILE).read_text())
    del values["evidence"]
    (tmp_path / CARD_FILE).write_text(json.dumps(values))
    with pytest.raises(Exception, match="'evidence' is a required property"):
        services.register_model(folder=tmp_path)
    assert not ModelVersion.objects.exists()
