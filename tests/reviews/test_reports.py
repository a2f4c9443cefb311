"""Reports: who may send one, what it does at once, what staff make of it; and that the hidden is gone everywhere."""

from __future__ import annotations

import re
from threading import Thread
from typing import Any
from uuid import uuid4

import pytest
from allauth.account.models import EmailAddress
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import User
from predictions import services as patches
from predictions.exceptions import ServiceError
from predictions.models import Batch, Event, Patch, Prediction, Visibility
from reviews import services
from reviews.exceptions import AlreadySettled, NotReportable, TooManyReports
from reviews.models import Report, ReportReason
from reviews.services import reports as report_service
from tests.api.test_predictions_api import NOT_FOUND
from tests.factories import answer, make_reviewer, make_token, make_user, submit_drawn

PERSONAL = ReportReason.PERSONAL_DATA


@pytest.fixture
def shared(model_version: Any, owner: User) -> Prediction:
    return answer(submit_drawn(owner, 1, visibility=Visibility.PUBLIC)[0], 0.75)


def is_hidden(prediction: Prediction) -> bool:
    return Patch.objects.get(pk=prediction.patch_id).hidden_at is not None


def events(prediction: Prediction) -> list[Any]:
    of_patch = Event.objects.filter(subject=str(prediction.patch.uuid)).order_by("pk")
    return list(of_patch.values_list("kind", "actor__email", "payload"))


def test_a_report_waits_for_staff_and_sent_twice_is_one(shared: Prediction, stranger: User) -> None:
    made = services.report(patch=shared.patch, reporter=stranger, reason=ReportReason.OFFENSIVE, comment="Look.")
    again = services.report(patch=shared.patch, reporter=stranger, reason=ReportReason.OTHER)
    assert (made.pk, made.outcome, made.comment, made.has_hidden) == (again.pk, "open", "Look.", False)
    assert events(shared) == [("reported", "stranger@example.org", {"reason": "offensive"})]
    assert not is_hidden(shared)


def test_personal_data_hides_what_the_same_person_reported_for_less(shared: Prediction, stranger: User) -> None:
    first = services.report(patch=shared.patch, reporter=stranger, reason=ReportReason.OTHER, comment="Look.")
    assert not is_hidden(shared)
    graver = services.report(patch=shared.patch, reporter=stranger, reason=PERSONAL, comment="A name!")
    again = services.report(patch=shared.patch, reporter=stranger, reason=ReportReason.OTHER)
    expected = (first.pk, "personal_data", "A name!\nLook.", "open", True)
    for found in (graver, again):
        assert (found.pk, found.reason, found.comment, found.outcome, found.has_hidden) == expected
    assert is_hidden(shared)
    assert events(shared) == [
        ("reported", "stranger@example.org", {"reason": "other"}),
        ("reported", "stranger@example.org", {"reason": "personal_data"}),
        ("hidden", "stranger@example.org", {}),
    ]


def test_what_turns_out_to_be_personal_data_is_no_report_more_of_the_day(
    shared: Prediction, stranger: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_service, "REPORTS_PER_DAY", 1)
    services.report(patch=shared.patch, reporter=stranger, reason=ReportReason.OTHER)
    assert services.report(patch=shared.patch, reporter=stranger, reason=PERSONAL).has_hidden
    assert is_hidden(shared)


@pytest.mark.parametrize("reason", ReportReason)
def test_only_personal_data_is_hidden_before_staff_look_however_many_report(
    shared: Prediction, reason: ReportReason
) -> None:
    for number in range(5):
        made = None
        if not is_hidden(shared):
            reporter = make_user(f"reporter{number}@example.org")
            made = services.report(patch=shared.patch, reporter=reporter, reason=reason)
        assert made is None or made.has_hidden == (reason == PERSONAL)
    assert is_hidden(shared) == (reason == PERSONAL)


@pytest.mark.parametrize("who", ["owner", "private", "hidden"])
def test_what_is_not_shared_by_others_cannot_be_reported(
    shared: Prediction, owner: User, stranger: User, staff: User, who: str
) -> None:
    if who == "private":
        patches.set_visibility(patch=shared.patch, actor=owner, visibility=Visibility.PRIVATE)
    elif who == "hidden":
        patches.hide(patch=shared.patch, actor=staff)
    reporter = owner if who == "owner" else stranger
    with pytest.raises(NotReportable):
        services.report(patch=shared.patch, reporter=reporter, reason=ReportReason.OTHER)
    client = Client()
    client.force_login(reporter)
    for address in (reverse("reviews:report", args=[shared.uuid]), reverse("reviews:report", args=[uuid4()])):
        assert client.get(address).status_code == 404
        assert client.post(address, {"reason": "other"}).status_code == 404
    assert not Report.objects.exists()


