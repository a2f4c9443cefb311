"""Which reviews count for which figures; the pages, charts and tables of evidence; the weeks."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Callable
from datetime import date, timedelta
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from django.core.cache import cache
from django.db.models.functions import Now
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from accounts.models import User
from ml import gate
from predictions.models import ModelVersion, Patch, Prediction, Purpose
from reviews import services
from reviews.evidence import Share, agreement_of, evidence_of, public_line, response, reviewed_by_version
from reviews.evidence_views import DRIFT
from reviews.figures import Evidence
from reviews.models import Answer, Draw, Reason, Review, Week
from reviews.services.weeks import SAMPLE
from tests.factories import answer, drawn, make_reviewer
from tests.reviews.people import answered, flag, say

pytestmark = pytest.mark.usefixtures("model_version")
P, N, U = Answer.POSITIVE, Answer.NEGATIVE, Answer.UNSURE
Judge = Callable[..., Review]


@pytest.fixture
def judge() -> Judge:
    """Give a review as the queue would: by whom, of which patch, what, and whether of the random share."""

    def given(person: User, patch: Patch, what: Answer, *, is_random: bool = True) -> Review:
        reason = Reason.RANDOM if is_random else Reason.FLAGGED
        draw = Draw.objects.create(reviewer=person, patch=patch, reason=reason, is_random=is_random)
        return services.answer_draw(draw=draw, reviewer=person, answer=what)

    return given


@pytest.fixture
def other(model_version: ModelVersion) -> ModelVersion:
    return ModelVersion.objects.create(version="other-1", sha256="0" * 64, card=model_version.card)


def counts(found: Evidence) -> tuple[int, ...]:
    """reviewed, ties, undecided, then true positive, false negative, false positive, true negative."""
    return (found.reviewed, found.ties, found.undecided, *found.confusion.values())


def test_the_random_share_counts_by_itself_and_with_all(
    owner: User, reviewer: User, model_version: ModelVersion, judge: Judge
) -> None:
    second = make_reviewer("second@example.org")
    hit, missed, alarm, tie, unsure, smart = answered(owner, 0.9, 0.1, 0.8, 0.9, 0.5, 0.7)
    for patch, what in ((hit, P), (missed, P), (alarm, N), (tie, P), (unsure, U)):
        judge(reviewer, patch, what)
    judge(second, tie, N)
    judge(second, smart, P, is_random=False)
    judge(second, hit, N, is_random=False)  # makes a tie of it only where all answers count
    assert counts(evidence_of(model_version, Share.RANDOM)) == (5, 1, 1, 1, 1, 1, 0)
    assert counts(evidence_of(model_version, Share.ALL)) == (6, 2, 1, 1, 1, 1, 0)
    assert counts(evidence_of(model_version, Share.OWNERS)) == (0, 0, 0, 0, 0, 0, 0)
    services.state_truth(patch=smart, owner=owner, answer=N)
    assert counts(evidence_of(model_version, Share.OWNERS)) == (1, 0, 0, 0, 0, 1, 0)
    assert reviewed_by_version() == {model_version.pk: {"all": 6, "random": 5}}


def test_what_was_said_after_the_score_was_seen_does_not_count(
    owner: User, reviewer: User, model_version: ModelVersion, judge: Judge
) -> None:
    first, chosen = answered(owner, 0.9, 0.9)
    review = judge(reviewer, first, N)
    services.change_review(review=review, reviewer=reviewer, answer=P)
    services.review_patch(patch=chosen, reviewer=reviewer, answer=P)
    for share in (Share.RANDOM, Share.ALL):
        assert counts(evidence_of(model_version, share)) == (1, 0, 0, 0, 0, 1, 0)


def test_each_model_is_held_against_the_same_reviews(
    owner: User, reviewer: User, model_version: ModelVersion, other: ModelVersion, judge: Judge
) -> None:
    (patch,) = answered(owner, 0.9)
    judge(reviewer, patch, P)
    second = Prediction.objects.create(patch=patch, model_version=other, threshold=0.5, purpose=Purpose.SHADOW)
    answer(second, 0.2)
    assert counts(evidence_of(model_version, Share.RANDOM)) == (1, 0, 0, 1, 0, 0, 0)
    assert counts(evidence_of(other, Share.RANDOM, with_shadows=True)) == (1, 0, 0, 0, 1, 0, 0)
    assert counts(evidence_of(other, Share.RANDOM)) == (0, 0, 0, 0, 0, 0, 0)


def test_reviewers_agree_on_the_share_that_is_asked_for(owner: User, reviewer: User, judge: Judge) -> None:
    second = make_reviewer("second@example.org")
    patches = answered(owner, *[0.5] * 14)
    for number, patch in enumerate(patches):
        judge(reviewer, patch, P if number % 2 else N)
        judge(second, patch, U if number == 0 else P, is_random=number > 3)
    found = agreement_of(Share.RANDOM)
    assert (found.pairs, found.indefinite, found.share.value) == (10, 0, 0.5)
    found = agreement_of(Share.ALL)
    assert (found.pairs, found.indefinite, found.share.n) == (13, 1, 13)


def test_non_response_is_counted(owner: User, reviewer: User) -> None:
    answered(owner, *[0.5] * 6)
    chance = random.Random(20201123)  # of which some of the six are of the random share
    while draws := services.next_draws(reviewer=reviewer, chance=chance):
        if Draw.objects.exclude(outcome="open").count() < 2:
            services.skip_draw(draw=draws[0], reviewer=reviewer)
        else:
            services.answer_draw(draw=draws[0], reviewer=reviewer, answer=P)
    skipped = Draw.objects.filter(outcome="skipped", is_random=True).count()
    found = response()
    assert (found.skipped, found.chosen) == (skipped, 0)
    assert found.answered == Draw.objects.filter(outcome="answered", is_random=True).count()
    assert found.answered + found.skipped >= 1


def test_figures_need_one_query_each(
    owner: User, reviewer: User, model_version: ModelVersion, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    answered(owner, *(number / 20 for number in range(20)))
    for _ in range(20):
        say(reviewer)
    for share in Share:
        with django_assert_num_queries(1):
            evidence_of(model_version, share)
    with django_assert_num_queries(1):
        agreement_of(Share.ALL)


@pytest.fixture
def reviewed(owner: User, reviewer: User, judge: Judge) -> list[Patch]:
    """Sixty patches of the random share: 30 found, 10 missed, 15 cleared, 5 false alarms."""
    patches = answered(owner, *[0.93] * 30, *[0.21] * 10, *[0.12] * 15, *[0.71] * 5)
    for number, patch in enumerate(patches):
        judge(reviewer, patch, P if number < 40 else N)
    return patches


def test_the_page_and_its_csv_say_the_same(
    client: Client, reviewer: User, model_version: ModelVersion, reviewed: list[Patch]
) -> None:
    client.force_login(reviewer)
    page = " ".join(client.get(reverse("evidence", args=[model_version.version])).content.decode().split())
    assert "60 patches count here. There is a definite answer for 60 of them, of 1 owner. Ties: 0;" in page
    assert "The intervals take patches for independent and are too narrow." in page
    found = evidence_of(model_version, Share.RANDOM)
    sensitivity = found.figures[0]
    assert f"{sensitivity.value:.3f} ({sensitivity.low:.3f} to {sensitivity.high:.3f})" in page
    assert "too few" in page
    assert "/calibration-light.svg" in page
    response = client.get(reverse("evidence-csv", args=[model_version.version, "random"]))
    assert response["Content-Disposition"] == f'attachment; filename="{model_version.version}-random.csv"'
    rows = {row[0]: row[1:] for row in csv.reader(io.StringIO(response.content.decode()))}
    assert rows["true_positive"] == ["30", "", "", "60"]
    assert rows["sensitivity"] == ["0.75", str(sensitivity.low), str(sensitivity.high), "40"]
    assert rows["share of 0.7-0.8"] == ["", "", "", "5"]
    assert rows["share of 0.1-0.2"][0::3] == ["0.0", "15"]


def test_charts_run_nothing_and_need_no_patch(client: Client, reviewer: User, model_version: ModelVersion) -> None:
    client.force_login(reviewer)
    for kind in ("calibration", *DRIFT):
        response = client.get(reverse("evidence-chart", args=[model_version.version, kind, "dark"]))
        assert (response.status_code, response["Content-Type"]) == (200, "image/svg+xml"), kind
        assert response["Content-Security-Policy"] == "default-src 'none'; style-src 'unsafe-inline'; sandbox"
        picture = ET.fromstring(response.content)
        assert not [element for element in picture.iter() if element.tag.endswith("script")]


@pytest.mark.parametrize(
    "path", ["none/evidence/", "{}/evidence/?share=none", "{}/evidence/none.csv", "{}/evidence/pie-light.svg",
             "{}/evidence/score-pink.svg", "none/evidence/weeks.csv"]
)  # fmt: skip
def test_what_is_not_there_is_not_found(client: Client, reviewer: User, model_version: ModelVersion, path: str) -> None:
    client.force_login(reviewer)
    assert client.get("/models/" + path.format(model_version.version)).status_code == 404


def test_everyone_reads_a_line_once_fifty_patches_are_definite(
    client: Client, model_version: ModelVersion, reviewed: list[Patch]
) -> None:
    cache.clear()
    address = reverse("model", args=[model_version.version])
    page = client.get(address).content.decode()
    assert "reviewers have judged 60 patches of a random share (of 1 owner)" in page
    assert "0.750 (" in page
    Review.objects.filter(patch__in=reviewed[:11]).delete()
    assert public_line(model_version)  # kept for a while
    cache.clear()
    assert public_line(model_version) is None
    assert "reviewers have judged" not in client.get(address).content.decode()


def monday(weeks_ago: int = 0) -> date:
    today = timezone.now().date()
    return today - timedelta(days=today.weekday(), weeks=weeks_ago)


def test_weeks_are_counted_as_they_are(owner: User, model_version: ModelVersion, other: ModelVersion) -> None:
    now, before = answered(owner, 0.2, 0.8, 0.9)[:2], answered(owner, 0.5, 0.7, first_seed=20)
    flag(now[0], "blurred", "unlike")
    flag(now[1], "blurred")
    Prediction.objects.filter(patch__in=before).update(finished_at=Now() - timedelta(weeks=3))
    rerun = Prediction.objects.create(patch=now[0], model_version=other, threshold=0.5, purpose=Purpose.RERUN)
    answer(rerun, 0.5)
    embedding = np.full(64, 2, "<f2").tobytes()
    Prediction.objects.update(embedding=embedding)
    for _ in range(2):
        services.count_weeks()
    old, new = Week.objects.order_by("week")
    assert [old.week, new.week] == [monday(3), monday()]
    assert (new.model_version, new.number, new.positive, new.flagged) == (model_version, 3, 2, 2)
    assert new.flags == {"blurred": 2, "unlike": 1}
    assert new.score == pytest.approx(np.mean([0.2, 0.8, 0.9]))
    assert new.score_deviation == pytest.approx(np.std([0.2, 0.8, 0.9], ddof=1))
    assert (old.number, old.flagged, old.flags) == (2, 0, {})
    stains = [gate.measure(drawn(seed).pixels)["stain"] for seed in (20, 21)]
    assert old.sampled == 2
    assert [old.stain, old.distance, old.distance_deviation] == pytest.approx([float(np.mean(stains)), 2, 0])


def test_a_week_that_is_over_stays_as_it_was_counted(owner: User) -> None:
    old, new = answered(owner, 0.2, 0.8)
    Prediction.objects.filter(patch=old).update(finished_at=Now() - timedelta(weeks=5))
    services.count_weeks()
    Patch.objects.all().delete()
    answered(owner, 0.3, first_seed=9)
    services.count_weeks()
    assert list(Week.objects.order_by("week").values_list("week", "number", "score")) == [
        (monday(5), 1, 0.2),
        (monday(), 1, 0.3),
    ]
    assert new.pk


def test_a_week_is_measured_on_the_lowest_keys(owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    patches = answered(owner, 0.2, 0.8, 0.5)
    for patch, key in zip(patches, (0.9, 0.1, 0.5), strict=True):
        Patch.objects.filter(pk=patch.pk).update(review_key=key)
    monkeypatch.setattr("reviews.services.weeks.SAMPLE", 2)
    assert SAMPLE == 200
    services.count_weeks()
    stains = [gate.measure(drawn(seed).pixels)["stain"] for seed in (1, 2)]
    week = Week.objects.get()
    assert (week.number, week.sampled) == (3, 2)
    assert week.stain == pytest.approx(np.mean(stains))


def test_weeks_are_a_table_beside_each_chart_and_a_csv(
    client: Client, owner: User, reviewer: User, model_version: ModelVersion
) -> None:
    patches = answered(owner, *[0.25] * 9, *[0.75] * 3)
    flag(patches[0], "blurred")
    services.count_weeks()
    client.force_login(reviewer)
    page = client.get(reverse("evidence", args=[model_version.version])).content.decode()
    assert str(monday()) in page
    assert "blurred&nbsp;1" in page
    # These rows were answered without a worker, and nobody has reviewed them.
    assert [kind for kind in (*DRIFT, "calibration") if f"/{kind}-light.svg" not in page] == ["distance", "calibration"]
    assert "Distance from the patches of training: no week holds the 10 measured patches" in page
    assert "Reliability diagram: no range holds the 10 patches" in page
    response = client.get(reverse("evidence-csv", args=[model_version.version, "weeks"]))
    header, row = csv.reader(io.StringIO(response.content.decode()))
    values = dict(zip(header, row, strict=True))
    assert (values["week"], values["n"], values["sampled"]) == (str(monday()), "12", "12")
    assert (values["score"], values["positive"], values["blurred"]) == ("0.375", "0.25", "1")
    assert float(values["positive_low"]) < 0.25 < float(values["positive_high"])
    assert float(values["stain_low"]) < float(values["stain"]) < float(values["stain_high"])
    assert values["distance"] == ""


def test_evidence_pages_need_a_fixed_number_of_queries(
    client: Client,
    reviewer: User,
    model_version: ModelVersion,
    reviewed: list[Patch],
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    services.count_weeks()
    client.force_login(reviewer)
    for address in (
        reverse("evidence", args=[model_version.version]),
        reverse("reviews:evidence"),
        reverse("evidence-csv", args=[model_version.version, "all"]),
        reverse("evidence-chart", args=[model_version.version, "score", "light"]),
    ):
        with django_assert_max_num_queries(8):
            assert client.get(address).status_code == 200
