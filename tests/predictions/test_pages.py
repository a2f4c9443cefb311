from __future__ import annotations

import re

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.template import Context, Template
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries, Settings

from accounts.models import User
from ml.formats import MESSAGES
from ml.gate import FLAGS
from predictions import services
from predictions.models import Batch, ModelVersion, Patch, Prediction, Visibility, WorkerHeartbeat
from predictions.notes import SENTENCES
from predictions.templatetags.probability import percent
from tests import pictures
from tests.api.test_creating import packed
from tests.factories import answer, fail, submit_drawn

pytestmark = pytest.mark.usefixtures("model_version")


def file(content: bytes, name: str = "patch.png") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content)


@pytest.fixture
def signed_in(client: Client, owner: User) -> Client:
    client.force_login(owner)
    return client


def test_a_table_is_a_region_with_a_name() -> None:
    row = "<tr><td>1</td></tr>"
    shown, unshown = (f"{{% table name {how} %}}{row}{{% endtable %}}" for how in ("", "is_shown=False"))
    region = '<div class="scroll" role="region" tabindex="0" aria-label="A &amp; B"><table class="table">'
    assert Template("{% load pages %}" + shown + unshown).render(Context({"name": "A & B"})) == (
        f"{region}<caption>A &amp; B</caption>{row}</table></div>{region}{row}</table></div>"
    )


@pytest.mark.parametrize("view", ["gallery", "predictions:history", "tokens", "mfa_index", "data:home"])
def test_menus_mark_the_page_one_is_on(signed_in: Client, view: str) -> None:
    page = signed_in.get(reverse(view)).content.decode()
    assert re.findall(r'<a href="([^"]*)" aria-current="page">', page) == [reverse(view)]


def test_one_file_without_scripts_leads_to_its_result(signed_in: Client) -> None:
    response = signed_in.post(reverse("predictions:new"), {"image": file(pictures.png()), "visibility": "private"})
    prediction = Prediction.objects.get()
    assert (response.status_code, response["Location"]) == (302, reverse("predictions:detail", args=[prediction.uuid]))
    assert (prediction.patch.source, prediction.patch.visibility) == ("web", "private")


def test_several_files_without_scripts_lead_to_their_batch(signed_in: Client) -> None:
    files = [file(pictures.png(seed=1)), file(b"text"), file(pictures.png(seed=2))]
    response = signed_in.post(reverse("predictions:new"), {"image": files, "visibility": "public", "um_per_pixel": "4"})
    assert response["Location"] == reverse("batch", args=[Batch.objects.get().uuid])
    page = signed_in.get(response["Location"]).content.decode()
    assert "1 of 3 done, 0 answered." in page
    assert "1 file was not accepted." in page
    assert MESSAGES["not_an_image"] in page


def test_bad_files_are_named_on_the_form(signed_in: Client) -> None:
    response = signed_in.post(
        reverse("predictions:new"), {"image": file(b"text", "<img onerror=x>.png"), "visibility": "private"}
    )
    page = response.content.decode()
    assert response.status_code == 400
    assert MESSAGES["not_an_image"] in page
    assert "<strong>&lt;img onerror=x&gt;.png</strong>" in page
    assert Patch.objects.count() == 0


def test_an_archive_is_taken_without_scripts_too(signed_in: Client) -> None:
    archive = SimpleUploadedFile("study.zip", packed({"a/1.png": pictures.png(seed=1), "a/2.txt": b"text"}))
    response = signed_in.post(reverse("predictions:new"), {"image": archive, "visibility": "private"})
    batch = Batch.objects.get()
    assert response["Location"] == reverse("batch", args=[batch.uuid])
    page = signed_in.get(response["Location"]).content.decode()
    assert reverse("api:batch-csv", args=[batch.uuid]) in page
    assert list(batch.items.order_by("position").values_list("name", "error_code")) == [
        ("a/1.png", ""),
        ("a/2.txt", "not_an_image"),
    ]


def test_asking_a_model_whose_name_is_none_is_a_404(signed_in: Client, owner: User) -> None:
    (prediction,) = submit_drawn(owner, 1)
    for name in ("", "none", "x\0"):
        assert signed_in.post(reverse("predictions:ask", args=[prediction.uuid]), {"model": name}).status_code == 404


