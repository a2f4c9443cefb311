"""What reviewers and owners say, once each, however often it is pressed."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import IntegrityError, connections, transaction
from django.db.models.functions import Now
from django.test import Client
from django.urls import reverse

from accounts.models import User
from predictions import services as prediction_services
from predictions.exceptions import UnknownPatch
from predictions.models import Event, Patch, Prediction, Visibility
from reviews import services
from reviews.exceptions import AlreadyReviewed, NotOpen, NotReviewable
from reviews.models import Answer, Draw, GroundTruth, Reason, Review
from tests.factories import make_reviewer
from tests.processes import somebody_waits_for_a_row, wait_for
from tests.reviews.people import answered, asked, say

pytestmark = pytest.mark.usefixtures("model_version")
KINDS = ("reviewed", "review_changed", "review_skipped", "truth_stated", "truth_withdrawn", "review_allowed", "opened")


def events() -> list[tuple[str, str | None, str, object]]:
    rows = Event.objects.filter(kind__in=KINDS).order_by("pk").select_related("actor")
    return [(row.kind, row.actor.email if row.actor else None, row.subject, row.payload) for row in rows]


def in_parallel(press: Callable[[int], object], times: int = 20) -> list[object]:
    """What `press` gave or raised in each of so many threads at once."""

    def attempt(number: int) -> object:
        try:
            return press(number)
        except Exception as error:
            return error
        finally:
            connections.close_all()

    with ThreadPoolExecutor(times) as pool:
        return list(pool.map(attempt, range(times)))


def test_an_answer_keeps_what_was_said_and_which_answer_of_the_model_was_current(owner: User, reviewer: User) -> None:
    (patch,) = answered(owner, 0.9)
    draw = asked(reviewer)
    review = services.answer_draw(draw=draw, reviewer=reviewer, answer=Answer.NEGATIVE, comment="fat")
    draw.refresh_from_db()
    assert (review.patch, review.prediction, review.draw) == (patch, Prediction.objects.get(), draw)
    assert (review.first_answer, review.answer, review.comment) == ("negative", "negative", "fat")
    assert (draw.outcome, draw.closed_at is not None) == ("answered", True)
    assert events() == [("reviewed", "reviewer@example.org", str(patch.uuid), {"answer": "negative"})]


def test_a_changed_answer_stands_beside_the_first(owner: User, reviewer: User) -> None:
    (patch,) = answered(owner, 0.9)
    review = say(reviewer, Answer.NEGATIVE)
    for _ in range(2):
        services.change_review(review=review, reviewer=reviewer, answer=Answer.POSITIVE, comment="seen again")
    review.refresh_from_db()
    assert (review.first_answer, review.answer, review.comment) == ("negative", "positive", "seen again")
    assert review.changed_at
    assert events()[1:] == [
        ("review_changed", "reviewer@example.org", str(patch.uuid), {"from": "negative", "to": "positive"})
    ]


def test_an_owner_never_reviews_their_own_patch(reviewer: User) -> None:
    (patch,) = answered(reviewer, 0.9)
    draw = Draw.objects.create(patch=patch, reviewer=reviewer, reason=Reason.FLAGGED)
    with pytest.raises(NotReviewable):
        services.answer_draw(draw=draw, reviewer=reviewer, answer=Answer.POSITIVE)
    with pytest.raises(NotReviewable):
        services.review_patch(patch=patch, reviewer=reviewer, answer=Answer.POSITIVE)
    assert not Review.objects.exists()


def test_whoever_is_no_reviewer_any_more_answers_nothing(owner: User, reviewer: User, stranger: User) -> None:
    (patch,) = answered(owner, 0.9)
    draw = asked(reviewer)
    reviewer.groups.clear()
    for person in (User.objects.get(pk=reviewer.pk), stranger):
        with pytest.raises(NotReviewable):
            services.answer_draw(draw=draw, reviewer=person, answer=Answer.POSITIVE)
        with pytest.raises(NotReviewable):
            services.review_patch(patch=patch, reviewer=person, answer=Answer.POSITIVE)


def test_what_its_owner_closes_meanwhile_is_not_answered_or_changed(owner: User, reviewer: User) -> None:
    first, _second = answered(owner, 0.9, 0.9)
    review = say(reviewer)
    draw = asked(reviewer)
    for patch in (review.patch, draw.patch):
        prediction_services.set_visibility(patch=patch, actor=owner, visibility=Visibility.PRIVATE)
    with pytest.raises(NotReviewable):
        services.answer_draw(draw=draw, reviewer=reviewer, answer=Answer.POSITIVE)
    with pytest.raises(NotReviewable):
        services.change_review(review=review, reviewer=reviewer, answer=Answer.NEGATIVE)
    assert first.reviews.count() + _second.reviews.count() == 1


def test_a_skipped_patch_is_not_answered_through_the_queue(owner: User, reviewer: User) -> None:
    (patch,) = answered(owner, 0.9)
    draw = asked(reviewer)
    services.skip_draw(draw=draw, reviewer=reviewer)
    with pytest.raises(NotOpen):
        services.answer_draw(draw=draw, reviewer=reviewer, answer=Answer.POSITIVE)
    assert events() == [("review_skipped", "reviewer@example.org", str(patch.uuid), {})]


def test_a_review_of_ones_own_choice_is_marked_as_such(owner: User, reviewer: User) -> None:
    chosen, drawn = answered(owner, 0.9, 0.9)
    review = services.review_patch(patch=chosen, reviewer=reviewer, answer=Answer.POSITIVE)
    assert review.draw.reason == Reason.CHOSEN
    draw = asked(reviewer)
    assert draw.patch == drawn
    assert services.review_patch(patch=drawn, reviewer=reviewer, answer=Answer.POSITIVE).draw == draw
    draw.refresh_from_db()
    assert draw.reason == Reason.CHOSEN
    with pytest.raises(AlreadyReviewed):
        services.review_patch(patch=drawn, reviewer=reviewer, answer=Answer.NEGATIVE)
    assert services.next_draws(reviewer=reviewer) == []


def test_ground_truth_is_the_owners_and_can_be_taken_back(owner: User, reviewer: User, staff: User) -> None:
    (patch,) = answered(owner, 0.9)
    for answer in (Answer.POSITIVE, Answer.POSITIVE, Answer.NEGATIVE):
        services.state_truth(patch=patch, owner=owner, answer=answer, source="biopsy")
    truth = GroundTruth.objects.get()
    assert (truth.answer, truth.source, truth.changed_at is not None) == ("negative", "biopsy", True)
    for person in (reviewer, staff):
        with pytest.raises(UnknownPatch):
            services.state_truth(patch=patch, owner=person, answer=Answer.POSITIVE)
        with pytest.raises(UnknownPatch):
            services.withdraw_truth(patch=patch, owner=person)
    for _ in range(2):
        services.withdraw_truth(patch=patch, owner=owner)
    assert not GroundTruth.objects.exists()
    assert [(kind, payload) for kind, _, _, payload in events()] == [
        ("truth_stated", {"answer": "positive"}),
        ("truth_stated", {"answer": "negative"}),
        ("truth_withdrawn", {}),
    ]


def test_what_is_deleted_takes_its_reviews_along_and_who_leaves_is_forgotten(owner: User, reviewer: User) -> None:
    first, second = answered(owner, 0.9, 0.9)
    for _ in range(2):
        say(reviewer)
    services.state_truth(patch=first, owner=owner, answer=Answer.POSITIVE)
    prediction_services.withdraw(patch=first, actor=owner)
    assert (Review.objects.count(), Draw.objects.count(), GroundTruth.objects.count()) == (1, 1, 0)
    reviewer.delete()
    review = Review.objects.get()
    assert (review.patch, review.reviewer, review.draw.reviewer) == (second, None, None)


@pytest.mark.django_db(transaction=True)
def test_twenty_presses_at_once_are_one_review_one_draw_and_one_event(owner: User, reviewer: User) -> None:
    (patch,) = answered(owner, 0.9)
    draws = in_parallel(lambda _: services.next_draws(reviewer=reviewer)[0].pk)
    assert len(set(draws)) == Draw.objects.count() == 1
    draw = Draw.objects.get()
    words = list(Answer)
    reviews = in_parallel(
        lambda number: services.answer_draw(draw=draw, reviewer=reviewer, answer=words[number % 4]).pk
    )
    assert len(set(reviews)) == Review.objects.count() == 1
    assert [kind for kind, *_ in events()] == ["reviewed"]
    (other,) = answered(owner, 0.4, first_seed=9)
    results = in_parallel(lambda _: services.review_patch(patch=other, reviewer=reviewer, answer=Answer.UNSURE))
    assert sum(isinstance(result, Review) for result in results) == 1
    assert sum(isinstance(result, AlreadyReviewed) for result in results) == 19
    in_parallel(lambda number: services.state_truth(patch=patch, owner=owner, answer=Answer.POSITIVE))
    in_parallel(lambda number: services.withdraw_truth(patch=patch, owner=owner))
    assert [kind for kind, *_ in events()] == ["reviewed", "reviewed", "truth_stated", "truth_withdrawn"]


@pytest.mark.django_db(transaction=True)
def test_two_reviewers_answer_the_same_patch_at_once(owner: User, reviewer: User) -> None:
    (patch,) = answered(owner, 0.9)
    people = [reviewer, make_reviewer("second@example.org")]
    in_parallel(lambda number: say(people[number % 2], list(Answer)[number % 2]), times=2)
    assert set(patch.reviews.values_list("answer", flat=True)) == {"positive", "negative"}


@pytest.mark.parametrize(
    "values",
    [
        {"outcome": "answered"},
        {"closed_at": Now()},
        {"reason": "random", "is_random": False},
        {"outcome": "lost", "closed_at": Now()},
        {"reason": "whim"},
    ],
)
def test_the_database_refuses_draws_that_make_no_sense(owner: User, reviewer: User, values: dict[str, object]) -> None:
    (patch,) = answered(owner, 0.9)
    draw = Draw.objects.create(patch=patch, reviewer=reviewer, reason=Reason.FLAGGED)
    with pytest.raises(IntegrityError), transaction.atomic():
        Draw.objects.filter(pk=draw.pk).update(**values)


def test_staff_who_open_a_private_patch_leave_one_line_an_hour(owner: User, staff: User, client: object) -> None:
    (patch,) = answered(owner, 0.9)
    for _ in range(2):
        prediction_services.note_opening(patch=patch, reader=staff)
    assert events() == []
    prediction_services.set_visibility(patch=patch, actor=owner, visibility=Visibility.PRIVATE)
    for reader in (staff, staff, owner):
        prediction_services.note_opening(patch=patch, reader=reader)
    assert events() == [("opened", "staff@example.org", str(patch.uuid), {})]
    Event.objects.filter(kind="opened").update(created_at=Now() - prediction_services.share.NOTED_EVERY)
    prediction_services.note_opening(patch=patch, reader=staff)
    assert len(events()) == 2


@pytest.mark.django_db(transaction=True)
def test_a_page_and_its_pictures_opened_at_once_are_one_line(owner: User, staff: User) -> None:
    (patch,) = answered(owner, 0.9)
    prediction_services.set_visibility(patch=patch, actor=owner, visibility=Visibility.PRIVATE)
    in_parallel(lambda _: prediction_services.note_opening(patch=Patch.objects.get(pk=patch.pk), reader=staff))
    assert [kind for kind, *_ in events()] == ["opened"]


@pytest.mark.django_db(transaction=True)
def test_a_patch_that_is_deleted_in_the_moment_of_an_answer_is_not_reviewable_and_to_its_owner_unknown(
    owner: User, reviewer: User, client: Client
) -> None:
    patches = answered(owner, 0.9, 0.8, 0.7)
    client.force_login(owner)
    page = reverse("reviews:ground-truth", args=[patches[1].predictions.get().uuid])
    address = f"/api/v1/predictions/{patches[2].predictions.get().uuid}/ground-truth/"

    def review() -> Exception:
        with pytest.raises(NotReviewable) as caught:
            services.review_patch(patch=patches[0], reviewer=reviewer, answer=Answer.UNSURE)
        return caught.value

    def state() -> int:
        return client.post(page, {"answer": "positive"}).status_code

    def state_by_api() -> tuple[int, object]:
        response = client.put(address, {"answer": "positive"}, content_type="application/json")
        return response.status_code, response.json()

    def run(act: Callable[[], object]) -> object:
        try:
            return act()
        finally:
            connections.close_all()

    found: list[object] = []
    with ThreadPoolExecutor(1) as pool:
        for patch, act in zip(patches, (review, state, state_by_api), strict=True):
            with transaction.atomic():
                Patch.objects.select_for_update().get(pk=patch.pk)
                pending = pool.submit(run, act)
                wait_for(somebody_waits_for_a_row, what="the answer")
                prediction_services.withdraw(patch=patch, actor=owner)
            found.append(pending.result())
    assert isinstance(found[0], NotReviewable)
    assert found[1:] == [302, (404, client.get(address).json())]  # as it is from now on
    assert (Review.objects.count(), GroundTruth.objects.count()) == (0, 0)
