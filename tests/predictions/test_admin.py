from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from accounts.models import ApiToken, User
from predictions import services
from predictions.admin import base
from predictions.models import Event, ModelVersion, Patch, Prediction, Priority, Run, Visibility
from tests.factories import answer, fail, make_user, submit_drawn

APPS = ("accounts", "predictions", "reviews", "webhooks")
pytestmark = pytest.mark.usefixtures("model_version")
# A token has no page of its own: tests/accounts/test_people_admin.py.
OURS = [model for model in admin.site._registry if model._meta.app_label in APPS and model is not ApiToken]


@pytest.fixture
def signed_in(client: Client, staff: User) -> Client:
    client.force_login(staff)
    return client


def act(client: Client, model: str, action: str, *rows: int) -> str:
    address = reverse(f"admin:predictions_{model}_changelist")
    sent = {"action": action, "_selected_action": list(rows), "confirmed": "yes"}
    response = client.post(address, sent, follow=True)
    assert response.status_code == 200
    return response.content.decode()


def test_users_patches_predictions_batches_versions_and_events_are_there() -> None:
    assert {model.__name__ for model in OURS} >= {"User", "Patch", "Prediction", "Batch", "ModelVersion", "Event"}


@pytest.mark.parametrize("model", OURS, ids=lambda model: model.__name__)
def test_every_list_and_row_opens_in_a_fixed_number_of_queries(
    model: type, signed_in: Client, owner: User, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for prediction in submit_drawn(owner, *range(30)):
        answer(prediction)
    name = model._meta.label_lower.replace(".", "_")  # type: ignore[attr-defined]  # every model has _meta
    with django_assert_max_num_queries(9):
        page = signed_in.get(reverse(f"admin:{name}_changelist"), {"q": "x"} if name.endswith("patch") else {})
    assert page.status_code == 200
    row = model._default_manager.first()  # type: ignore[attr-defined]  # and a manager
    if row:
        with django_assert_max_num_queries(16):  # opening a private one is written down
            assert signed_in.get(reverse(f"admin:{name}_change", args=[row.pk])).status_code == 200


@pytest.mark.parametrize("model", [model for model in OURS if model is not User], ids=lambda model: model.__name__)
def test_rows_are_read_only(model: type, signed_in: Client, owner: User) -> None:
    submit_drawn(owner, 1)
    name = model._meta.label_lower.replace(".", "_")  # type: ignore[attr-defined]  # every model has _meta
    assert signed_in.get(reverse(f"admin:{name}_add")).status_code == 403
    row = model._default_manager.first()  # type: ignore[attr-defined]  # and a manager
    if row:
        assert signed_in.post(reverse(f"admin:{name}_change", args=[row.pk]), {}).status_code == 403
        assert signed_in.post(reverse(f"admin:{name}_delete", args=[row.pk]), {"post": "yes"}).status_code == 403


def test_patches_show_thumbnails_and_are_found_by_id_and_owner(signed_in: Client, owner: User) -> None:
    first, second = submit_drawn(owner, 1, 2, visibility=Visibility.PUBLIC)
    address = reverse("admin:predictions_patch_changelist")
    page = signed_in.get(address, {"q": str(first.patch.uuid)}).content.decode()
    assert reverse("predictions:image", args=[first.uuid]) in page
    assert str(second.patch.uuid) not in page
    assert str(second.patch.uuid) in signed_in.get(address, {"q": "owner@example.org"}).content.decode()
    assert signed_in.get(reverse("predictions:image", args=[first.uuid])).status_code == 200


def test_lists_show_no_picture_of_a_private_patch_but_the_way_to_it(signed_in: Client, owner: User) -> None:
    (prediction,) = submit_drawn(owner, 1)
    for model in ("patch", "prediction"):
        page = signed_in.get(reverse(f"admin:predictions_{model}_changelist")).content.decode()
        assert reverse("predictions:image", args=[prediction.uuid]) not in page
        assert f'<a href="{prediction.get_absolute_url()}">private</a>' in page
    assert not Event.objects.filter(kind="opened").exists()


def test_hide_and_admit(signed_in: Client, owner: User, staff: User) -> None:
    prediction = answer(submit_drawn(owner, 1, visibility=Visibility.PUBLIC)[0])
    assert "1 row done." in act(signed_in, "patch", "hide", prediction.patch_id)
    assert not Patch.objects.in_gallery().exists()
    act(signed_in, "patch", "admit", prediction.patch_id)
    assert Patch.objects.in_gallery().get().admitted_by == staff
    assert list(Event.objects.filter(actor=staff).order_by("pk").values_list("kind", flat=True)) == [
        "hidden",
        "admitted",
    ]


def test_retry(signed_in: Client, owner: User) -> None:
    failed, waiting = submit_drawn(owner, 1, 2)
    fail(failed)
    assert "1 row done." in act(signed_in, "prediction", "retry", failed.pk, waiting.pk)
    assert list(Prediction.objects.values_list("status", flat=True).distinct()) == ["queued"]


@pytest.mark.parametrize(
    "address",
    [
        "accounts/user/?password__startswith=p",
        "accounts/apitoken/?digest__startswith=a",
        "predictions/patch/?original_name__startswith=a",
        "predictions/patch/?visibility__exact=%00",
        "accounts/user/?email=%00",
    ],
)
def test_only_the_filters_on_the_page_are_taken(signed_in: Client, address: str) -> None:
    assert signed_in.get(f"{reverse('admin:index')}{address}").status_code == 400


def test_the_history_of_a_row_is_its_events(signed_in: Client, owner: User, staff: User) -> None:
    (prediction,) = submit_drawn(owner, 1)
    services.hide(patch=prediction.patch, actor=staff)
    page = signed_in.get(reverse("admin:predictions_patch_history", args=[prediction.patch_id]), follow=True)
    assert page.request["PATH_INFO"] == reverse("admin:predictions_event_changelist")
    assert [event.kind for event in page.context["cl"].result_list] == ["opened", "hidden"]


def test_a_patch_and_its_answer_take_few_columns(signed_in: Client, owner: User) -> None:
    shared, waiting = submit_drawn(owner, 1, 2, visibility=Visibility.PUBLIC)
    answer(shared, 0.0004)
    services.hide(patch=waiting.patch, actor=owner)
    page = signed_in.get(reverse("admin:predictions_patch_changelist")).content.decode()
    shown = re.findall(r'<td class="field-(?:seen_by|answer|answered_by)[^"]*">([^<]*)</td>', page)
    model = shared.model_version.version
    assert shown == ["hidden", "waiting", model, "public", "negative <\xa00.1\xa0%".replace("<", "&lt;"), model]


def test_the_row_of_a_model_folds_its_card_away(signed_in: Client, model_version: ModelVersion) -> None:
    page = signed_in.get(reverse("admin:predictions_modelversion_change", args=[model_version.pk])).content.decode()
    before, _, folded = page.partition("<details")
    patient = model_version.card["data"]["train"]["patient_ids"][0]
    assert (patient in before, patient in folded) == (False, True)
    assert model_version.sha256 in before


def test_activate(signed_in: Client, staff: User, owner: User, model_version: ModelVersion) -> None:
    second = ModelVersion.objects.create(version="second", sha256="2" * 64, card=model_version.card)
    assert "Select exactly one" in act(signed_in, "modelversion", "activate", model_version.pk, second.pk)
    assert "finished no trial run" in act(signed_in, "modelversion", "activate", second.pk)
    assert ModelVersion.objects.active() == model_version
    answer(submit_drawn(owner, 1)[0])
    services.start_shadow(model_version=second)
    services.advance_runs()
    answer(Prediction.objects.get(model_version=second))
    services.advance_runs()
    act(signed_in, "modelversion", "activate", second.pk)
    assert ModelVersion.objects.active() == second
    assert Event.objects.get(kind="activated", actor=staff).payload == {
        "before": model_version.version,
        "trial": str(Run.objects.get().uuid),
    }


def test_rerun_of_what_is_selected_is_one_run(signed_in: Client, owner: User, model_version: ModelVersion) -> None:
    first, second, third = (answer(row) for row in submit_drawn(owner, 1, 2, 3))
    other = ModelVersion.objects.create(version="second", sha256="2" * 64, card=model_version.card)
    services.activate(model_version=other)
    assert "The re-run has been started." in act(signed_in, "patch", "rerun", first.patch_id, second.patch_id)
    act(signed_in, "prediction", "rerun", third.pk)
    services.advance_runs()
    runs = list(Run.objects.order_by("pk"))
    assert [(run.kind, run.model_version, run.state, run.asked) for run in runs] == [
        ("rerun", other, "working", 2),
        ("rerun", other, "working", 1),
    ]
    assert Prediction.objects.filter(model_version=other, priority=Priority.BACKGROUND).count() == 3
    act(signed_in, "run", "stop", *(run.pk for run in runs))
    services.advance_runs()
    assert set(Run.objects.values_list("state", flat=True)) == {"cancelled"}


def test_staff_without_permissions_see_and_do_nothing(client: Client, owner: User) -> None:
    prediction = answer(submit_drawn(owner, 1)[0])
    helper = make_user("helper@example.org", is_staff=True)
    client.force_login(helper)
    address = reverse("admin:predictions_patch_changelist")
    assert client.get(address).status_code == 403
    helper.user_permissions.add(Permission.objects.get(codename="view_patch"))
    page = client.get(address).content.decode()
    assert str(prediction.patch.uuid) in page
    assert 'value="hide"' not in page
    client.post(address, {"action": "hide", "_selected_action": [prediction.patch_id]})
    assert Patch.objects.get().hidden_at is None


def test_the_admin_is_closed_to_everyone_else(client: Client, owner: User) -> None:
    for user in (None, owner):
        if user:
            client.force_login(user)
        assert client.get(reverse("admin:index")).status_code == 302


def test_staff_cannot_make_themselves_superusers(client: Client, db: None) -> None:
    helper = make_user("helper@example.org", is_staff=True)
    helper.user_permissions.set(Permission.objects.filter(codename__in=["view_user", "change_user"]))
    client.force_login(helper)
    client.post(reverse("admin:accounts_user_change", args=[helper.pk]), {"is_superuser": "on", "is_staff": "on"})
    helper.refresh_from_db()
    assert helper.is_superuser is False


FILTERS = {
    "patch": [
        "visibility__exact=public", "current_prediction__status__exact=failed", "label=positive", "label=negative",
        "flagged=yes", "flagged=no", "hidden=yes", "hidden=no", "reviewed=yes", "reviewed=no",
        "source__exact=api", "p=2", "_facets=True",
    ],
    "prediction": [
        "status__exact=failed", "label=positive", "flagged=yes", "purpose__exact=shadow", "priority__exact=20", "p=2",
    ],
    "event": ["kind__exact=hidden", "p=2"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("model", "query"), [(model, query) for model, queries in FILTERS.items() for query in queries]
)
def test_filters_cost_no_more_queries_than_the_list(
    model: str, query: str, signed_in: Client, owner: User, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for number, prediction in enumerate(submit_drawn(owner, *range(30), visibility=Visibility.PUBLIC)):
        answer(prediction, number / 30)
        services.hide(patch=prediction.patch, actor=owner)
    with django_assert_max_num_queries(9):
        page = signed_in.get(f"{reverse(f'admin:predictions_{model}_changelist')}?{query}")
    assert (page.status_code, "e=1" in page.request["QUERY_STRING"]) == (200, False)


def found(client: Client, model: str, **query: str) -> set[int]:
    page = client.get(reverse(f"admin:predictions_{model}_changelist"), query)
    assert page.status_code == 200
    return {row.pk for row in page.context["cl"].result_list}


def test_filters_find_what_they_say(signed_in: Client, owner: User, staff: User) -> None:
    yes, no, failed, flagged, waiting = submit_drawn(owner, *range(5), visibility=Visibility.PUBLIC)
    answer(yes, 0.9), answer(no, 0.1), answer(flagged, 0.2), fail(failed)
    Prediction.objects.filter(pk=flagged.pk).update(flags=["unlike"])
    services.hide(patch=no.patch, actor=staff)
    for query, expected in {
        ("label", "positive"): {yes},
        ("label", "negative"): {no, flagged},
        ("flagged", "yes"): {flagged},
        ("flagged", "no"): {yes, no, failed, waiting},
        ("hidden", "yes"): {no},
        ("hidden", "no"): {yes, failed, flagged, waiting},
        ("reviewed", "yes"): set(),
        ("current_prediction__status__exact", "failed"): {failed},
    }.items():
        assert found(signed_in, "patch", **dict([query])) == {one.patch_id for one in expected}, query
    assert found(signed_in, "prediction", label="positive") == {yes.pk}
    assert found(signed_in, "prediction", flagged="yes") == {flagged.pk}


def test_ids_addresses_and_digests_find_and_other_text_finds_nothing(
    signed_in: Client, owner: User, stranger: User
) -> None:
    one, two = submit_drawn(owner, 1), submit_drawn(stranger, 1)
    (mine,), (theirs,) = one, two
    for term, expected in {
        str(mine.uuid): {mine},
        f" {mine.patch.uuid} ": {mine},
        mine.patch.sha256: {mine, theirs},
        "stranger@example.org": {theirs},
        "example.org": set(),
        "x" * 8000: set(),
    }.items():
        assert found(signed_in, "patch", q=term) == {prediction.patch_id for prediction in expected}, term
    assert found(signed_in, "prediction", q=str(mine.patch.uuid)) == {mine.pk}
    assert found(signed_in, "prediction", q="owner@example.org") == {mine.pk}


def test_lists_count_no_further_than_they_page(signed_in: Client, owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "COUNTED", 27)
    submit_drawn(owner, *range(30))
    page = signed_in.get(reverse("admin:predictions_patch_changelist"), {"p": 2})
    assert "the first 27 patches of more" in page.content.decode()
    assert len(page.context["cl"].result_list) == 2
    assert signed_in.get(reverse("admin:predictions_patch_changelist"), {"p": 3}).status_code == 302


def test_an_action_on_more_rows_than_it_takes_does_nothing(
    signed_in: Client, owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "AT_ONCE", 2)
    rows = [prediction.patch_id for prediction in submit_drawn(owner, 1, 2, 3)]
    assert "more than 2 rows" in act(signed_in, "patch", "hide", *rows)
    assert not Patch.objects.filter(hidden_at__isnull=False).exists()
    assert "2 rows done." in act(signed_in, "patch", "hide", *rows[:2])


def test_staff_take_a_share_back_and_give_it_back_but_share_nothing_private_of_others(
    signed_in: Client, owner: User, staff: User
) -> None:
    public, private = submit_drawn(owner, 1, visibility=Visibility.PUBLIC)[0], submit_drawn(owner, 2)[0]
    (own,) = submit_drawn(staff, 3)
    public_rows = Patch.objects.filter(visibility=Visibility.PUBLIC).order_by("pk").values_list("pk", flat=True)
    act(signed_in, "patch", "make_private", public.patch_id)
    assert list(public_rows.all()) == []
    page = act(signed_in, "patch", "share", public.patch_id, private.patch_id, own.patch_id)
    assert "2 rows done." in page
    assert "sharing them is their owners&#x27; right" in page
    assert list(public_rows.all()) == [public.patch_id, own.patch_id]
    services.set_visibility(patch=public.patch, actor=owner, visibility=Visibility.PRIVATE)
    assert "0 rows done." in act(signed_in, "patch", "share", public.patch_id)
    told = Event.objects.filter(actor=staff).exclude(kind="submitted").order_by("pk")
    assert list(told.values_list("kind", "subject")) == [
        ("made_private", str(public.patch.uuid)),
        ("shared", str(own.patch.uuid)),
        ("shared", str(public.patch.uuid)),
    ]


def test_a_csv_of_selected_patches_names_nobody_and_leaves_a_line(signed_in: Client, owner: User, staff: User) -> None:
    wanted, other = (answer(one, 0.75) for one in submit_drawn(owner, 1, 2))
    sent = {"action": "export", "_selected_action": [wanted.patch_id]}
    response = signed_in.post(reverse("admin:predictions_patch_changelist"), sent)
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    text = response.getvalue().decode()
    assert (str(wanted.uuid) in text, str(other.uuid) in text) == (True, False)
    assert [name for name in (owner.email, wanted.patch.original_name) if name in text] == []
    event = Event.objects.get(kind="exported")
    assert (event.actor, event.subject, event.payload) == (staff, "patches", {"rows": 1})


def test_sharing_asks_first(signed_in: Client, staff: User) -> None:
    (own,) = submit_drawn(staff, 3)
    sent = {"action": "share", "_selected_action": [own.patch_id]}
    page = signed_in.post(reverse("admin:predictions_patch_changelist"), sent).content.decode()
    assert "Everybody will see these patches" in page
    assert f'name="_selected_action" value="{own.patch_id}"' in page
    assert not Patch.objects.get().is_public


def test_opening_the_row_of_a_private_patch_leaves_a_line(signed_in: Client, owner: User, staff: User) -> None:
    public, private = submit_drawn(owner, 1, visibility=Visibility.PUBLIC)[0], submit_drawn(owner, 2)[0]
    for prediction in (public, private, private):
        page = signed_in.get(reverse("admin:predictions_patch_change", args=[prediction.patch_id]))
        assert prediction.patch.original_name not in page.content.decode()
    assert list(Event.objects.filter(kind="opened").values_list("actor", "subject")) == [
        (staff.pk, str(private.patch.uuid))
    ]


def test_timings_are_told_in_seconds(signed_in: Client, owner: User) -> None:
    prediction = answer(submit_drawn(owner, 1)[0])
    start = prediction.queued_at
    times = {"started_at": start + timedelta(seconds=1.5), "finished_at": start + timedelta(seconds=1.75)}
    Prediction.objects.update(**times)
    page = signed_in.get(reverse("admin:predictions_prediction_changelist")).content.decode()
    assert re.findall(r'class="field-(?:waited|took)">([^<]+)', page) == ["1.50 s", "0.25 s"]


def test_the_first_page_says_what_waits_and_how_the_model_fares(
    signed_in: Client, owner: User, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    failed, waiting = submit_drawn(owner, 1, 2)
    fail(failed)
    with django_assert_max_num_queries(18):
        page = signed_in.get(reverse("admin:index"))
    numbers = {line["name"]: line["number"] for line in page.context["numbers"]}
    assert (numbers["waiting predictions"], numbers["failed predictions"]) == ("1", "1")
    for line in page.context["numbers"]:
        assert signed_in.get(line["url"]).status_code == 200
    assert "What reviewers say of" in page.content.decode()
    with django_assert_max_num_queries(12):
        signed_in.get(reverse("admin:index"))
    assert waiting.status == "queued"
