"""A wrong call says what was wrong with it: fields that are none, bodies of another kind, numbers that are none."""

from __future__ import annotations

import http.client
import json
import socket
import struct
from ipaddress import ip_network
from typing import Any
from urllib.parse import SplitResult, urlsplit
from uuid import uuid4

import pytest
from django.contrib.auth.models import Group
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from pytest_django import Settings

from accounts.models import REVIEWERS, User
from predictions.models import Patch, Visibility
from reviews import services as reviews
from reviews.models import Answer
from tests import pictures
from tests.api.test_predictions_api import URL, Api
from tests.factories import answer, make_token, submit_drawn
from tests.processes import Processes, wait_for
from webhooks import services as webhooks
from webhooks.models import Webhook

pytestmark = pytest.mark.usefixtures("model_version")
FILE_REQUIRED = {
    "error": {
        "code": "file_required",
        "message": "Send at least one image as a file in the field “image”, or one zip archive in “zip”.",
    }
}
FIELDS_OF = {
    "create": "batch, forget, image, um_per_pixel, visibility, zip",
    "rerun": "model",
    "report": "comment, reason",
    "state truth": "answer, source",
    "review": "answer, comment, draw, patch",
    "change review": "answer, comment",
    "webhook": "url",
    "change webhook": "is_active",
}


@pytest.fixture
def api(owner: User) -> Api:
    return Api(owner)


def invalid(message: str, **field: str) -> dict[str, Any]:
    return {"error": {"code": "invalid", "message": message, **field}}


def no_field(name: str, operation: str) -> dict[str, Any]:
    return invalid(f"There is no such field. There are: {FIELDS_OF[operation]}.", field=name)


@pytest.fixture
def calls(owner: User, stranger: User, settings: Settings) -> dict[str, tuple[str, str, dict[str, Any]]]:
    """Every call with a JSON body that would succeed: method, address, body."""
    settings.WEBHOOK_ALLOWED_NETWORKS = [ip_network("127.0.0.1/32")]
    owner.groups.add(Group.objects.get_or_create(name=REVIEWERS)[0])
    mine = answer(submit_drawn(owner, 1)[0])
    shared = [answer(one) for one in submit_drawn(stranger, 2, 3, visibility=Visibility.PUBLIC)]
    review = reviews.review_patch(patch=shared[0].patch, reviewer=owner, answer=Answer.UNSURE, comment="")
    webhook = webhooks.create_webhook(owner=owner, url="http://127.0.0.1/hook")
    return {
        "rerun": ("post", f"{URL}{mine.uuid}/rerun/", {"model": mine.model_version.version}),
        "report": ("post", f"/api/v1/gallery/{shared[0].uuid}/reports/", {"reason": "other"}),
        "state truth": ("put", f"{URL}{mine.uuid}/ground-truth/", {"answer": "positive"}),
        "review": ("post", "/api/v1/reviews/", {"patch": str(shared[1].patch.uuid), "answer": "unsure"}),
        "change review": ("patch", f"/api/v1/reviews/{review.uuid}/", {"answer": "positive"}),
        "webhook": ("post", "/api/v1/webhooks/", {"url": "http://127.0.0.1/other"}),
        "change webhook": ("patch", f"/api/v1/webhooks/{webhook.uuid}/", {"is_active": False}),
    }


@pytest.mark.parametrize("name", [name for name in FIELDS_OF if name != "create"])
def test_a_body_is_an_object_of_the_fields_there_are(api: Api, calls: Any, name: str) -> None:
    method, address, body = calls[name]

    def send(sent: Any) -> Any:
        return getattr(api.client, method)(address, sent, content_type="application/json")

    for wrong in ("anser", "owner", "id"):
        refused = send(body | {wrong: "x"})
        assert (refused.status_code, refused.json()) == (400, no_field(wrong, name))
    assert send({"anser": "x"}).json() == no_field("anser", name)  # a slip is told before what is missing
    for kind in (b"null", b"[]", b"[1]", b'"text"', b"7", b"true"):
        refused = send(kind)
        assert (refused.status_code, refused.json()) == (400, invalid("Send a JSON object."))
    assert send(body).status_code in (200, 201, 202)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("visibilty", "public"),
        ("Forget", "true"),
        ("file", SimpleUploadedFile("b.png", pictures.png(seed=2))),
        ("owner", "1"),
        ("status", "succeeded"),
        ("probability", "1"),
    ],
)
def test_a_form_field_that_is_none_is_named_and_nothing_is_stored(api: Api, name: str, value: Any) -> None:
    refused = api.post(pictures.png(), **{name: value})
    assert (refused.status_code, refused.json()) == (400, no_field(name, "create"))
    assert not Patch.objects.exists()


