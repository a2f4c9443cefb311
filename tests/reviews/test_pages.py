"""The reviewers' pages: blind until the answer, and for whom they are."""

from __future__ import annotations

import re
from uuid import uuid4

import pytest
from django.contrib.auth.models import AnonymousUser
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from accounts.models import User
from predictions import services as prediction_services
from predictions.models import Event, ModelVersion, Patch, Prediction, Visibility
from reviews import services
from reviews.models import Answer, Draw, GroundTruth, Review
from tests.factories import answer, make_reviewer, submit_drawn
from tests.reviews.people import answered, asked, flag, say

pytestmark = pytest.mark.usefixtures("model_version")


@pytest.fixture
def signed_in(client: Client, reviewer: User) -> Client:
    client.force_login(reviewer)
    return client


def test_the_question_says_nothing_of_any_model_or_person(
    signed_in: Client, owner: User, model_version: ModelVersion
) -> None:
    first, second = answered(owner, 0.8765, 0.8765)
    for patch in (first, second):
        flag(patch, "blurred", "unlike")
        services.review_patch(
            patch=patch, reviewer=make_reviewer(f"{patch.pk}@example.org"), answer=Answer.NEGATIVE, comment="said"
        )
    response = signed_in.get(reverse("reviews:next"))
    page = response.content.decode()
    draws = [str(uuid) for uuid in Draw.objects.filter(outcome="open").values_list("uuid", flat=True)]
    assert len(draws) == 2
    assert set(re.findall(r"[0-9a-f]{8}-[0-9a-f-]{27}", page)) == set(draws)
    hidden = [
        "87", "0.8", "blurred", "unlike", "warning", "said", model_version.version, owner.email, first.sha256,
        second.sha256, "drawn-", "heatmap", "verdict", "probability",
    ]  # fmt: skip
    known = r'name="csrfmiddlewaretoken" value="\w+"|(href|src)="/static/[^"]+"|[0-9a-f]{8}-[0-9a-f-]{27}'
    main = re.sub(known, "", page[page.index("<main") :])
    assert [word for word in hidden if word in main] == []
    assert "no-store" in response["Cache-Control"]


def test_the_picture_comes_by_the_draw_and_its_headers_lead_nowhere(signed_in: Client, owner: User) -> None:
    (patch,) = answered(owner, 0.9)
    signed_in.get(reverse("reviews:next"))
    draw = Draw.objects.get()
    response = signed_in.get(reverse("reviews:image", args=[draw.uuid]))
    assert (response.status_code, response.content) == (200, patch.image.png())
    assert (response["ETag"], response["Cache-Control"]) == (f'"{draw.uuid}"', "private, no-cache")
    assert patch.sha256 not in str(response.headers)


def test_a_private_patch_opens_to_its_reviewer_after_the_answer_and_to_no_other(owner: User, reviewer: User) -> None:
    (patch,) = answered(owner, 0.9)
    other = make_reviewer("other@example.org")
    prediction_services.set_visibility(patch=patch, actor=owner, visibility=Visibility.PRIVATE)
    prediction_services.allow_review(patch=patch, actor=owner, is_allowed=True)
    asked(reviewer)
    assert not Patch.objects.visible_to(reviewer).exists()
    say(reviewer)
    seen = {person: Patch.objects.visible_to(person).count() for person in (reviewer, other, AnonymousUser())}
    assert seen == {reviewer: 1, other: 0, AnonymousUser(): 0}
    prediction_services.allow_review(patch=patch, actor=owner, is_allowed=False)
    assert not Patch.objects.visible_to(reviewer).exists()


def test_an_answer_opens_what_the_models_say(signed_in: Client, owner: User, model_version: ModelVersion) -> None:
    (patch,) = answered(owner, 0.8777)
    signed_in.get(reverse("reviews:next"))
    sent = {"answer": "negative", "comment": "<b>fat</b>"}
    response = signed_in.post(reverse("reviews:answer", args=[Draw.objects.get().uuid]), sent)
    review = Review.objects.get()
    assert response["Location"] == review.get_absolute_url()
    page = signed_in.get(response["Location"]).content.decode()
    assert "You said: <strong>no IDC</strong>" in page
    assert f"{model_version.version} says <strong>positive</strong>: 87.8\N{NO-BREAK SPACE}%" in page
    assert "disagrees with you" in page
    assert "&lt;b&gt;fat&lt;/b&gt;" in page
    assert Prediction.objects.get(patch=patch).get_absolute_url() in page


def test_a_bad_answer_stays_on_the_question(signed_in: Client, owner: User) -> None:
    answered(owner, 0.9)
    signed_in.get(reverse("reviews:next"))
    address = reverse("reviews:answer", args=[Draw.objects.get().uuid])
    for sent in ({}, {"answer": "cancer"}, {"answer": "positive", "comment": "x" * 1001},
                 {"answer": "positive", "comment": "a\x00b"}):  # fmt: skip
        response = signed_in.post(address, sent)
        assert (response.status_code, "There is a problem" in response.content.decode()) == (400, True)
    assert not Review.objects.exists()


