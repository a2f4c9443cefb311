"""A trial with the real second model, real workers and the real chores process."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from django.db.models.functions import Now

from accounts.models import User
from ml.card import MODELS, read_card
from ml.dataset import read_patches
from ml.engine import load_engine
from ml.images import DecodedPatch
from predictions import services
from predictions.models import ModelVersion, Patch, Prediction, Priority, Run, Source, Status, Visibility
from predictions.services.stacks import BACKGROUND_STACK, _stack
from predictions.uploads import ReceivedFile
from reviews.evidence import Share
from reviews.models import Answer, Draw
from reviews.services import answer_draw
from reviews.trials import judged_pairs, unjudged_pairs
from tests.factories import drawn, make_reviewer, submit_drawn
from tests.processes import Processes, wait_for

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("model_version")]
SECOND = MODELS / "resnet18-1"


@pytest.fixture
def second(model_version: ModelVersion) -> ModelVersion:
    return services.register_model(folder=SECOND)


def has_ended(run: Run) -> bool:
    run.refresh_from_db()
    return not run.is_open


def many(owner: User, number: int) -> list[Prediction]:
    """So many different patches, of a few drawings of which one pixel is changed; answered by the active model."""
    files = []
    drawings = [drawn(seed) for seed in range(10)]
    for place in range(number):
        pixels = drawings[place % 10].pixels.copy()
        pixels[0, 0] = (place % 251, place // 251, 7)
        files.append(ReceivedFile(f"drawn-{place}.png", patch=DecodedPatch(pixels, 50, 50)))
    services.submit(owner=owner, files=files, visibility=Visibility.PUBLIC, source=Source.API)
    rows = list(Prediction.objects.filter(patch__owner=owner).order_by("pk"))
    Prediction.objects.update(status=Status.SUCCEEDED, probability=0.5, finished_at=Now())
    return rows


def test_a_shadow_run_of_the_second_model_answers_as_its_engine_does(
    processes: Processes, owner: User, model_version: ModelVersion, second: ModelVersion
) -> None:
    child = processes.start_worker()
    rows = submit_drawn(owner, *range(40))
    wait_for(lambda: not Prediction.objects.exclude(status=Status.SUCCEEDED).exists(), what=processes.log("worker"))
    processes.start("chores")
    run = services.start_shadow(model_version=second)
    wait_for(lambda: has_ended(run), what=processes.log("chores"))
    assert (run.state, run.number, run.known, run.asked, run.succeeded, run.failed) == ("finished", 40, 0, 40, 40, 0)
    shadows = list(Prediction.objects.filter(model_version=second).order_by("patch"))
    assert {(row.purpose, row.priority, row.status) for row in shadows} == {
        ("shadow", Priority.BACKGROUND, "succeeded")
    }
    expected = load_engine(SECOND, read_card(SECOND)).predict(_stack(shadows).pixels).probability
    assert [row.probability for row in shadows] == pytest.approx(expected.tolist(), abs=1e-5)
    assert all(row.patch.current_prediction == row for row in rows)
    assert Prediction.objects.visible_to(owner).count() == 40
    assert unjudged_pairs(second, model_version).n == 40
    assert child.is_running()


def test_whoever_uploads_in_the_middle_of_a_thousand_rows_is_answered_first(
    processes: Processes, owner: User, stranger: User, second: ModelVersion
) -> None:
    many(owner, 1_000)
    processes.start("chores")
    run = services.start_shadow(model_version=second)
    wait_for(lambda: Prediction.objects.filter(awaited_by=run).count() == 1_000, what=processes.log("chores"))
    processes.start_worker()
    shadows = Prediction.objects.filter(model_version=second, status=Status.SUCCEEDED)
    wait_for(lambda: shadows.count() > 50, what=processes.log("worker"))
    (mine,) = submit_drawn(stranger, 500)

    def is_answered() -> bool:
        mine.refresh_from_db()
        return mine.status == Status.SUCCEEDED

    wait_for(is_answered, what=processes.log("worker"))
    assert shadows.count() < 1_000
    # The stack that was at work, and one more in case its claim had begun.
    assert shadows.filter(finished_at__range=(mine.queued_at, mine.finished_at)).count() <= 2 * BACKGROUND_STACK
    services.cancel_run(run=run)
    wait_for(lambda: has_ended(run), what=processes.log("chores"))
    assert run.state == "cancelled"
    assert shadows.count() == run.succeeded == Prediction.objects.filter(model_version=second).count() < 1_000


def test_a_run_survives_the_death_of_chores_and_workers(
    processes: Processes, owner: User, second: ModelVersion
) -> None:
    many(owner, 300)
    chores = processes.start("chores")
    worker = processes.start("worker")
    run = services.start_shadow(model_version=second)
    shadows = Prediction.objects.filter(model_version=second)
    wait_for(lambda: shadows.filter(status=Status.SUCCEEDED).exists(), what=processes.log("worker"))
    for process in (chores, worker):
        processes.kill(process)
    processes.start("chores")
    processes.start("worker")
    wait_for(lambda: has_ended(run), what=processes.log("worker"))
    assert (run.state, run.asked, run.succeeded, run.failed) == ("finished", 300, 300, 0)
    assert shadows.filter(status=Status.SUCCEEDED).count() == 300


def test_an_activation_in_the_middle_is_taken_up_and_each_answer_names_its_maker(
    processes: Processes, owner: User, model_version: ModelVersion, second: ModelVersion
) -> None:
    """reliability.md, 17."""
    child = processes.start_worker()
    processes.start("chores")
    rows = submit_drawn(owner, *range(70))
    wait_for(lambda: not Prediction.objects.exclude(status=Status.SUCCEEDED).exists(), what=processes.log("worker"))
    run = services.start_shadow(model_version=second)
    wait_for(lambda: Prediction.objects.filter(model_version=second, status=Status.SUCCEEDED).exists())
    # docs/performance.md: a worker's child with the second model beside the active one.
    assert child.memory_full_info().pss < 260 * 1024**2
    services.activate(model_version=second)
    (later,) = submit_drawn(owner, 900)
    wait_for(lambda: has_ended(run), what=processes.log("worker"))
    rerun = services.start_rerun(model_version=second)
    wait_for(lambda: has_ended(rerun), what=processes.log("worker"))
    assert set(Patch.objects.values_list("current_prediction__model_version", flat=True)) == {second.pk}
    assert later.model_version == second
    for row in rows:
        row.refresh_from_db()
        assert (row.status, row.model_version_id) == ("succeeded", model_version.pk)


@pytest.mark.data
def test_a_trial_on_real_patches_counts_as_the_labels_say(
    processes: Processes, model_version: ModelVersion, second: ModelVersion
) -> None:
    patches = read_patches(Path(os.environ["IDC_DATA"]) / "idc-val.zip").of_split("validation")
    chosen = range(0, len(patches.labels), len(patches.labels) // 60)
    person, sender = make_reviewer("people@example.org"), make_reviewer("sender@example.org")
    files = [ReceivedFile(f"{place}.png", patch=DecodedPatch(patches.pixels[place], 50, 50)) for place in chosen]
    sent = services.submit(owner=sender, files=files, visibility=Visibility.PUBLIC, source=Source.API)
    processes.start_worker()
    processes.start("chores")
    wait_for(lambda: not Prediction.objects.exclude(status=Status.SUCCEEDED).exists(), what=processes.log("worker"))
    for patch, place in zip(sent.accepted, chosen, strict=True):
        draw = Draw.objects.create(reviewer=person, patch=patch, reason="random", is_random=True)
        answer_draw(draw=draw, reviewer=person, answer=Answer.POSITIVE if patches.labels[place] else Answer.NEGATIVE)
    run = services.start_shadow(model_version=second, recent=0)
    wait_for(lambda: has_ended(run), what=processes.log("worker"))
    found = judged_pairs(second, model_version, Share.RANDOM)
    truth = [bool(patches.labels[place]) for place in chosen]
    for change, folder in ((0, MODELS / model_version.version), (1, SECOND)):
        called = load_engine(folder, read_card(folder)).predict(patches.pixels[list(chosen)]).probability >= 0.5
        right = [bool(one) == label for one, label in zip(called, truth, strict=True)]
        assert (found.changes[2].before, found.changes[2].after)[change] == sum(right)
    assert found.definite == found.changes[2].n == len(truth)
    assert found.changes[0].n == sum(truth)
