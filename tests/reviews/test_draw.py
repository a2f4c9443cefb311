"""What a reviewer is asked: the random share is fair, the rest goes where it is worth most."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from django.db import connection
from django.db.models.functions import Random
from pytest_django import DjangoAssertNumQueries
from scipy.stats import chisquare

from accounts.models import User
from ml.synthetic import example_png
from predictions import services as prediction_services
from predictions.models import ModelVersion, Patch, Prediction, Purpose, Source, Visibility
from predictions.uploads import ReceivedFile
from reviews import services
from reviews.models import Answer, Draw, Outcome, Reason, Review
from reviews.services import draw as drawing
from tests.factories import answer, make_reviewer, submit_drawn
from tests.reviews.people import answered, asked, flag, in_order, say

pytestmark = pytest.mark.usefixtures("model_version")


def draw_for(reviewer: User, reason: Reason) -> Draw:
    """One more draw for this reason, which has a patch."""
    found = drawing._draw(reviewer, [reason])
    assert found
    return found


def test_two_are_drawn_and_stay_until_they_are_answered(owner: User, reviewer: User) -> None:
    answered(owner, 0.1, 0.5, 0.9, 0.7)
    first, second = services.next_draws(reviewer=reviewer)
    assert services.next_draws(reviewer=reviewer) == [first, second]
    services.answer_draw(draw=first, reviewer=reviewer, answer=Answer.UNSURE)
    following, _ = services.next_draws(reviewer=reviewer)
    assert following == second
    assert Draw.objects.count() == 3


def test_nobody_is_asked_twice_and_in_the_end_nothing_is_left(owner: User, reviewer: User) -> None:
    patches = answered(owner, 0.1, 0.5, 0.9)
    assert {say(reviewer).patch for _ in patches} == set(patches)
    assert services.next_draws(reviewer=reviewer) == []


def test_the_first_of_the_random_share_is_any_patch_with_the_same_chance(owner: User, reviewer: User) -> None:
    """Keys as the database draws them, 400 times: the flagged, the sure and the doubtful come first equally often."""
    patches = answered(owner, 0.01, 0.2, 0.49, 0.5, 0.51, 0.8, 0.99, 0.999)
    flag(patches[0], "blurred")
    flag(patches[5], "unlike", "scale")
    with connection.cursor() as cursor:
        cursor.execute("SELECT setseed(0.5)")
    met = Counter[int]()
    for _ in range(400):
        Patch.objects.update(review_key=Random())
        met[draw_for(reviewer, Reason.RANDOM).patch_id] += 1
        Draw.objects.all().delete()
    assert chisquare([met[patch.pk] for patch in patches]).pvalue > 0.01


def test_keys_are_drawn_by_the_database_one_for_each_patch(owner: User) -> None:
    keys = {patch.review_key for patch in Patch.objects.filter(pk__in=[one.pk for one in answered(owner, *[0.5] * 20)])}
    assert len(keys) == 20
    assert all(0 <= key < 1 for key in keys)


def test_the_random_share_goes_in_the_order_of_keys_and_is_the_same_for_all(owner: User, reviewer: User) -> None:
    patches = answered(owner, 0.9, 0.1, 0.5, 0.2)
    in_order([patches[place] for place in (2, 0, 3, 1)])
    for one in (reviewer, make_reviewer("second@example.org")):
        assert [draw_for(one, Reason.RANDOM).patch for _ in range(4)] == [patches[place] for place in (2, 0, 3, 1)]


def test_a_third_is_random_and_the_rest_is_shared_out() -> None:
    chance = random.Random(20201123)
    drawn = Counter(drawing._reasons(chance)[0] for _ in range(9000))
    assert set(drawn) == {Reason.RANDOM, *drawing.SMART}
    assert (
        chisquare([drawn[Reason.RANDOM], *(drawn[reason] for reason in drawing.SMART)], [3000, *[2000] * 3]).pvalue
        > 0.01
    )
    assert all(set(drawing._reasons(chance)) == set(drawn) for _ in range(20))


def test_what_another_reason_brought_up_joins_the_random_share_when_the_walk_has_passed_it(
    owner: User, reviewer: User
) -> None:
    low, middle, high, highest = patches = answered(owner, 0.1, 0.1, 0.1, 0.1)
    in_order(patches)
    flag(low, "blurred")
    flag(high, "blurred")
    for _ in range(2):
        draw_for(reviewer, Reason.FLAGGED)
    assert not Draw.objects.filter(is_random=True).exists()
    assert draw_for(reviewer, Reason.RANDOM).patch == middle
    assert set(Draw.objects.filter(is_random=True).values_list("patch", flat=True)) == {low.pk, middle.pk}
    assert draw_for(reviewer, Reason.RANDOM).patch == highest
    assert Draw.objects.filter(is_random=True).count() == 4


def test_a_patch_that_comes_later_is_as_likely_as_one_that_was_there(owner: User, reviewer: User) -> None:
    """The share is all keys below a height: a newcomer below it is asked about next, whatever else is waiting."""
    patches = answered(owner, 0.1, 0.2, 0.3)
    in_order(patches)
    for _ in range(2):
        draw_for(reviewer, Reason.RANDOM)
    (late,) = answered(owner, 0.99, first_seed=50)
    Patch.objects.filter(pk=late.pk).update(review_key=0.3)
    assert draw_for(reviewer, Reason.RANDOM).patch == late


def test_the_flagged_come_newest_first_until_two_have_answered(owner: User, reviewer: User) -> None:
    old, _, new = answered(owner, 0.9, 0.9, 0.9)
    flag(old, "blurred")
    flag(new, "unlike")
    second = make_reviewer("second@example.org")
    for one in (reviewer, second):
        draw = draw_for(one, Reason.FLAGGED)
        assert (draw.patch, draw.reason) == (new, "flagged")
        services.answer_draw(draw=draw, reviewer=one, answer=Answer.POSITIVE)
    assert draw_for(make_reviewer("third@example.org"), Reason.FLAGGED).patch == old


def test_the_doubtful_are_those_nearest_to_the_threshold(owner: User, reviewer: User) -> None:
    sure, near, nearest = answered(owner, 0.99, 0.6, 0.47)
    assert [draw_for(reviewer, Reason.DOUBTFUL).patch for _ in range(3)] == [nearest, near, sure]


def test_what_models_disagree_about_is_asked(owner: User, reviewer: User, model_version: ModelVersion) -> None:
    agreed, disputed = answered(owner, 0.9, 0.9)
    other = ModelVersion.objects.create(version="other-1", sha256="0" * 64, card=model_version.card)
    for patch, probability in ((agreed, 0.8), (disputed, 0.2)):
        second = prediction_services.ask(patch=patch, model_version=other, actor=owner)
        answer(second, probability)
    assert draw_for(reviewer, Reason.DISAGREEING).patch == disputed
    assert Draw.objects.get().reason == "disagreeing"
    Prediction.objects.filter(model_version=other).update(purpose=Purpose.SHADOW)
    assert draw_for(make_reviewer("second@example.org"), Reason.DISAGREEING).patch == disputed


def test_what_two_reviewers_disagree_about_is_asked_of_a_third_and_no_fourth(owner: User, reviewer: User) -> None:
    answered(owner, 0.9)
    (disputed,) = answered(owner, 0.9, first_seed=10)
    people = [reviewer, *(make_reviewer(f"{name}@example.org") for name in ("second", "third", "fourth"))]
    for person, what in zip(people[:3], (Answer.POSITIVE, Answer.NEGATIVE, Answer.POSITIVE), strict=True):
        if person == people[2]:
            draw = draw_for(person, Reason.DISAGREEING)
            assert (draw.patch, draw.reason) == (disputed, "disagreeing")
        else:
            draw = Draw.objects.create(reviewer=person, patch=disputed, reason=Reason.DOUBTFUL)
        services.answer_draw(draw=draw, reviewer=person, answer=what)
    assert drawing._draw(people[3], [Reason.DISAGREEING]) is None


@pytest.mark.parametrize("change", ["private", "hidden", "waiting", "drawn example", "own"])
def test_what_may_not_be_asked_is_not_asked(change: str, owner: User, reviewer: User, staff: User) -> None:
    if change == "own":
        answered(reviewer, 0.9)
    elif change == "waiting":
        submit_drawn(owner, 1, visibility=Visibility.PUBLIC)
    elif change == "drawn example":
        from ml.images import decode_patch

        file = ReceivedFile("0.png", patch=decode_patch(example_png(0)))
        prediction_services.submit(owner=owner, files=[file], visibility=Visibility.PUBLIC, source=Source.WEB)
        answer(Prediction.objects.get(), 0.9)
    else:
        (patch,) = answered(owner, 0.9)
        if change == "private":
            prediction_services.set_visibility(patch=patch, actor=owner, visibility=Visibility.PRIVATE)
        else:
            prediction_services.hide(patch=patch, actor=staff)
    assert services.next_draws(reviewer=reviewer) == []


def test_a_private_patch_is_asked_about_only_with_its_owners_leave(owner: User, reviewer: User) -> None:
    (patch,) = answered(owner, 0.9)
    prediction_services.set_visibility(patch=patch, actor=owner, visibility=Visibility.PRIVATE)
    prediction_services.allow_review(patch=patch, actor=owner, is_allowed=True)
    assert asked(reviewer).patch == patch
    prediction_services.allow_review(patch=patch, actor=owner, is_allowed=False)
    assert services.next_draws(reviewer=reviewer) == []
    assert not Draw.objects.exists()


def test_only_reviewers_and_staff_are_asked(owner: User, stranger: User, staff: User) -> None:
    answered(owner, 0.9)
    assert services.next_draws(reviewer=stranger) == []
    assert len(services.next_draws(reviewer=staff)) == 1
    User.objects.filter(pk=staff.pk).update(is_active=False)
    assert services.next_draws(reviewer=User.objects.get(pk=staff.pk)) == []


def test_a_draw_needs_a_bounded_number_of_queries(
    owner: User, reviewer: User, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    answered(owner, *(number / 30 for number in range(30)))
    for _ in range(5):
        say(reviewer)
    with django_assert_max_num_queries(26):
        services.next_draws(reviewer=reviewer)
    with django_assert_max_num_queries(7):
        services.next_draws(reviewer=reviewer)


def test_a_skip_is_for_good_and_counted(owner: User, reviewer: User) -> None:
    answered(owner, 0.9)
    draw = asked(reviewer)
    for _ in range(2):
        services.skip_draw(draw=draw, reviewer=reviewer)
    draw.refresh_from_db()
    assert (draw.outcome, Review.objects.count()) == (Outcome.SKIPPED, 0)
    assert services.next_draws(reviewer=reviewer) == []