def test_asking_another_model_past_the_quota_is_refused_in_a_sentence(
    signed_in: Client, owner: User, model_version: ModelVersion, settings: Settings
) -> None:
    settings.PATCHES_PER_DAY = 1
    other = ModelVersion.objects.create(version="other-1", sha256="0" * 64, card=model_version.card)
    prediction = answer(submit_drawn(owner, 1)[0])
    address = reverse("predictions:ask", args=[prediction.uuid])
    page = signed_in.post(address, {"model": "other-1"}, follow=True).content.decode()
    assert "This is more than you may still have analysed within 24 hours." in page
    assert not other.predictions.exists()


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"visibility": "private"}, "Choose at least one image file"),
        ({"image": "patch"}, "Choose who may see these patches."),
        ({"image": "patch", "visibility": "everyone"}, "Select a valid choice"),
        ({"image": "patch", "visibility": "private", "um_per_pixel": "NaN"}, "Give a number from 0.01 to 100"),
        ({"image": "patch", "visibility": "private", "um_per_pixel": "1e400"}, "Give a number from 0.01 to 100"),
        ({"image": "patch", "visibility": "private", "um_per_pixel": "0,5"}, "Give a number from 0.01 to 100"),
    ],
)
def test_what_is_wrong_with_the_form_is_said(signed_in: Client, fields: dict[str, str], sentence: str) -> None:
    sent = {name: file(pictures.png()) if value == "patch" else value for name, value in fields.items()}
    response = signed_in.post(reverse("predictions:new"), sent)
    assert response.status_code == 400
    assert sentence in response.content.decode()


def test_nothing_is_chosen_beforehand_the_first_time_and_the_last_choice_after(signed_in: Client, owner: User) -> None:
    checked = re.compile(r'value="(\w+)"[^>]*checked')
    assert checked.findall(signed_in.get(reverse("predictions:new")).content.decode()) == []
    submit_drawn(owner, 1, visibility=Visibility.PUBLIC)
    assert checked.findall(signed_in.get(reverse("predictions:new")).content.decode()) == ["public"]


def test_the_upload_page_shows_the_limits(signed_in: Client, settings: Settings) -> None:
    page = signed_in.get(reverse("predictions:new")).content.decode()
    assert "At most 10 MB an image and 20,000 patches a day." in page
    assert 'data-request-images="100"' in page
    settings.PATCHES_PER_DAY = 1
    page = signed_in.get(reverse("predictions:new")).content.decode()
    assert "At most 10 MB an image and 1 patch a day." in page
    assert 'data-request-bytes="50000000"' in page


def test_the_result_polls_itself_until_it_is_finished(signed_in: Client, owner: User) -> None:
    (prediction,) = submit_drawn(owner, 1)
    status = reverse("predictions:status", args=[prediction.uuid])
    page = signed_in.get(prediction.get_absolute_url()).content.decode()
    assert f'hx-get="{status}?look=1" hx-trigger="load delay:150ms"' in page
    assert '<meta http-equiv="refresh" content="3">' in page
    assert "Waiting for a worker" in page
    WorkerHeartbeat.objects.create(worker="w", seen_at=prediction.queued_at)
    assert 'look=8" hx-trigger="load delay:5000ms"' in signed_in.get(status, {"look": "99"}).content.decode()
    assert "delay:150ms" in signed_in.get(status, {"look": "9" * 5000}).content.decode()
    answer(prediction, 0.004)
    done = signed_in.get(status).content.decode()
    assert "hx-get" not in done
    assert "IDC positive <strong>0.4\N{NO-BREAK SPACE}%</strong>" in done
    assert "Negative: the probability of IDC is below the threshold of 50.0\N{NO-BREAK SPACE}%." in done


def test_a_queue_position_is_shown(signed_in: Client, owner: User, stranger: User) -> None:
    submit_drawn(stranger, *range(3))
    (mine,) = submit_drawn(owner, 1)
    WorkerHeartbeat.objects.create(worker="w", seen_at=mine.queued_at)
    assert "3 patches are ahead of yours." in signed_in.get(mine.get_absolute_url()).content.decode()


def test_a_failure_says_what_happened_and_can_be_retried(signed_in: Client, owner: User) -> None:
    prediction = fail(submit_drawn(owner, 1)[0])
    page = signed_in.get(prediction.get_absolute_url()).content.decode()
    assert "Lost." in page
    assert "Try again" in page
    signed_in.post(reverse("predictions:retry", args=[prediction.uuid]))
    prediction.refresh_from_db()
    assert (prediction.status, prediction.attempt_limit) == ("queued", 6)