@pytest.mark.parametrize(
    ("name", "values"),
    [("forget", ["true", "false"]), ("visibility", ["private", "public"]), ("um_per_pixel", ["1", "1"])],
)
def test_a_field_that_is_there_twice_is_named_and_nothing_is_stored(api: Api, name: str, values: list[str]) -> None:
    refused = api.post(pictures.png(), **{name: values})
    message = "This field is there more than once. Send it once."
    assert (refused.status_code, refused.json()) == (400, invalid(message, field=name))
    assert not Patch.objects.exists()


def form(parts: list[tuple[str, str, bytes]]) -> bytes:
    """Files as a form sends them: field, file name, content."""
    head = '--b\r\nContent-Disposition: form-data; name="{}"; filename="{}"\r\nContent-Type: image/png\r\n\r\n'
    return b"".join([*(head.format(*part[:2]).encode() + part[2] + b"\r\n" for part in parts), b"--b--\r\n"])


TWO = [("image", "a.png", pictures.png()), ("image", "b.png", pictures.png(seed=2))]


def test_what_is_no_file_beside_one_is_passed_over(api: Api) -> None:
    """A browser's form sends an empty name where no file is chosen, and Swagger UI text."""
    parts = [("image", "a.png", pictures.png()), ("image", "", b""), ("zip", "", b""), ("image", "", b"string")]
    sent = api.client.generic("POST", URL, form(parts), content_type="multipart/form-data; boundary=b")
    assert (sent.status_code, len(sent.json()["predictions"]), sent.json()["rejected"]) == (202, 1, [])


def test_a_file_without_a_file_name_is_not_passed_over_as_if_it_were_text(api: Api) -> None:
    part = b'--b\r\nContent-Disposition: form-data; name="image"\r\nContent-Type: image/png\r\n\r\n'
    body = part + pictures.png(seed=2) + b"\r\n" + form(TWO[:1])
    refused = api.client.generic("POST", URL, body, content_type="multipart/form-data; boundary=b")
    told = invalid("A file needs a “filename” beside its field.", field="image")
    assert (refused.status_code, refused.json(), Patch.objects.count()) == (400, told, 0)


@pytest.mark.parametrize("name", ["patches/", ".", "..", "/", "\x01", "a/.."])
def test_a_file_whose_name_is_none_is_taken_under_another(api: Api, name: str) -> None:
    parts = [("image", "a.png", pictures.png()), ("image", name, pictures.png(seed=2)), ("image", name, b"x")]
    sent = api.client.generic("POST", URL, form(parts), content_type="multipart/form-data; boundary=b")
    assert (sent.status_code, len(sent.json()["predictions"])) == (202, 2)
    assert [rejected["name"] for rejected in sent.json()["rejected"]] == ["unnamed"]
    assert {patch.original_name for patch in Patch.objects.all()} == {"a.png", "unnamed"}


CUT = {
    "code": "parse_error",
    "message": "What was sent has no end: it was cut on its way. Send it again, whole.",
}


@pytest.mark.parametrize("cut", [3, 8, 20, 1000])
def test_a_form_that_is_cut_is_refused_and_its_key_is_still_free(api: Api, cut: int) -> None:
    whole = form(TWO)

    def send(body: bytes) -> Any:
        kind, key = "multipart/form-data; boundary=b", {"Idempotency-Key": "k"}
        return api.client.generic("POST", URL, body, content_type=kind, headers=key)

    refused = send(whole[:-cut])
    assert (refused.status_code, refused.json(), Patch.objects.count()) == (400, {"error": CUT}, 0)
    sent = send(whole)
    assert (sent.status_code, len(sent.json()["predictions"])) == (202, 2)


def test_what_stands_behind_a_forms_end_is_passed_over(api: Api) -> None:
    sent = api.client.generic("POST", URL, form(TWO) + b"-" * 500, content_type="multipart/form-data; boundary=b")
    assert (sent.status_code, len(sent.json()["predictions"])) == (202, 2)


