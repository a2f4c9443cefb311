from __future__ import annotations

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from accounts.models import User
from predictions import services
from predictions.models import Event, ModelVersion, Patch, Prediction, Priority, Run, Visibility
from tests.factories import answer, fail, make_user, submit_drawn

pytestmark = pytest.mark.usefixtures("model_version")
OURS = [model for model in admin.site._registry if model._meta.app_label in ("accounts", "predictions", "reviews")]


@pytest.fixture
def signed_in(client: Client, staff: User) -> Client:
    client.force_login(staff)
    return client


def act(client: Client, model: str, action: str, *rows: int) -> str:
    address = reverse(f"admin:predictions_{model}_changelist")
    response = client.post(address, {"action": action, "_selected_action": list(rows)}, follow=True)
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
    with django_assert_max_num_queries(12):
        page = signed_in.get(reverse(f"admin:{name}_changelist"), {"q": "x"} if name.endswith("patch") else {})
    assert page.status_code == 200
    row = model._default_manager.first()  # type: ignore[attr-defined]  # and a manager
    if row:
        with django_assert_max_num_queries(20):
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


def test_activate(signed_in: Client, staff: User, model_version: ModelVersion) -> None:
    second = ModelVersion.objects.create(version="second", sha256="2" * 64, card=model_version.card)
    assert "Select exactly one" in act(signed_in, "modelversion", "activate", model_version.pk, second.pk)
    assert "finished no trial run" in act(signed_in, "modelversion", "activate", second.pk)
    assert ModelVersion.objects.active() == model_version
    services.start_shadow(model_version=second)
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
