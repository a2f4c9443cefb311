"""Creating predictions: archives, repeated requests, waiting, quotas and rates."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from PIL import Image
from pytest_django import Settings

from accounts.models import ApiToken, Counter, Scope, User
from accounts.tokens import create_token
from ml.formats import MESSAGES
from predictions import archives, services
from predictions.api import views
from predictions.models import Batch, BatchItem, IdempotencyKey, ModelVersion, Patch, Prediction, Usage
from predictions.services import chores
from predictions.waiting import Answer, read_answers
from tests import pictures
from tests.api.test_predictions_api import URL, Api, as_json
from tests.factories import answer, drawn, make_user, submit_drawn

pytestmark = pytest.mark.usefixtures("model_version")


@pytest.fixture
def api(owner: User) -> Api:
    return Api(owner)


def packed(members: dict[str, bytes], **options: Any) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", **options) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def send_zip(api: Api, content: bytes, **fields: Any) -> Any:
    return api.client.post(URL, {"zip": SimpleUploadedFile("folder.zip", content), **fields})


def rejected(name: str, code: str, **params: Any) -> dict[str, str]:
    return {"name": name, "code": code, "message": MESSAGES[code] % params}


# --- archives ------------------------------------------------------------------------------------------------


def test_each_member_of_an_archive_has_an_outcome_of_its_own(api: Api) -> None:
    one, two = pictures.png(seed=1), pictures.jpeg()
    members = {
        "study/1/": b"",
        "study/1/one.png": one,
        "study/notes.txt": b"text",
        "study/2/two.jpg": two,
        "../out.png": one,
        "/root.png": one,
        "C:\\windows.png": one,
        "inner.zip": packed({"one.png": one}),
        "again.png": one,
        "__MACOSX/study/._one.png": b"litter",
        "study/.DS_Store": b"litter",
    }
    response = send_zip(api, packed(members, compression=zipfile.ZIP_DEFLATED))
    first, second = Prediction.objects.order_by("pk")
    notes = {"notes": second.patch.quality["notes"]}
    assert (response.status_code, response.json()) == (
        202,
        {
            "batch": str(Batch.objects.get().uuid),
            "predictions": [as_json(first), as_json(second, **notes), as_json(first)],
            "rejected": [
                rejected("study/notes.txt", "not_an_image"),
                *(rejected(name, "unsafe_path") for name in ("../out.png", "/root.png", "C:/windows.png")),
                rejected("inner.zip", "not_an_image"),
            ],
        },
    )
    names = list(BatchItem.objects.order_by("position").values_list("name", flat=True))
    assert names == ["study/1/one.png", "study/notes.txt", "study/2/two.jpg", "../out.png", "/root.png",
                     "C:/windows.png", "inner.zip", "again.png"]  # fmt: skip
    assert first.patch.original_name == "study/1/one.png"


def test_a_member_without_a_name_is_refused_alone(api: Api) -> None:
    content = packed({"abcd.png": pictures.png(seed=1), "good.png": pictures.png(seed=2)})
    response = send_zip(api, content.replace(b"abcd.png", b"\0bcd.png"))
    assert response.status_code == 202
    assert response.json()["rejected"] == [rejected("", "unsafe_path")]


def test_only_so_many_archives_are_unpacked_at_once(api: Api) -> None:
    content = packed({"a.png": pictures.png()})
    for _ in range(archives.ARCHIVES_AT_ONCE):
        archives._places.acquire()
    try:
        refused = send_zip(api, content)
    finally:
        for _ in range(archives.ARCHIVES_AT_ONCE):
            archives._places.release()
    assert (refused.status_code, refused["Retry-After"], refused.json()["error"]["code"]) == (503, "5", "busy")
    assert send_zip(api, content).status_code == 202


def encrypted() -> bytes:
    content = bytearray(packed({"a.png": pictures.png()}))
    for signature, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + at] |= 1
    return bytes(content)


def damaged() -> bytes:
    content = bytearray(packed({"a.png": pictures.png()}))
    content[100] ^= 0xFF
    return bytes(content)


@pytest.mark.parametrize(
    ("make", "code", "status"),
    [
        (encrypted, "encrypted", 400),
        (damaged, "corrupt", 400),
        (lambda: packed({"a.png": pictures.png()}, compression=zipfile.ZIP_LZMA), "packing", 400),
        (lambda: packed({"a.png": b"\0" * (10 * 1024**2 + 1)}, compression=zipfile.ZIP_DEFLATED), "too_large", 413),
    ],
)
def test_a_member_that_cannot_be_read_is_refused_with_its_reason(api: Api, make: Any, code: str, status: int) -> None:
    response = send_zip(api, make())
    body = response.json()
    assert (response.status_code, body["error"]["code"]) == (status, code)
    assert [one["code"] for one in body["rejected"]] == [code]


def many_entries() -> bytes:
    """A directory of 200,000 entries for one member."""
    content = packed({"a.png": b"x"})
    start = content.index(b"PK\x01\x02")
    end = content.index(b"PK\x05\x06")
    entries = content[start:end] * 200_000
    return (
        content[:start] + entries + content[end : end + 12] + len(entries).to_bytes(4, "little") + content[end + 16 :]
    )


@pytest.mark.parametrize(
    ("make", "code", "status"),
    [
        (lambda: b"", "not_a_zip", 400),
        (lambda: b"no zip at all", "not_a_zip", 400),
        (lambda: packed({"a.png": pictures.png()})[:-30], "not_a_zip", 400),
        (lambda: packed({"folder/": b""}), "file_required", 400),
        (lambda: packed({f"{number}.png": b"" for number in range(7)}), "too_many_files", 400),
        (many_entries, "too_many_files", 400),
    ],
)
def test_an_archive_that_is_none_or_holds_too_much_is_refused_whole(
    api: Api, settings: Settings, make: Any, code: str, status: int
) -> None:
    settings.ZIP_MEMBERS = 6
    response = send_zip(api, make())
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)
    assert not BatchItem.objects.exists()


def test_an_archive_that_unpacks_to_more_than_patches_could_is_refused_before_it_is_read(api: Api) -> None:
    zeros = b"\0" * (10 * 1024**2)
    bomb = packed({f"{number}.png": zeros for number in range(110)}, compression=zipfile.ZIP_DEFLATED)
    response = send_zip(api, bomb)
    assert (response.status_code, response.json()["error"]["code"]) == (413, "too_large")
    assert "rejected" not in response.json()  # not a member was looked at


def test_an_archive_comes_alone_and_may_be_larger_than_images_together(
    api: Api, settings: Settings, owner: User
) -> None:
    image = SimpleUploadedFile("a.png", pictures.png())
    both = api.client.post(URL, {"image": image, "zip": SimpleUploadedFile("a.zip", packed({"a.png": b""}))})
    assert (both.status_code, both.json()["error"]["field"]) == (400, "zip")
    settings.REQUEST_MEGABYTES = 1
    noise = {f"{number}.bin": bytes(range(256)) * 2000 for number in range(3)} | {"a.png": pictures.png()}
    assert send_zip(api, packed(noise)).status_code == 202
    large = api.client.post(URL, {"image": [SimpleUploadedFile(name, content) for name, content in noise.items()]})
    assert (large.status_code, large.json()["error"]["code"]) == (413, "too_large")
    settings.ZIP_MEGABYTES = 1
    refused = send_zip(api, packed(noise))
    assert (refused.status_code, refused.json()["error"]["code"]) == (413, "too_large")


# --- idempotency ---------------------------------------------------------------------------------------------


def keyed(owner: User, key: str) -> Api:
    found = Api(owner)
    found.client.defaults["HTTP_IDEMPOTENCY_KEY"] = key
    return found


def test_the_same_key_and_content_is_answered_alike_and_done_once(owner: User) -> None:
    api = keyed(owner, "run-7/chunk-1")
    files = (("a.png", pictures.png(seed=1)), ("b.txt", b"text"))
    first, second = api.post(*files), api.post(*files)
    assert (second.status_code, second.json()) == (first.status_code, first.json()) == (202, first.json())
    assert (Batch.objects.count(), BatchItem.objects.count(), services.used_today(owner)) == (1, 2, 1)
    answer(Prediction.objects.get())
    later = api.post(*files)
    (prediction,) = later.json()["predictions"]
    assert (later.status_code, prediction["id"]) == (202, first.json()["predictions"][0]["id"])
    assert prediction["status"] == "succeeded"
    services.withdraw(patch=Patch.objects.get(), actor=owner)
    assert api.post(*files).json() == first.json() | {"predictions": []}


@pytest.mark.parametrize(
    ("files", "fields"),
    [
        ((("a.png", pictures.png(seed=2)),), {}),
        ((("b.png", pictures.png(seed=1)),), {}),
        ((("a.png", pictures.png(seed=1)),), {"visibility": "public"}),
        ((("a.png", pictures.png(seed=1)),) * 2, {}),
    ],
)
def test_the_same_key_with_other_content_is_a_conflict(owner: User, files: Any, fields: Any) -> None:
    api = keyed(owner, "k")
    assert api.post(("a.png", pictures.png(seed=1))).status_code == 202
    refused = api.post(*files, **fields)
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "idempotency_conflict")
    assert BatchItem.objects.count() == 1


def test_a_key_is_ones_own_and_kept_for_a_day(owner: User, stranger: User) -> None:
    one, two = ("a.png", pictures.png(seed=1)), ("a.png", pictures.png(seed=2))
    assert [keyed(user, "k").post(file).status_code for user, file in ((owner, one), (stranger, two))] == [202, 202]
    past = IdempotencyKey.objects.get(owner=owner).created_at - timedelta(hours=25)
    IdempotencyKey.objects.filter(owner=owner).update(created_at=past)
    assert keyed(owner, "k").post(two).status_code == 202
    IdempotencyKey.objects.update(created_at=past)
    chores.tidy()
    assert not IdempotencyKey.objects.exists()


@pytest.mark.parametrize("key", ["", " ", "a b", "x" * 201, "k\u00e9y"])
def test_a_key_that_is_none_is_named(owner: User, key: str) -> None:
    refused = keyed(owner, key).post(pictures.png())
    assert (refused.status_code, refused.json()["error"]["field"]) == (400, "Idempotency-Key")


@pytest.mark.django_db(transaction=True)
def test_twenty_at_once_with_one_key_are_one(model_version: ModelVersion) -> None:
    owner = make_user("busy@example.org")
    api = keyed(owner, "once")

    def post(_: int) -> Any:
        try:
            client = Client()
            client.defaults.update(api.client.defaults)
            image = SimpleUploadedFile("a.png", pictures.png())
            return client.post(URL, {"image": image}).json()
        finally:
            connection.close()

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(post, range(20)))
    assert answers == [answers[0]] * 20
    assert (Batch.objects.count(), BatchItem.objects.count()) == (1, 1)


# --- waiting -------------------------------------------------------------------------------------------------


def waiting_api(owner: User, prefer: str) -> Api:
    api = Api(owner)
    api.client.defaults["HTTP_PREFER"] = prefer
    return api


# The last two once took ten seconds each, of all threads of a process.
@pytest.mark.parametrize(
    "prefer",
    [
        "wait=0",
        "",
        "wait",
        "wait=x",
        "wait=-5",
        "await=9",
        "wait=000",
        f"wait={'0' * 8000}x",
        f"wait={'0' * 4000 + '9' * 4000}_",
    ],
)
def test_who_does_not_ask_to_wait_gets_202_at_once(owner: User, prefer: str) -> None:
    response = waiting_api(owner, prefer).post(pictures.png())
    assert (response.status_code, "Preference-Applied" in response) == (202, False)


def test_what_is_answered_already_is_a_200_for_who_would_wait(owner: User) -> None:
    answer(submit_drawn(owner, 1)[0])
    image = pictures.save(Image.fromarray(drawn(1).pixels), "PNG")
    response = waiting_api(owner, "respond-async, Wait = 7").post(image)
    assert (response.status_code, response["Preference-Applied"]) == (200, "wait=7")
    assert response.json()["predictions"][0]["status"] == "succeeded"


# --- quotas and rates ----------------------------------------------------------------------------------------


def test_a_token_may_have_less_than_its_user(owner: User) -> None:
    _, secret = create_token(user=owner, name="few", scopes=list(Scope), patches_per_day=2)
    few, other = Client(headers={"Authorization": f"Bearer {secret}"}), Api(owner)

    def send(*seeds: int) -> int:
        images = [SimpleUploadedFile("a.png", pictures.png(seed=seed)) for seed in seeds]
        return few.post(URL, {"image": images}).status_code

    assert [send(1, 2, 3), send(1), send(2, 3), send(2), send(3)] == [429, 202, 429, 202, 429]
    assert other.post(pictures.png(seed=4)).status_code == 202
    me = few.get("/api/v1/me/").json()
    assert (me["token"]["patches_per_day"], me["used_today"], me["left_today"]) == (2, 3, 0)
    ApiToken.objects.all().delete()
    assert services.used_today(owner) == 3


def test_what_was_sent_a_day_ago_does_not_count_and_is_forgotten(owner: User) -> None:
    submit_drawn(owner, 1, 2)
    assert services.used_today(owner) == 2
    hour = Usage.objects.get().hour
    Usage.objects.update(hour=hour - timedelta(hours=24))
    assert services.used_today(owner) == 0
    Usage.objects.update(hour=hour - timedelta(hours=49))
    chores.tidy()
    assert not Usage.objects.exists()


def test_every_answer_says_what_is_left_and_past_the_limit_it_is_429(api: Api, settings: Settings, owner: User) -> None:
    settings.READS_PER_MINUTE = 8  # of the user; a token has half of it
    seen = [api.get() for _ in range(5)]
    assert [one.status_code for one in seen] == [200] * 4 + [429]
    assert seen[0]["RateLimit-Policy"] == '"reads";q=4;w=60'
    assert [one["RateLimit"].partition(";t=")[0] for one in seen] == [f'"reads";r={left}' for left in (3, 2, 1, 0, 0)]
    assert 1 <= int(seen[4]["Retry-After"]) <= 60
    assert seen[4].json()["error"]["code"] == "throttled"
    assert api.post(pictures.png())["RateLimit-Policy"] == '"changes";q=3000;w=60'
    other = Api(owner)  # another token of the same user
    assert [other.get().status_code for _ in range(4)] == [200, 200, 200, 429]
    Counter.objects.update(since=Counter.objects.first().since - timedelta(seconds=61))  # type: ignore[union-attr]  # there is one
    assert api.get().status_code == 200


def test_visitors_are_counted_by_address(settings: Settings, model_version: ModelVersion) -> None:
    settings.READS_PER_MINUTE = 20
    statuses = [Client().get("/api/v1/gallery/").status_code for _ in range(3)]
    elsewhere = Client(REMOTE_ADDR="192.0.2.9").get("/api/v1/gallery/").status_code
    assert (statuses, elsewhere) == ([200, 200, 429], 200)


def test_what_is_named_twice_in_a_repeated_request_is_read_twice(
    owner: User, model_version: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    (prediction,) = submit_drawn(owner, 1)
    twice = [Patch.objects.with_answer().get() for _ in range(2)]

    def answered_meanwhile(keys: Collection[int], *, seconds: float) -> dict[int, Answer]:
        answer(prediction, 0.75)
        return read_answers(keys)

    monkeypatch.setattr(views, "wait_for_answers", answered_meanwhile)
    assert views._wait(twice, 1)
    assert [patch.current_prediction and patch.current_prediction.probability for patch in twice] == [0.75, 0.75]
