"""One delivery against receivers that are slow, hostile or broken. Real sockets, real TLS."""

from __future__ import annotations

import time

import pytest
from pytest_django import Settings

from tests.processes import wait_for
from tests.webhooks.receiver import (
    CERTIFICATE,
    Answer,
    Received,
    Receiver,
    breaks_off,
    garbage,
    never_ends,
    says,
    trickles,
)
from webhooks.sender import READ_BYTES, Outcome, post
from webhooks.signature import sign

HEADERS = {"webhook-id": "1"}


def send(receiver: Receiver) -> Outcome:
    return post(receiver.url(), headers=HEADERS, body='{"a":"ü"}')


def test_the_body_arrives_as_it_is_with_our_headers(receiver: Receiver) -> None:
    outcome = send(receiver)
    assert (outcome.error_code, outcome.status, outcome.text, outcome.retry_after) == ("", 200, "thanks", 0)
    body = '{"a":"ü"}'.encode()
    assert receiver.received == [
        Received(
            path="/hook?a=1",
            headers={
                "host": f"127.0.0.1:{receiver.server_port}",
                "user-agent": "IDC-Finder-Webhooks/1",
                "content-type": "application/json",
                "content-length": str(len(body)),
                "accept-encoding": "identity",
                "webhook-id": "1",
            },
            body=body,
        )
    ]


@pytest.mark.parametrize(
    ("answer", "code", "status"),
    [
        (says(204), "", 204),
        (says(302, Location="http://127.0.0.1:1/"), "redirected", 302),
        (says(307, Location="http://169.254.169.254/latest/meta-data/"), "redirected", 307),
        (says(404, "no such hook"), "http_error", 404),
        (says(410), "gone", 410),
        (says(500, "broken"), "http_error", 500),
        (garbage, "not_http", None),
        (breaks_off, "not_http", None),
        (lambda handler: time.sleep(30), "timeout", None),
        (trickles, "timeout", None),
    ],
)
def test_what_a_receiver_does_has_a_code(
    answer: Answer, code: str, status: int | None, receiver: Receiver, settings: Settings
) -> None:
    if code == "timeout":
        settings.WEBHOOK_TIMEOUT_SECONDS = 1
    receiver.answer = answer
    started = time.monotonic()
    outcome = send(receiver)
    assert (outcome.error_code, outcome.status) == (code, status)
    assert time.monotonic() - started < 5
    wait_for(lambda: receiver.received, what="the request")
    assert len(receiver.received) == 1


def test_an_endless_body_is_cut(receiver: Receiver) -> None:
    receiver.answer = never_ends
    outcome = send(receiver)
    assert (outcome.error_code, outcome.status, outcome.text) == ("", 200, "x" * 500)
    wait_for(lambda: receiver.answered, what="the end of the connection, for the receiver")
    assert READ_BYTES <= receiver.written < 20_000_000  # what went into buffers of the system included


def test_what_comes_back_is_harmless_text(receiver: Receiver) -> None:
    receiver.answer = says(500, "a\x00b\x1b[31m\u202ec\nd" + "é" * 600)
    assert send(receiver).text == "a b [31m c\nd" + "é" * 488


def test_a_compressed_answer_is_not_unpacked(receiver: Receiver) -> None:
    receiver.answer = says(200, "not gzip at all", Content_Encoding="gzip")
    assert send(receiver).text == "not gzip at all"


def test_the_wish_to_be_left_alone_is_heard(receiver: Receiver) -> None:
    receiver.answer = says(503, Retry_After="120")
    assert send(receiver).retry_after == 120
    receiver.answer = says(503, Retry_After="Wed, 21 Oct 2026 07:28:00 GMT")
    assert send(receiver).retry_after == 0


def test_nobody_there(receiver: Receiver) -> None:
    receiver.shutdown()
    receiver.server_close()
    assert send(receiver).error_code == "connection_failed"


def test_a_private_address_is_not_even_connected_to(receiver: Receiver, settings: Settings) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = []
    assert send(receiver).error_code == "url_private"
    assert post(receiver.url("localhost"), headers=HEADERS, body="{}").error_code == "url_private"
    assert receiver.received == []


def test_the_connection_goes_to_the_address_that_was_checked(receiver: Receiver) -> None:
    """No name server knows receiver.test: to look it up again would fail."""
    answers = [["127.0.0.1"], ["169.254.169.254"]]
    outcome = post(
        receiver.url("receiver.test"), headers=HEADERS, body="{}", resolver=lambda host, port: answers.pop(0)
    )
    assert outcome.error_code == ""
    assert answers == [["169.254.169.254"]]
    assert receiver.received[0].headers["host"] == f"receiver.test:{receiver.server_port}"


def test_the_next_address_is_tried_when_the_first_is_dead(receiver: Receiver) -> None:
    outcome = post(
        receiver.url("receiver.test"),
        headers=HEADERS,
        body="{}",
        resolver=lambda host, port: ["127.0.0.2", "127.0.0.1"],
    )
    assert (outcome.error_code, len(receiver.received)) == ("", 1)


def test_no_proxy_of_the_environment_is_asked(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert send(receiver).error_code == ""


def test_the_certificate_is_verified_for_the_name_and_not_the_address(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver.speak_tls()

    def through(name: str) -> str:
        url = receiver.url(name)
        return post(url, headers=HEADERS, body="{}", resolver=lambda host, port: ["127.0.0.1"]).error_code

    assert through("receiver.test") == "tls_failed"  # nobody vouches for it
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    assert through("other.test") == "tls_failed"
    assert through("127.0.0.1") == "tls_failed"
    assert receiver.received == []
    assert through("receiver.test") == ""
    assert receiver.received[0].sni == "receiver.test"
    assert receiver.received[0].headers["host"] == f"receiver.test:{receiver.server_port}"


def test_a_signature_is_that_of_the_public_specification() -> None:
    """The reference vector of Standard Webhooks."""
    import base64

    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signature = sign(
        keys=[key], message_id="msg_p5jXN8AQM9LWM0D4loKWxJek", timestamp=1614265330, body='{"test": 2432232314}'
    )
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