def test_skip_leads_on_and_an_empty_queue_says_so(signed_in: Client, owner: User) -> None:
    answered(owner, 0.9)
    signed_in.get(reverse("reviews:next"))
    draw = Draw.objects.get()
    response = signed_in.post(reverse("reviews:skip", args=[draw.uuid]), follow=True)
    assert "Nothing to review" in response.content.decode()
    refused = signed_in.post(reverse("reviews:answer", args=[draw.uuid]), {"answer": "positive"}, follow=True)
    assert "You have skipped this patch" in refused.content.decode()
    assert "You have reviewed 0 patches.\n" in signed_in.get(reverse("reviews:home")).content.decode()


def test_a_review_is_changed_on_its_page(signed_in: Client, owner: User, reviewer: User) -> None:
    answered(owner, 0.9)
    review = say(reviewer, Answer.NEGATIVE)
    address = review.get_absolute_url()
    assert signed_in.post(address, {"answer": "maybe"}).status_code == 400
    page = signed_in.post(address, {"answer": "positive", "comment": ""}, follow=True).content.decode()
    assert "You said: <strong>IDC</strong>" in page
    assert "(at first: no IDC)" in page
    assert "· agrees with you" in page


def test_my_reviews_are_mine_and_closed_patches_show_no_picture(signed_in: Client, owner: User, reviewer: User) -> None:
    answered(owner, 0.9, 0.8)
    kept, closed = say(reviewer), say(reviewer)
    other = make_reviewer("other@example.org")
    theirs = services.review_patch(patch=kept.patch, reviewer=other, answer=Answer.UNSURE)
    prediction_services.set_visibility(patch=closed.patch, actor=owner, visibility=Visibility.PRIVATE)
    page = signed_in.get(reverse("reviews:mine")).content.decode()
    assert re.findall(r"/reviews/mine/([0-9a-f-]{36})/", page) == [str(closed.uuid), str(kept.uuid)]
    assert str(theirs.uuid) not in page
    assert re.findall(r"/reviews/([0-9a-f-]{36})/image", page) == [str(kept.draw.uuid)]
    page = signed_in.get(closed.get_absolute_url()).content.decode()
    assert "not open to reviewers any more" in page
    assert "says <strong>" not in page
    assert signed_in.get(reverse("reviews:image", args=[closed.draw.uuid])).status_code == 404


READERS = ("anonymous", "stranger", "reviewer", "staff")
ROLE_PAGES = ("reviews:next", "reviews:mine", "reviews:evidence")


@pytest.mark.parametrize("reader", READERS)
def test_who_may_open_the_pages_of_the_role(
    reader: str, client: Client, owner: User, stranger: User, reviewer: User, staff: User, model_version: ModelVersion
) -> None:
    answered(owner, 0.9)
    people = {"stranger": stranger, "reviewer": reviewer, "staff": staff}
    if reader in people:
        client.force_login(people[reader])
    version = model_version.version
    addresses = [
        *(reverse(name) for name in ROLE_PAGES),
        reverse("evidence", args=[version]),
        reverse("evidence-csv", args=[version, "random"]),
        reverse("evidence-chart", args=[version, "calibration", "light"]),
    ]
    expected = {"anonymous": 302, "stranger": 403}.get(reader, 200)
    assert {client.get(address).status_code for address in addresses} == {expected}
    assert client.get(reverse("reviews:home")).status_code == (302 if reader == "anonymous" else 200)


@pytest.mark.parametrize("reader", READERS)
def test_a_draw_and_a_review_are_for_whom_they_were_made(
    reader: str, client: Client, owner: User, stranger: User, staff: User
) -> None:
    answered(owner, 0.9, 0.8)
    theirs = make_reviewer("theirs@example.org")
    review, draw = say(theirs), asked(theirs)
    people = {"stranger": stranger, "reviewer": make_reviewer("mine@example.org"), "staff": staff}
    if reader in people:
        client.force_login(people[reader])
    expected = {"anonymous": 302, "stranger": 403}.get(reader, 404)
    unknown = uuid4()
    for method, name, subject in (
        ("get", "image", draw.uuid),
        ("get", "image", review.draw.uuid),
        ("post", "answer", draw.uuid),
        ("post", "skip", draw.uuid),
        ("get", "review", review.uuid),
        ("post", "review", review.uuid),
    ):
        response = getattr(client, method)(reverse(f"reviews:{name}", args=[subject]), {"answer": "negative"})
        assert response.status_code == expected, name
        if expected == 404:
            other = getattr(client, method)(reverse(f"reviews:{name}", args=[unknown]), {"answer": "negative"})
            assert (other.status_code, other.content) == (404, response.content)
    review.refresh_from_db()
    draw.refresh_from_db()
    assert (review.answer, draw.outcome, Review.objects.count()) == ("positive", "open", 1)


@pytest.mark.parametrize("name", ["answer", "skip"])
def test_writes_are_posts(signed_in: Client, name: str) -> None:
    assert signed_in.get(reverse(f"reviews:{name}", args=[uuid4()])).status_code == 405