def test_notes_become_sentences(signed_in: Client, owner: User) -> None:
    sent = {"image": file(pictures.png(200, 200, "L")), "visibility": "private", "um_per_pixel": "0.25"}
    waiting = signed_in.post(reverse("predictions:new"), sent, follow=True).content.decode()
    assert "The image was resized to 50 x 50 pixels." in waiting
    assert "The image has no colour" in waiting
    assert "1 µm per pixel" not in waiting
    services.drain()
    page = signed_in.get(Prediction.objects.get().get_absolute_url()).content.decode()
    assert "the patch shows 1 µm per pixel; the model was trained at about 4." in page
    assert page.count("the colours of H&amp;E") == 1


def test_a_flagged_answer_makes_no_bold_claim_and_says_why(signed_in: Client, owner: User) -> None:
    prediction = answer(submit_drawn(owner, 1, visibility=Visibility.PUBLIC)[0], 0.99)
    bold, waits = "Positive: the probability of IDC", "waits for a member of staff before it appears in the gallery"
    page = signed_in.get(prediction.get_absolute_url()).content.decode()
    assert (bold in page, waits in page, "answer-unsure" in page) == (True, False, False)
    Prediction.objects.update(flags=["not_he", "unlike"])
    page = signed_in.get(prediction.get_absolute_url()).content.decode()
    assert (bold in page, waits in page, "answer-unsure" in page) == (False, True, True)
    assert "The model would say positive, but something about this patch speaks against relying on that" in page
    assert "This does not look like H&amp;E-stained tissue" in page
    assert "this patch is unlike those it was trained on" in page
    assert "public: not in the gallery yet" in page
    services.set_visibility(patch=prediction.patch, actor=owner, visibility=Visibility.PRIVATE)
    assert waits not in signed_in.get(prediction.get_absolute_url()).content.decode()
    services.set_visibility(patch=prediction.patch, actor=owner, visibility=Visibility.PUBLIC)
    services.admit(patch=prediction.patch, actor=owner)
    assert waits not in signed_in.get(prediction.get_absolute_url()).content.decode()


@pytest.mark.parametrize("flag", FLAGS)
def test_every_flag_has_its_sentence(flag: str) -> None:
    assert flag in SENTENCES


def test_a_file_name_is_for_its_owner_only(signed_in: Client, owner: User) -> None:
    prediction = answer(submit_drawn(owner, 1, visibility=Visibility.PUBLIC)[0])
    assert "drawn-1.png" in signed_in.get(prediction.get_absolute_url()).content.decode()
    assert "drawn-1.png" not in Client().get(prediction.get_absolute_url()).content.decode()


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../etc/passwd.png", "passwd.png"),
        ("a\r\nb\x00c.png", "abc.png"),
        ("\u202egnp.exe", "gnp.exe"),
        ("x" * 300 + ".png", "x" * 255),
        ("C:\\patients\\jane.png", "jane.png"),
    ],
)
def test_odd_file_names_are_tamed(name: str, shown: str) -> None:
    from predictions.uploads import clean_name

    assert clean_name(name) == shown


def test_history_filters_and_pages(signed_in: Client, owner: User) -> None:
    predictions = submit_drawn(owner, *range(30))
    for number, prediction in enumerate(predictions):
        answer(prediction, number / 30)
    page = signed_in.get(reverse("predictions:history"), {"label": "positive", "max_probability": "0.9"})
    shown = set(re.findall(r"/predictions/([0-9a-f-]{36})/image", page.content.decode()))
    assert shown == {str(one.uuid) for one in predictions[15:28]}
    first = signed_in.get(reverse("predictions:history")).content.decode()
    older = re.search(r'rel="next" href="(\?[^"]+)"', first)
    assert older
    second = signed_in.get(reverse("predictions:history") + older[1].replace("&amp;", "&")).content.decode()
    ids = [re.findall(r"/predictions/([0-9a-f-]{36})/image", page) for page in (first, second)]
    assert (len(ids[0]), len(ids[1])) == (24, 6)
    assert [*ids[0], *ids[1]] == [str(one.uuid) for one in reversed(predictions)]


@pytest.mark.parametrize(
    "query",
    [
        {"cursor": "nonsense"},
        {"cursor": "AAAA"},
        {"cursor": "cD1hYmM="},  # p=abc
        {"cursor": "cD05OTk5OTk5OTk5OTk5OTk5OTk5OTk="},  # p=99999999999999999999
        {"cursor": "cD0lMDA="},  # p=%00
        {"page": "-1"},
        {"limit": "-5"},
        {"limit": "1" * 30},
        {"ordering": "owner__password"},
        {"label": "x" * 8000},
        {"min_probability": "NaN"},
        {"since": "yesterday\x00"},
    ],
)
def test_odd_queries_never_break_a_list(signed_in: Client, query: dict[str, str]) -> None:
    for name in ("predictions:history", "gallery"):
        assert signed_in.get(reverse(name), query).status_code in (200, 404)


