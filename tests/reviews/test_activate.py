"""What lets a version become the active one."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import User
from predictions import services as predicting
from predictions.exceptions import TrialIsEmpty, TrialIsStale
from predictions.models import Event, ModelVersion, Patch, Prediction, Run
from reviews.trials import base_of
from tests.factories import answer, fail, submit_drawn
from tests.reviews.trial import address, tried

pytestmark = pytest.mark.usefixtures("model_version")


def test_a_version_is_activated_after_its_trial_and_the_event_names_it(
    signed_in: Client, staff: User, owner: User, model_version: ModelVersion, other: ModelVersion
) -> None:
    tried(owner, other, (0.1, 0.9))
    run = Run.objects.get()
    page = " ".join(signed_in.get(address("trial")).content.decode().split())
    assert "1 of 1 patch is answered, 0 failed. </p>" in page
    assert f'value="{run.uuid}"' in page
    assert signed_in.post(address("activate"), {"run": str(uuid4())}).status_code == 404
    signed_in.post(address("activate"), {"run": str(run.uuid)})
    assert ModelVersion.objects.active() == other
    assert Event.objects.get(kind="activated", subject="other-1", actor=staff).payload == {
        "before": model_version.version,
        "trial": str(run.uuid),
    }
    assert base_of(other) == model_version  # the page goes on showing what changed
    assert "Re-run all" in signed_in.get(address("trial")).content.decode()
    signed_in.post(address("rerun"))
    predicting.advance_runs()
    assert Patch.objects.get().current_prediction == Prediction.objects.get(model_version=other)


def test_without_a_finished_trial_the_extra_tick_is_needed(
    signed_in: Client, model_version: ModelVersion, other: ModelVersion, owner: User
) -> None:
    answer(submit_drawn(owner, 1)[0])
    predicting.start_shadow(model_version=other)
    assert 'name="without_trial"' in signed_in.get(address("trial")).content.decode()
    page = signed_in.post(address("activate"), follow=True).content.decode()
    assert "finished no trial run. Run one first, or say that it may be active without.<" in page
    unfinished = {"run": str(Run.objects.get().uuid)}
    assert "finished no trial run" in signed_in.post(address("activate"), unfinished, follow=True).content.decode()
    assert ModelVersion.objects.active() == model_version
    signed_in.post(address("activate"), {"without_trial": "on"})
    assert ModelVersion.objects.active() == other
    assert Event.objects.get(kind="activated", subject="other-1").payload["trial"] is None
    # The former version has been tried by all who used it.
    way_back = [reverse(f"trial:{name}", args=[model_version.version]) for name in ("trial", "activate")]
    page = signed_in.get(way_back[0]).content.decode()
    assert ("needs no trial" in page, 'name="without_trial"' in page) == (True, False)
    signed_in.post(way_back[1])
    assert ModelVersion.objects.active() == model_version


def test_a_trial_against_a_version_that_is_not_active_any_more_activates_nothing(
    signed_in: Client, staff: User, owner: User, model_version: ModelVersion, other: ModelVersion
) -> None:
    tried(owner, other, (0.1, 0.9))
    run = Run.objects.get()
    third = ModelVersion.objects.create(version="third-1", sha256="1" * 64, card=model_version.card)
    predicting.activate(model_version=third)
    with pytest.raises(TrialIsStale):
        predicting.activate_after_trial(model_version=other, actor=staff)
    page = signed_in.get(address("trial")).content.decode()
    assert "with one that is not active any more. Run a new one, or say that it may be active without.<" in page
    assert (f'value="{run.uuid}"' in page, 'name="without_trial"' in page) == (False, True)
    # Someone who had the page open since before is told so.
    page = signed_in.post(address("activate"), {"run": str(run.uuid)}, follow=True).content.decode()
    assert page.count("compared it with one that is not active any more.") == 2
    assert ModelVersion.objects.active() == third
    signed_in.post(address("activate"), {"run": str(run.uuid), "without_trial": "on"})
    assert Event.objects.get(kind="activated", subject="other-1").payload["trial"] is None


def test_a_trial_that_answered_nothing_activates_nothing(
    signed_in: Client, staff: User, owner: User, model_version: ModelVersion, other: ModelVersion
) -> None:
    empty = predicting.start_shadow(model_version=other, recent=0)
    predicting.advance_runs()
    with pytest.raises(TrialIsEmpty):
        predicting.activate_after_trial(model_version=other, actor=staff, trial=empty)
    page = signed_in.get(address("trial")).content.decode()
    assert "answered nothing, so nobody knows what would change. Run one over more recent patches, or say that" in page
    assert (f'value="{empty.uuid}"' in page, 'name="without_trial"' in page) == (False, True)
    assert ModelVersion.objects.active() == model_version
    tried(owner, other, (0.1, 0.9))
    full = Run.objects.latest("pk")
    predicting.start_shadow(model_version=other, recent=1)  # asks nothing new, as all is known, and counts
    predicting.advance_runs()
    assert predicting.trial_that_counts(other) == Run.objects.latest("pk")
    Run.objects.filter(pk=Run.objects.latest("pk").pk).update(known=0)  # as if it had been empty
    assert predicting.trial_that_counts(other) == full


def test_a_trial_all_of_whose_answers_failed_activates_nothing(staff: User, owner: User, other: ModelVersion) -> None:
    answer(submit_drawn(owner, 1)[0])
    predicting.start_shadow(model_version=other)
    predicting.advance_runs()
    fail(Prediction.objects.get(model_version=other))
    predicting.advance_runs()
    assert Run.objects.get().state == Run.State.FINISHED
    with pytest.raises(TrialIsEmpty):
        predicting.activate_after_trial(model_version=other, actor=staff)


def test_what_an_owner_asked_for_in_vain_is_no_answer(staff: User, owner: User, other: ModelVersion) -> None:
    patch = answer(submit_drawn(owner, 1)[0]).patch
    fail(predicting.ask(patch=patch, model_version=other, actor=owner))
    run = predicting.start_shadow(model_version=other)
    for _ in range(3):
        predicting.advance_runs()
    run.refresh_from_db()
    assert (run.state, run.known, run.succeeded) == ("finished", 1, 0)
    with pytest.raises(TrialIsEmpty):
        predicting.activate_after_trial(model_version=other, actor=staff)
