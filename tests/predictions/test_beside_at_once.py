"""What stands beside a patch when two write at the same moment."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Thread

import pytest
from django.db import connection, transaction

from predictions.models import ModelVersion, Patch, Prediction
from reviews import services as reviews
from reviews.models import Answer
from tests.factories import answer, make_reviewer, make_user, submit_drawn
from tests.processes import somebody_waits_for_a_row, wait_for
from tests.reviews.people import answered

pytestmark = pytest.mark.django_db(transaction=True)


def at_once(*calls: Callable[[], object]) -> None:
    def run(call: Callable[[], object]) -> None:
        try:
            call()
        finally:
            connection.close()

    threads = [Thread(target=run, args=[call]) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def while_it_is_open(first: Callable[[], object], second: Callable[[], object]) -> None:
    """The transaction of `first` ends only when `second` waits for it, or need not wait."""

    def run() -> None:
        try:
            second()
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            first()
            other = pool.submit(run)
            wait_for(lambda: other.done() or somebody_waits_for_a_row(), what="the second")
        other.result()


@pytest.mark.parametrize("first", ["finishing", "making it current"])
def test_an_answer_that_is_finished_while_it_becomes_current_is_not_missed(
    model_version: ModelVersion, first: str
) -> None:
    (old,) = submit_drawn(make_user("owner@example.org"), 1)
    other = ModelVersion.objects.create(version="other-1", sha256="0" * 64, card=model_version.card)
    new = Prediction.objects.create(patch=old.patch, model_version=other, threshold=0.5)
    writes = {
        "finishing": lambda: answer(new, 0.875),
        "making it current": lambda: Patch.objects.filter(pk=old.patch_id).update(current_prediction=new),
    }
    before = writes.pop(first)
    ((_, after),) = writes.items()
    while_it_is_open(before, after)
    patch = Patch.objects.get(pk=old.patch_id)
    assert (patch.current_prediction_id, patch.probability, patch.is_positive) == (new.pk, 0.875, True)


def test_reviewers_who_answer_at_once_are_all_counted(model_version: ModelVersion) -> None:
    (patch,) = answered(make_user("owner@example.org"), 0.5)
    people = [make_reviewer(f"reviewer{number}@example.org") for number in range(5)]
    said = [Answer.NEGATIVE, Answer.NEGATIVE, Answer.POSITIVE, Answer.POSITIVE, Answer.POSITIVE]
    at_once(*(
        lambda reviewer=reviewer, what=what: reviews.review_patch(patch=patch, reviewer=reviewer, answer=what)
        for reviewer, what in zip(people, said, strict=True)
    ))  # fmt: skip
    patch.refresh_from_db()
    assert patch.reviewers_say == "positive"