def test_one_person_reports_only_so_many_a_day(
    owner: User, stranger: User, model_version: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_service, "REPORTS_PER_DAY", 2)
    rows = submit_drawn(owner, 1, 2, 3, visibility=Visibility.PUBLIC)
    for row in rows[:2]:
        services.report(patch=row.patch, reporter=stranger, reason=ReportReason.OTHER)
    with pytest.raises(TooManyReports):
        services.report(patch=rows[2].patch, reporter=stranger, reason=ReportReason.OTHER)


def test_hiding_settles_all_reports_of_the_patch(shared: Prediction, stranger: User, staff: User) -> None:
    first = services.report(patch=shared.patch, reporter=stranger, reason=ReportReason.OTHER)
    second = services.report(patch=shared.patch, reporter=make_user("b@example.org"), reason=ReportReason.NOT_TISSUE)
    services.hide_reported(report=first, actor=staff)
    for one in (first, second):
        one.refresh_from_db()
        assert (one.outcome, one.settled_by, one.settled_at is None) == ("hidden", staff, False)
        with pytest.raises(AlreadySettled):
            services.dismiss_report(report=one, actor=staff)
    assert is_hidden(shared)
    assert [kind for kind, *_ in events(shared)] == ["reported", "reported", "report_settled", "hidden"]


def test_a_dismissed_report_shows_again_what_it_hid_and_its_sender_is_not_believed_at_once(
    shared: Prediction, owner: User, stranger: User, staff: User
) -> None:
    made = services.report(patch=shared.patch, reporter=stranger, reason=PERSONAL)
    assert is_hidden(shared)
    services.dismiss_report(report=made, actor=staff)
    assert not is_hidden(shared)
    assert [kind for kind, *_ in events(shared)] == ["reported", "hidden", "report_settled", "shown_again"]
    # Staff found nothing in it: nobody's word hides this patch again, nor this sender's word another.
    assert not services.report(patch=shared.patch, reporter=make_user("b@example.org"), reason=PERSONAL).has_hidden
    (other,) = submit_drawn(owner, 2, visibility=Visibility.PUBLIC)
    assert not services.report(patch=other.patch, reporter=stranger, reason=PERSONAL).has_hidden
    assert not is_hidden(shared)


def test_dismissing_one_report_shows_nothing_that_staff_have_hidden_for_another(
    shared: Prediction, stranger: User, staff: User
) -> None:
    offensive = services.report(patch=shared.patch, reporter=make_user("b@example.org"), reason=ReportReason.OFFENSIVE)
    services.report(patch=shared.patch, reporter=stranger, reason=PERSONAL)
    services.hide_reported(report=offensive, actor=staff)
    assert is_hidden(shared)
    assert not Report.objects.open().exists()


@pytest.mark.parametrize("is_verified", [False, True])
def test_a_new_account_hides_nothing_by_itself_unless_its_address_is_confirmed(
    shared: Prediction, is_verified: bool
) -> None:
    newcomer = make_user("new@example.org", date_joined=timezone.now())
    EmailAddress.objects.create(user=newcomer, email=newcomer.email, verified=is_verified, primary=True)
    made = services.report(patch=shared.patch, reporter=newcomer, reason=PERSONAL)
    assert (made.outcome, made.has_hidden, is_hidden(shared)) == ("open", is_verified, is_verified)


def test_all_users_together_hide_only_so_many_an_hour(
    owner: User, model_version: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_service, "HIDES_PER_HOUR", 2)
    rows = submit_drawn(owner, 1, 2, 3, visibility=Visibility.PUBLIC)
    for number, row in enumerate(rows):
        reporter = make_user(f"reporter{number}@example.org")
        services.report(patch=row.patch, reporter=reporter, reason=PERSONAL)
    assert [is_hidden(row) for row in rows] == [True, True, False]
    assert Report.objects.open().count() == 3
    Report.objects.update(created_at=timezone.now() - report_service.HOUR)
    late = services.report(patch=rows[2].patch, reporter=make_user("late@example.org"), reason=PERSONAL)
    assert late.has_hidden


def test_what_staff_hid_stays_hidden_when_the_report_that_hid_it_first_is_dismissed(
    shared: Prediction, stranger: User, staff: User
) -> None:
    made = services.report(patch=shared.patch, reporter=stranger, reason=PERSONAL)
    for _ in range(2):
        patches.hide(patch=shared.patch, actor=staff)
    services.dismiss_report(report=made, actor=staff)
    assert is_hidden(shared)
    assert [(kind, who) for kind, who, _ in events(shared)] == [
        ("reported", "stranger@example.org"), ("hidden", "stranger@example.org"), ("hidden", staff.email),
        ("report_settled", staff.email),
    ]  # fmt: skip


