"""The trial page: who may, what it counts and shows, and what it lets staff decide."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from uuid import uuid4
from xml.etree import ElementTree as ET

import pytest
from django.contrib.auth.models import Permission
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from accounts.models import User
from predictions import services as predicting
from predictions.models import ModelVersion, Patch, Prediction, Run, Status, Visibility
from reviews import services
from reviews.comparison import Judged
from reviews.evidence import Share
from reviews.models import Answer, Draw, Reason
from reviews.trials import flips, judged_pairs, unjudged_pairs
from tests.factories import answer, fail, make_user, submit_drawn
from tests.reviews.trial import address, tried

pytestmark = pytest.mark.usefixtures("model_version")
P, N = Answer.POSITIVE, Answer.NEGATIVE


def review(person: User, patch: Patch, what: Answer, *, reason: Reason = Reason.RANDOM) -> None:
    draw = Draw.objects.create(reviewer=person, patch=patch, reason=reason, is_random=reason == Reason.RANDOM)
    services.answer_draw(draw=draw, reviewer=person, answer=what)


def numbers(found: Judged) -> list[tuple[int, int, int, int, int]]:
    return [(one.n, one.before, one.after, one.gained, one.lost) for one in found.changes]


def test_the_page_is_for_staff_with_permission(
    client: Client, owner: User, reviewer: User, other: ModelVersion
) -> None:
    helper = make_user("helper@example.org", is_staff=True)
    reads = [address("trial"), address("progress"), address("changed"), address("csv", "all")]
    reads.append(address("chart", "changes", "light"))
    run = predicting.start_shadow(model_version=other)
    writes = [address("start"), address("rerun"), address("activate"), address("stop", run.uuid)]
    for user, status in ((None, 302), (owner, 404), (reviewer, 404), (helper, 404)):
        if user:
            client.force_login(user)
        assert {client.get(one).status_code for one in reads} == {status}
        assert {client.post(one).status_code for one in writes} == {status}
    helper.user_permissions.add(Permission.objects.get(codename="view_modelversion"))
    assert {client.get(one).status_code for one in reads} == {200}
    assert {client.post(one).status_code for one in writes} == {404}
    assert "Start a shadow run" not in client.get(address("trial")).content.decode()
    assert {client.get(one).status_code for one in writes} == {405}
    assert client.get(reverse("trial:trial", args=["nothing"])).status_code == 404


def test_a_shadow_run_is_started_watched_and_stopped(
    signed_in: Client, staff: User, owner: User, other: ModelVersion
) -> None:
    for row in submit_drawn(owner, *range(4)):
        answer(row)
    assert "recent patches: at most" in signed_in.post(address("start"), {"recent": -1}, follow=True).content.decode()
    page = signed_in.post(address("start"), {"recent": 3}, follow=True).content.decode()
    run = Run.objects.get()
    assert (run.requested_by, run.compared_with) == (staff, ModelVersion.objects.active())
    assert f'hx-get="{address("progress")}"' in page
    assert "There is nothing to compare yet" in page
    assert "Start a shadow run" not in page
    predicting.advance_runs()
    first, second, _ = Prediction.objects.filter(model_version=other).order_by("pk")
    answer(first)
    fail(second)
    predicting.advance_runs()
    response = signed_in.get(address("progress"))
    assert "1 of 3 patches are answered, 1 failed. </p>" in " ".join(response.content.decode().split())
    assert "HX-Refresh" not in response.headers
    signed_in.post(address("stop", run.uuid))
    predicting.advance_runs()
    assert signed_in.get(address("progress")).headers["HX-Refresh"] == "true"
    assert "hx-get" not in signed_in.get(address("trial")).content.decode()
    assert "This run has ended." not in signed_in.post(address("stop", run.uuid), follow=True).content.decode()
    assert signed_in.post(address("stop", uuid4())).status_code == 404
    assert set(Prediction.objects.filter(model_version=other)) == {first, second}
    predicting.start_shadow(model_version=other, recent=3)  # what failed is asked again
    predicting.advance_runs()
    page = " ".join(signed_in.get(address("progress")).content.decode().split())
    assert "0 of 2 patches are answered, 0 failed. 1 more had been asked about before." in page


def test_gains_and_losses_by_share(
    owner: User, reviewer: User, model_version: ModelVersion, other: ModelVersion
) -> None:
    gained, lost, alarm, same, unseen, chosen = tried(
        owner, other, (0.1, 0.9), (0.9, 0.1), (0.2, 0.8), (0.9, 0.8), (0.1, 0.7), (0.9, 0.1)
    )
    for patch, what in ((gained, P), (lost, P), (alarm, N)):
        review(reviewer, patch, what)
    review(reviewer, same, P, reason=Reason.FLAGGED)
    review(reviewer, chosen, P, reason=Reason.CHOSEN)  # not blind: in no figure
    assert numbers(judged_pairs(other, model_version, Share.RANDOM)) == [
        (2, 1, 1, 1, 1),
        (1, 1, 0, 0, 1),
        (3, 2, 1, 1, 2),
    ]
    assert numbers(judged_pairs(other, model_version, Share.ALL))[0] == (3, 2, 2, 1, 1)
    services.state_truth(patch=unseen, owner=owner, answer=P)
    assert numbers(judged_pairs(other, model_version, Share.OWNERS)) == [
        (1, 0, 1, 1, 0),
        (0, 0, 0, 0, 0),
        (1, 0, 1, 1, 0),
    ]
    moved = unjudged_pairs(other, model_version)
    assert (moved.n, moved.to_positive, moved.to_negative) == (1, 1, 0)


def test_two_reviewers_of_one_patch_are_one_pair(
    owner: User, reviewer: User, staff: User, model_version: ModelVersion, other: ModelVersion
) -> None:
    (patch,) = tried(owner, other, (0.1, 0.9))
    review(reviewer, patch, P)
    review(staff, patch, P)
    assert numbers(judged_pairs(other, model_version, Share.ALL))[2] == (1, 0, 1, 1, 0)


def test_only_what_both_have_answered_is_compared(
    owner: User, model_version: ModelVersion, other: ModelVersion
) -> None:
    tried(owner, other, (0.1, 0.9), (0.1, 0.9))
    Prediction.objects.filter(pk=Prediction.objects.filter(model_version=other).latest("pk").pk).update(
        status=Status.QUEUED, probability=None, finished_at=None
    )
    answer(submit_drawn(owner, 50)[0])
    assert unjudged_pairs(other, model_version).n == 1


def test_flips_show_what_may_be_shown_and_count_the_rest(
    signed_in: Client, owner: User, staff: User, model_version: ModelVersion, other: ModelVersion
) -> None:
    public, same = tried(owner, other, (0.1, 0.9), (0.9, 0.8))
    private, open_to_reviewers, hidden = tried(
        owner, other, (0.9, 0.1), (0.9, 0.2), (0.1, 0.6), visibility=Visibility.PRIVATE
    )
    predicting.allow_review(patch=open_to_reviewers, actor=owner, is_allowed=True)
    predicting.set_visibility(patch=hidden, actor=owner, visibility=Visibility.PUBLIC)
    predicting.hide(patch=hidden, actor=staff)
    shown = flips(other, model_version, may_be_shown=True).order_by("pk")
    scores = [(one.patch_id, one.base_probability, one.probability) for one in shown]  # type: ignore[attr-defined]  # annotated
    assert scores == [
        (public.pk, 0.1, 0.9),
        (open_to_reviewers.pk, 0.9, 0.2),
    ]
    assert {one.patch for one in flips(other, model_version, may_be_shown=False)} == {private, hidden}
    page = " ".join(signed_in.get(address("changed")).content.decode().split())
    images = [reverse("predictions:image", args=[one.uuid]) for one in Prediction.objects.filter(model_version=other)]
    assert [patch for patch, image in zip((public, same, private, open_to_reviewers, hidden), images, strict=True)
            if image in page] == [public, open_to_reviewers]  # fmt: skip
    assert "2 more are private or hidden: they are counted, not shown." in page
    assert "10.0 % → 90.0 %" in page


def test_where_no_flip_may_be_shown_none_is_said_to_be_more(
    signed_in: Client, owner: User, model_version: ModelVersion, other: ModelVersion
) -> None:
    tried(owner, other, (0.9, 0.1), (0.1, 0.6), visibility=Visibility.PRIVATE)
    page = " ".join(signed_in.get(address("changed")).content.decode().split())
    assert "2 are private or hidden: they are counted, not shown." in page
    assert "No patch that may be shown flips." in page


@pytest.mark.parametrize("number", [3, 40])
def test_the_pages_cost_the_same_however_many_patches_there_are(
    number: int,
    signed_in: Client,
    owner: User,
    reviewer: User,
    other: ModelVersion,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    for patch in tried(owner, other, *[(0.1, 0.9)] * number)[::2]:
        review(reviewer, patch, P)
    signed_in.get(address("trial"))  # fills the cache of the content types
    for name, most in (("trial", 10), ("progress", 4), ("changed", 6)):
        with django_assert_num_queries(most, info=name):
            assert signed_in.get(address(name)).status_code == 200


def test_the_figures_are_on_the_page_in_the_csv_and_in_charts(
    signed_in: Client, owner: User, reviewer: User, other: ModelVersion
) -> None:
    for place, patch in enumerate(tried(owner, other, *[(0.1, 0.9)] * 12, *[(0.9, 0.2)] * 12)):
        if place != 23:
            review(reviewer, patch, P)
    page = " ".join(signed_in.get(address("trial")).content.decode().split())
    assert "23 patches count here. There is a definite answer for 23 of them, of 1 owner." in page
    assert "1, of 1 owner" in page
    assert "+0.043" in page
    assert '<th scope="row"> −1.0 to −0.8 </th>' in page
    rows = list(csv.DictReader(io.StringIO(signed_in.get(address("csv", "random")).content.decode())))
    assert {name: rows[1][name] for name in ("figure", "n", "before", "after", "gained", "lost", "p")} == {
        "figure": "sensitivity", "n": "23", "before": "11", "after": "12", "gained": "12", "lost": "11", "p": "1.0",
    }  # fmt: skip
    assert float(rows[1]["difference"]) == pytest.approx(1 / 23)
    assert [row["n"] for row in rows if row["figure"].startswith("shift of")] == ["0"] * 1 + ["1"] + ["0"] * 8
    for kind in ("changes", "shifts"):
        for scheme in ("light", "dark"):
            drawn = signed_in.get(address("chart", kind, scheme), {"share": "all"})
            assert drawn.headers["Content-Type"] == "image/svg+xml"
            assert drawn.headers["Content-Security-Policy"].startswith("default-src 'none'")
            ET.fromstring(drawn.content)
    for odd in (address("chart", "nothing", "light"), address("chart", "changes", "blue"), address("csv", "nothing")):
        assert signed_in.get(odd).status_code == 404
    assert signed_in.get(address("trial"), {"share": "nothing"}).status_code == 404


def test_a_chart_of_nothing_is_a_sentence(signed_in: Client, owner: User, reviewer: User, other: ModelVersion) -> None:
    def charts() -> list[bool]:
        page = signed_in.get(address("trial")).content.decode()
        assert (kinds["changes"] in page) != ("No difference can be drawn: too few patches" in page)
        assert (kinds["shifts"] in page) != ("No shift can be drawn: all patches that both have answered" in page)
        return [one in page for one in kinds.values()]

    kinds = {kind: address("chart", kind, "light") for kind in ("changes", "shifts")}
    patches = tried(owner, other, *[(0.1, 0.9)] * 10)
    assert charts() == [False, True]
    for patch in patches:
        review(reviewer, patch, P)
    assert charts() == [True, False]


def test_there_may_be_nothing_to_compare(signed_in: Client, model_version: ModelVersion) -> None:
    page = signed_in.get(reverse("trial:trial", args=[model_version.version])).content.decode()
    assert "no other was compared with it yet" in page
    assert signed_in.get(reverse("trial:changed", args=[model_version.version])).status_code == 404


def test_the_models_page_and_the_admin_lead_to_the_trial(
    signed_in: Client, other: ModelVersion, client: Client, owner: User
) -> None:
    leading = [reverse("model", args=["other-1"]), reverse("admin:predictions_modelversion_changelist")]
    assert all(address("trial") in signed_in.get(page).content.decode() for page in leading)
    client.force_login(owner)
    assert address("trial") not in client.get(leading[0]).content.decode()


def test_the_result_page_sets_the_models_side_by_side_and_shadows_before_staff_alone(
    client: Client, staff: User, owner: User, model_version: ModelVersion, other: ModelVersion
) -> None:
    (patch,) = tried(owner, other, (0.1, 0.9))
    assert patch.current_prediction
    result = patch.current_prediction.get_absolute_url()

    def see() -> str:
        return " ".join(client.get(result).content.decode().split())

    client.force_login(owner)
    assert "What each model says of this patch" not in see()
    client.force_login(staff)
    assert "shadow, for staff" in see()
    predicting.ask(patch=patch, model_version=other, actor=owner)
    client.force_login(owner)
    page = see()
    assert "What each model says of this patch" in page
    assert page.index("10.0 %") < page.index("90.0 %")
    assert "shadow" not in page


def test_operators_start_runs_by_command(
    owner: User, model_version: ModelVersion, other: ModelVersion, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("shadow", "other-1", recent=5)
    call_command("rerun", "--model", "other-1", "--since", "2026-11-24")
    call_command("rerun", "--model", model_version.version, "--all")
    assert list(Run.objects.order_by("pk").values_list("kind", "model_version__version", "since")) == [
        ("shadow", "other-1", None),
        ("rerun", "other-1", datetime(2026, 11, 24, tzinfo=UTC)),
        ("rerun", model_version.version, None),
    ]
    assert str(Run.objects.earliest("pk").uuid) in capsys.readouterr().out
    odd = (
        ["shadow", "nothing"],
        ["shadow", model_version.version],
        ["rerun", "--model", "nothing", "--all"],
        ["rerun", "--model", "other-1"],
        ["rerun", "--model", "other-1", "--since", "soon"],
    )
    for arguments in odd:
        with pytest.raises(CommandError):
            call_command(*arguments)