def test_a_form_is_read_whole_however_it_comes_in_pieces(api: Api) -> None:
    """Its boundaries are counted, and Django reads it in pieces of 64 kB: they fall on each place of the last one."""
    boundary = "b" * 30
    kind = f"multipart/form-data; boundary={boundary}"
    without = len(form([("image", "long", b""), *TWO])) + 4 * (len(boundary) - 1)
    for size in range(2**16 - 2, 2**16 + len(boundary) + 6):
        body = form([("image", "long", b"p" * (size - without)), *TWO]).replace(b"--b", b"--" + boundary.encode())
        assert len(body) == size
        sent = api.client.generic("POST", URL, body, content_type=kind)
        assert (sent.status_code, len(sent.json()["predictions"]), len(sent.json()["rejected"])) == (202, 2, 1)


NAMELESS = {
    "no name": b'form-data; filename="b.png"',
    "no disposition's kind": b"",
    "a name that is not UTF-8": b'form-data; name="im\xfcge"; filename="b.png"',
    "a file name that is not UTF-8": b'form-data; name="image"; filename="pr\xfcfung.png"',
}


@pytest.mark.parametrize("disposition", NAMELESS.values(), ids=NAMELESS)
@pytest.mark.parametrize("beside", [0, 1])
def test_a_part_of_a_form_that_cannot_be_read_is_not_passed_over(api: Api, disposition: bytes, beside: int) -> None:
    part = b"--b\r\nContent-Disposition: " + disposition + b"\r\n\r\n" + pictures.png(seed=2) + b"\r\n"
    body = part + form(TWO[:beside])
    refused = api.client.generic("POST", URL, body, content_type="multipart/form-data; boundary=b")
    message = "A part of the form cannot be read: it has no name, or one that is not UTF-8."
    told = {"error": {"code": "parse_error", "message": message}}
    assert (refused.status_code, refused.json(), Patch.objects.count()) == (400, told, 0)


def test_a_form_of_another_boundary_is_told_so(api: Api) -> None:
    refused = api.client.generic("POST", URL, form(TWO), content_type="multipart/form-data; boundary=other")
    told = {"code": "parse_error", "message": "The boundary that Content-Type names is not in the form."}
    assert (refused.status_code, refused.json()) == (400, {"error": told})