def test_to_admit_a_patch_dismisses_its_reports(shared: Prediction, stranger: User, staff: User) -> None:
    made = services.report(patch=shared.patch, reporter=stranger, reason=PERSONAL)
    patches.admit(patch=shared.patch, actor=staff)
    made.refresh_from_db()
    assert (made.outcome, made.settled_by, is_hidden(shared)) == ("dismissed", staff, False)
    patches.hide(patch=shared.patch, actor=staff)
    with pytest.raises(AlreadySettled):
        services.dismiss_report(report=made, actor=staff)
    assert is_hidden(shared)


@pytest.mark.django_db(transaction=True)
def test_pressing_at_once_is_once(model_version: Any) -> None:
    owner, reporter, staff = (make_user(f"{name}@example.org") for name in ("owner", "reporter", "staff"))
    (row,) = submit_drawn(owner, 1, visibility=Visibility.PUBLIC)

    def at_once(call: Any) -> None:
        def run() -> None:
            try:
                call()
            except ServiceError:
                pass
            finally:
                connection.close()

        threads = [Thread(target=run) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    at_once(lambda: services.report(patch=row.patch, reporter=reporter, reason=PERSONAL))
    made = Report.objects.get()
    at_once(lambda: services.dismiss_report(report=made, actor=staff))
    assert [kind for kind, *_ in events(row)] == ["reported", "hidden", "report_settled", "shown_again"]


def test_the_form_leads_there_and_back(client: Client, shared: Prediction, owner: User, stranger: User) -> None:
    address = reverse("reviews:report", args=[shared.uuid])
    assert "Log in to report this patch" in client.get(shared.get_absolute_url()).content.decode()
    assert client.get(address)["Location"] == f"{reverse('account_login')}?next={address}"
    client.force_login(owner)
    assert address not in client.get(shared.get_absolute_url()).content.decode()
    client.force_login(stranger)
    assert address in client.get(shared.get_absolute_url()).content.decode()
    page = client.get(address).content.decode()
    assert "personal data" in page
    assert "owner@example.org" not in page
    for sent in ({}, {"reason": "boring"}, {"reason": "other", "comment": "x" * 501}, {"reason": "other\0"}):
        assert client.post(address, sent).status_code == 400
    done = client.post(address, {"reason": "misleading", "comment": "<script>"}, follow=True)
    assert "Thank you. Staff will look at this patch." in done.content.decode()
    assert Report.objects.get().comment == "<script>"
    hidden = client.post(reverse("reviews:report", args=[shared.uuid]), {"reason": "personal_data"}, follow=True)
    assert "Thank you." in hidden.content.decode()  # one report of each: the first stands


def test_over_the_api_an_owner_is_told_that_a_report_is_not_for_them(shared: Prediction, owner: User) -> None:
    client = Client(headers={"Authorization": f"Bearer {make_token(owner)}"})
    for identity, message in (
        (shared.uuid, "What others share can be reported, nothing else."),
        (uuid4(), NOT_FOUND["error"]["message"]),
    ):
        body = {"reason": "other"}
        refused = client.post(f"/api/v1/gallery/{identity}/reports/", body, content_type="application/json")
        assert (refused.status_code, refused.json()) == (404, {"error": {"code": "not_found", "message": message}})


def test_reports_over_the_api(shared: Prediction, stranger: User) -> None:
    client = Client(headers={"Authorization": f"Bearer {make_token(stranger)}"})
    address = f"/api/v1/gallery/{shared.uuid}/reports/"
    for body in (
        {},
        {"reason": "boring"},
        {"reason": "other", "comment": 7},
        {"reason": "other", "comment": "x" * 501},
    ):
        assert client.post(address, body, content_type="application/json").status_code == 400
    response = client.post(address, {"reason": "personal_data"}, content_type="application/json")
    made = Report.objects.get()
    created = made.created_at.isoformat().replace("+00:00", "Z")
    assert (response.status_code, response.json()) == (
        201, {"id": str(made.uuid), "reason": "personal_data", "comment": "", "created_at": created}
    )  # fmt: skip
    assert client.post(address, {"reason": "other"}, content_type="application/json").status_code == 404


def test_staff_see_open_reports_first_and_settle_them(
    client: Client, owner: User, staff: User, model_version: Any, django_assert_max_num_queries: Any
) -> None:
    rows = [answer(row) for row in submit_drawn(owner, *range(12), visibility=Visibility.PUBLIC)]
    made = [
        services.report(patch=row.patch, reporter=make_user(f"r{number}@example.org"), reason=ReportReason.OTHER)
        for number, row in enumerate(rows)
    ]
    services.report(patch=rows[0].patch, reporter=make_user("again@example.org"), reason=ReportReason.OFFENSIVE)
    services.dismiss_report(report=made[11], actor=staff)
    client.force_login(staff)
    address = reverse("admin:reviews_report_changelist")
    with django_assert_max_num_queries(9):
        page = client.get(address).content.decode()
    shown = re.findall(r"/admin/reviews/report/(\d+)/change", page)
    assert (len(shown), shown[-1]) == (13, str(made[11].pk))
    assert str(rows[0].uuid) in page
    selected = list(Report.objects.filter(patch__in=[rows[0].patch_id, rows[1].patch_id]).values_list("pk", flat=True))
    client.post(address, {"action": "hide", "_selected_action": selected})
    assert [is_hidden(row) for row in rows[:3]] == [True, True, False]
    assert set(Report.objects.filter(pk__in=selected).values_list("outcome", flat=True)) == {"hidden"}
    client.post(address, {"action": "dismiss", "_selected_action": [made[2].pk, made[0].pk]})
    assert (Report.objects.get(pk=made[2].pk).outcome, Report.objects.get(pk=made[0].pk).outcome) == (
        "dismissed", "hidden"
    )  # fmt: skip
    assert client.get(reverse("admin:reviews_report_change", args=[made[0].pk])).status_code == 200
    assert client.get(reverse("admin:reviews_report_add")).status_code == 403


def test_what_is_hidden_is_gone_everywhere_at_once(
    owner: User, stranger: User, staff: User, model_version: Any
) -> None:
    """Every route on which somebody else could meet the patch, before and after."""
    shared = answer(submit_drawn(owner, 1, visibility=Visibility.PUBLIC)[0], 0.75)
    reviewer = make_reviewer("reviewer@example.org")
    (draw,) = services.next_draws(reviewer=reviewer)
    signed_in, asked, api = Client(), Client(), Client(headers={"Authorization": f"Bearer {make_token(stranger)}"})
    signed_in.force_login(stranger)
    asked.force_login(reviewer)
    image = reverse("predictions:image", args=[shared.uuid])
    etag = signed_in.get(image)["ETag"]
    one, token = f"/api/v1/predictions/{shared.uuid}/", {"Authorization": f"Bearer {make_token(reviewer)}"}
    its_own = [
        *((client, reverse(f"predictions:{name}", args=[shared.uuid])) for client in (Client(), signed_in)
          for name in ("detail", "status", "image", "explanation")),
        (signed_in, reverse("reviews:report", args=[shared.uuid])),
        (api, one), (api, f"{one}image.png"),
        (asked, reverse("reviews:image", args=[draw.uuid])),
        (Client(headers={"If-None-Match": etag}), image),
        (Client(headers=token), f"/api/v1/reviews/draws/{draw.uuid}/image.png"),
    ]  # fmt: skip
    lists = [
        *((client, path) for client in (Client(), signed_in)
          for path in ("/", "/gallery/", "/gallery/?sort=likely", "/gallery/?label=positive", "/gallery/export.csv",
                       "/gallery/export.json", "/api/v1/gallery/", "/api/v1/gallery/?sort=doubtful")),
    ]  # fmt: skip

    def text(client: Client, path: str) -> str:
        response = client.get(path)
        assert response.status_code == 200
        return str(b"".join(response).decode())

    assert [client.get(path).status_code for client, path in its_own] == [*[200] * (len(its_own) - 2), 304, 200]
    assert [path for client, path in lists if str(shared.uuid) not in text(client, path)] == []
    assert str(draw.uuid) in text(asked, reverse("reviews:next"))

    services.report(patch=shared.patch, reporter=stranger, reason=PERSONAL)

    assert [(path, status) for client, path in its_own if (status := client.get(path).status_code) != 404] == []
    assert [path for client, path in lists if str(shared.uuid) in text(client, path)] == []
    assert str(draw.uuid) not in text(asked, reverse("reviews:next"))
    assert api.get("/api/v1/reviews/next/").status_code in (403, 404)
    # Its owner still finds it, and staff too.
    signed_in.force_login(owner)
    assert str(shared.uuid) in text(signed_in, reverse("predictions:history"))
    assert "hidden: only its owner and staff see it" in text(signed_in, shared.get_absolute_url())
    assert signed_in.get(reverse("batch", args=[Batch.objects.get().uuid])).status_code == 200
    signed_in.force_login(staff)
    assert signed_in.get(shared.get_absolute_url()).status_code == 200