def test_lists_need_a_fixed_number_of_queries(
    signed_in: Client, owner: User, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for prediction in submit_drawn(owner, *range(30), visibility=Visibility.PUBLIC):
        answer(prediction)
    batch = reverse("batch", args=[Batch.objects.get().uuid])
    for address in (reverse("predictions:history"), reverse("gallery"), reverse("home"), batch):
        with django_assert_max_num_queries(8):
            assert signed_in.get(address).status_code == 200


def test_a_batch_shows_failures_first_and_follows_its_patches(signed_in: Client, owner: User) -> None:
    first, second, third = submit_drawn(owner, 1, 2, 3)
    answer(first)
    fail(second)
    batch = Batch.objects.get()
    page = signed_in.get(reverse("batch", args=[batch.uuid])).content.decode()
    assert "2 of 3 done, 1 answered." in page
    assert page.index("drawn-2.png") < page.index("drawn-1.png")
    assert "hx-get" in page
    services.withdraw(patch=third.patch, actor=owner)
    done = signed_in.get(reverse("batch-progress", args=[batch.uuid])).content.decode()
    assert "3 of 3 done, 1 answered." in done
    assert "1 patch was deleted since." in done
    assert "hx-get" not in done


@pytest.mark.parametrize(
    ("probability", "shown"),
    [
        (0.0, "<\N{NO-BREAK SPACE}0.1"),
        (0.00099, "<\N{NO-BREAK SPACE}0.1"),
        (0.004, "0.4"),
        (0.5, "50.0"),
        (0.93079, "93.1"),
        (0.9994, ">\N{NO-BREAK SPACE}99.9"),
        (1.0, ">\N{NO-BREAK SPACE}99.9"),
    ],
)
def test_a_probability_is_never_shown_as_certain(probability: float, shown: str) -> None:
    assert percent(probability) == f"{shown}\N{NO-BREAK SPACE}%"


def test_examples_are_drawn_pictures(client: Client) -> None:
    response = client.get(reverse("example", args=[0]))
    assert (response.status_code, response["Content-Type"]) == (200, "image/png")
    assert client.get(reverse("example", args=[6])).status_code == 404


def test_the_front_page_says_how_good_the_model_is_and_what_it_is_not(
    client: Client, model_version: ModelVersion
) -> None:
    page = client.get(reverse("home")).content.decode()
    figures = model_version.card["figures"]
    assert f"On {figures['n']:,} patches of 29 patients" in page
    assert f"AUC {figures['auc']:.3f} (95 % interval over patients" in page
    assert "Never a diagnosis." in page


def test_every_page_forbids_foreign_and_inline_scripts(client: Client) -> None:
    policy = client.get(reverse("home"))["Content-Security-Policy"]
    assert sorted(policy.split("; ")) == [
        "base-uri 'none'",
        "connect-src 'self'",
        "default-src 'none'",
        "font-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "img-src 'self' blob:",
        "script-src 'self'",
        "style-src 'self'",
    ]
    page = client.get(reverse("home")).content.decode()
    assert not re.search(r"<style|style=|<script(?![^>]*\ssrc=)|\son\w+=", page)


@pytest.mark.parametrize(
    ("path", "host"), [("/a%00b", "testserver"), ("/", "foreign.example"), ("/gallery", "testserver")]
)
def test_so_does_what_no_view_has_answered(client: Client, path: str, host: str) -> None:
    answered = client.get(path, headers={"host": host})
    assert answered.status_code in (301, 400)
    assert "script-src 'self'" in answered["Content-Security-Policy"]


def test_an_oversized_request_is_refused_before_it_is_read(signed_in: Client, settings: Settings) -> None:
    settings.REQUEST_MEGABYTES = 1
    response = signed_in.post(reverse("predictions:new"), {"image": file(bytes(2_000_000))})
    assert response.status_code == 413
    assert "At most 1 MB can be sent at once." in response.content.decode()


def test_too_many_files_are_refused_with_a_sentence(signed_in: Client, settings: Settings) -> None:
    settings.DATA_UPLOAD_MAX_NUMBER_FILES = 3
    response = signed_in.post(reverse("predictions:new"), {"image": [file(pictures.png())] * 4})
    assert response.status_code == 400
    assert "At most 100 images can be sent at once. Send the rest" in response.content.decode()
    settings.IMAGES_PER_REQUEST = 1
    response = signed_in.post(reverse("predictions:new"), {"image": [file(pictures.png())] * 4})
    assert "At most 1 image can be sent at once." in response.content.decode()