def test_the_result_counts_reviews_without_names_and_the_gallery_marks_them(
    client: Client, owner: User, reviewer: User, staff: User
) -> None:
    answered(owner, 0.9)
    address = Prediction.objects.get().get_absolute_url()
    assert "Reviewed" not in client.get(address).content.decode()
    assert "tag-reviewed" not in client.get(reverse("gallery")).content.decode()
    say(reviewer, Answer.POSITIVE)
    say(staff, Answer.UNSURE)
    page = client.get(address).content.decode()
    assert re.search(r"2 reviewers:\s+1 × IDC,\s+1 × unsure", page)
    assert "reviewer@example.org" not in page
    assert "tag-reviewed" in client.get(reverse("gallery")).content.decode()


def test_owners_open_a_private_patch_to_reviewers_on_its_page(client: Client, owner: User, stranger: User) -> None:
    (prediction,) = submit_drawn(owner, 1)
    answer(prediction)
    address = reverse("predictions:review", args=[prediction.uuid])
    client.force_login(stranger)
    assert client.post(address, {"review": "allowed"}).status_code == 404
    client.force_login(owner)
    assert "Let reviewers look at this patch" in client.get(prediction.get_absolute_url()).content.decode()
    assert client.post(address, {"review": "perhaps"}).status_code == 404
    page = client.post(address, {"review": "allowed"}, follow=True).content.decode()
    assert "Reviewers may look at this patch now." in page
    assert "Close it to reviewers" in page
    assert Patch.objects.get().allows_review
    client.post(address, {"review": "ended"})
    assert not Patch.objects.get().allows_review
    kinds = Event.objects.filter(actor=owner, kind__startswith="review").values_list("kind", flat=True)
    assert list(kinds.order_by("pk")) == ["review_allowed", "review_ended"]


def test_owners_state_the_truth_and_their_source_is_not_for_everyone(
    client: Client, owner: User, stranger: User, staff: User
) -> None:
    answered(owner, 0.9)
    prediction = Prediction.objects.get()
    address = reverse("reviews:ground-truth", args=[prediction.uuid])
    client.force_login(stranger)
    assert client.post(address, {"answer": "positive"}).status_code == 404
    client.force_login(owner)
    for bad in ({"answer": "unsure"}, {}, {"answer": "positive", "source": "x" * 201}):
        assert "Say whether it is IDC" in client.post(address, bad, follow=True).content.decode()
    client.post(address, {"answer": "positive", "source": "<i>biopsy</i>"})
    assert GroundTruth.objects.get().answer == "positive"
    shown = {}
    for person in (owner, staff, stranger):
        client.force_login(person)
        page = client.get(prediction.get_absolute_url()).content.decode()
        assert "Its owner states" in page
        shown[person] = "&lt;i&gt;biopsy&lt;/i&gt;" in page
    assert shown == {owner: True, staff: True, stranger: False}
    client.force_login(owner)
    client.post(address, {"answer": "none"})
    assert not GroundTruth.objects.exists()


def test_every_page_needs_a_fixed_number_of_queries(
    signed_in: Client, owner: User, reviewer: User, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    answered(owner, *(number / 40 for number in range(40)))
    reviews = [say(reviewer) for _ in range(30)]
    services.count_weeks()
    signed_in.get(reverse("reviews:next"))
    limits = {
        reverse("reviews:home"): 5,
        reverse("reviews:next"): 12,
        reverse("reviews:mine"): 6,
        reviews[0].get_absolute_url(): 9,
        reverse("reviews:evidence"): 8,
        Prediction.objects.first().get_absolute_url(): 12,  # type: ignore[union-attr]  # there are forty
    }
    for address, limit in limits.items():
        with django_assert_max_num_queries(limit):
            assert signed_in.get(address).status_code == 200
    signed_in.force_login(owner)
    with django_assert_max_num_queries(8):
        signed_in.get(reverse("gallery"))


def test_staff_who_open_pages_and_pictures_of_a_private_patch_leave_one_event(
    client: Client, owner: User, staff: User
) -> None:
    (prediction,) = submit_drawn(owner, 1)
    answer(prediction)
    client.force_login(staff)
    for name in ("predictions:detail", "predictions:image", "predictions:status", "api:prediction", "api:image"):
        client.get(reverse(name, args=[prediction.uuid]))
    opened = Event.objects.filter(kind="opened").values_list("actor", "subject")
    assert list(opened) == [(staff.pk, str(prediction.patch.uuid))]
    Event.objects.filter(kind="opened").delete()
    client.get(reverse("predictions:image", args=[prediction.uuid]))
    assert opened.count() == 1
    client.force_login(owner)
    client.get(prediction.get_absolute_url())
    assert opened.count() == 1


@pytest.mark.parametrize("query", [{"cursor": "nonsense"}, {"cursor": "cD1hYmM="}, {"limit": "-5"}])
def test_odd_queries_never_break_my_reviews(signed_in: Client, query: dict[str, str]) -> None:
    assert signed_in.get(reverse("reviews:mine"), query).status_code in (200, 404)