def cut_request(site: SplitResult, owner: User, path: str, kind: str, whole: bytes, sent: bytes) -> bytes:
    """It says how long its body is, and holds some of it."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {site.netloc}\r\nAuthorization: Bearer {make_token(owner)}\r\n"
        f"Content-Type: {kind}\r\nContent-Length: {len(whole)}\r\n\r\n"
    )
    return head.encode() + sent


FORM = "multipart/form-data; boundary=b"
HOOK = b'{"url": "http://127.0.0.1/hook"}'
CUTS = {
    "form": (URL, FORM, form(TWO), form(TWO)[:-1000]),
    "form without what stands behind its end": (URL, FORM, form(TWO) + b"\r\n", form(TWO)),
    "JSON": ("/api/v1/webhooks/", "application/json", HOOK + b" ", HOOK),
    "nothing": (URL, FORM, form(TWO), b""),
}


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
def test_of_a_program_that_falls_silent_nothing_is_stored(processes: Processes, owner: User, cut: Any) -> None:
    site = urlsplit(processes.start_web())
    with socket.create_connection((str(site.hostname), site.port), timeout=30) as program:
        program.sendall(cut_request(site, owner, *cut))
        program.shutdown(socket.SHUT_WR)
        answer = http.client.HTTPResponse(program)
        answer.begin()
        assert (answer.status, json.load(answer)) == (400, {"error": CUT})
    assert (Patch.objects.count(), Webhook.objects.count()) == (0, 0)


def test_a_page_that_is_sent_a_part_of_its_form_says_so(processes: Processes) -> None:
    site = urlsplit(processes.start_web())
    with socket.create_connection((str(site.hostname), site.port), timeout=30) as browser:
        cookie = f"Cookie: csrftoken={'a' * 32}\r\n"
        head = f"POST /accounts/login/ HTTP/1.1\r\nHost: {site.netloc}\r\nContent-Length: 100\r\n{cookie}"
        browser.sendall(f"{head}Content-Type: application/x-www-form-urlencoded\r\n\r\nlogin=a".encode())
        browser.shutdown(socket.SHUT_WR)
        answer = http.client.HTTPResponse(browser)
        answer.begin()
        assert (answer.status, "Only a part arrived" in answer.read().decode()) == (400, True)


def test_a_program_that_resets_its_connection_is_no_fault_of_the_server(processes: Processes, owner: User) -> None:
    site = urlsplit(processes.start_web())
    with socket.create_connection((str(site.hostname), site.port), timeout=30) as program:
        program.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        program.sendall(cut_request(site, owner, *CUTS["form"]))
    wait_for(lambda: f"POST {URL}" in processes.log("web"), what="the line of this request")
    assert "Internal Server Error" not in processes.log("web")
    assert not Patch.objects.exists()


def test_a_body_whose_length_is_not_told_is_asked_for_it(processes: Processes, owner: User) -> None:
    site = urlsplit(processes.start_web())
    message = "Say in Content-Length how long the body is: what comes in chunks is not read."
    bodies = [(URL, [form([("image", "a.png", pictures.png())])]), ("/api/v1/webhooks/", [b"{", b"}"])]
    for path, body in (*bodies, (f"{URL}{uuid4()}/share/", [])):
        program = http.client.HTTPConnection(str(site.hostname), site.port, timeout=30)
        headers = {"Authorization": f"Bearer {make_token(owner)}", "Content-Type": "multipart/form-data; boundary=b"}
        program.request("POST", path, iter(body), headers, encode_chunked=True)
        refused = program.getresponse()
        told = (refused.status, json.load(refused))
        if body:
            assert told == (411, {"error": {"code": "length_required", "message": message}})
        else:  # there is nothing to miss
            assert (told[0], told[1]["error"]["code"]) == (404, "not_found")
        program.close()
    with socket.create_connection((str(site.hostname), site.port), timeout=30) as stranger:
        head = f"POST {URL} HTTP/1.1\r\nHost: {site.netloc}\r\nTransfer-Encoding: chunked\r\n\r\n"
        stranger.sendall(f"{head}no number\r\n".encode())
        assert stranger.recv(12) == b"HTTP/1.1 411"


def test_a_session_may_send_its_csrf_token_as_a_field(owner: User) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(owner)
    browser.get("/predictions/new/")
    fields = {"csrfmiddlewaretoken": browser.cookies["csrftoken"].value}
    sent = browser.post(URL, {"image": SimpleUploadedFile("a.png", pictures.png()), **fields})
    assert sent.status_code == 202


@pytest.mark.parametrize(
    "fields", [{}, {"file": SimpleUploadedFile("a.png", b"x")}, {"image": "text"}, {"visibilty": "public"}]
)
def test_where_no_file_is_the_fields_that_take_one_are_named(api: Api, fields: dict[str, Any]) -> None:
    refused = api.client.post(URL, fields)
    assert (refused.status_code, refused.json()) == (400, FILE_REQUIRED)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b'{"image": "a.png"}'),
        ("application/json", b"[1]"),
        ("application/json", b"{"),
        ("application/x-www-form-urlencoded", b"image=a.png"),
        ("text/plain", b"a.png"),
    ],
)
def test_images_come_as_a_form_with_files_and_no_other_way(api: Api, content_type: str, body: bytes) -> None:
    refused = api.client.post(URL, body, content_type=content_type)
    message = "Send the body as one of these, and say so in Content-Type: multipart/form-data."
    assert (refused.status_code, refused.json()) == (
        415,
        {"error": {"code": "unsupported_media_type", "message": message}},
    )


@pytest.mark.parametrize(
    "value",
    [
        "1e400",
        "1e999999999",
        "-1e-999999999",
        "0.25" + "0" * 40 + "1",
        "-1e400",
        "nan",
        "inf",
        "-Infinity",
        "0",
        "0.009",
        "100.1",
        "4,5",
        "1_0",
        "\u0660.\u0665",
        "x",
        "9" * 5000,
        "1.00001",
    ],
)
def test_a_scale_is_a_number_in_its_range(api: Api, value: str) -> None:
    refused = api.post(pictures.png(), um_per_pixel=value)
    message = "Give a number from 0.01 to 100, with at most 4 digits after the point."
    assert (refused.status_code, refused.json()) == (400, invalid(message, field="um_per_pixel"))


@pytest.mark.parametrize(
    ("value", "stored"), [("0.01", 0.01), ("0.250000000", 0.25), ("100.000000", 100), ("1e2", 100), ("00004.5", 4.5)]
)
def test_zeros_at_the_end_of_a_scale_are_no_digits(api: Api, value: str, stored: float) -> None:
    assert api.post(pictures.png(), um_per_pixel=value).status_code == 202
    assert Patch.objects.get().um_per_pixel == stored
