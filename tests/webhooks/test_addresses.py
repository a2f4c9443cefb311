"""Where webhooks may lead, and where not, however it is written."""

from __future__ import annotations

from functools import partial
from ipaddress import ip_network
from threading import Event

import pytest
from pytest_django import Settings

from predictions.exceptions import ServiceError
from tests.processes import PATIENCE
from webhooks.addresses import MAX_URL, checked_target, is_allowed
from webhooks.exceptions import UrlInvalid, UrlPrivate, UrlUnresolved

PUBLIC = ["192.0.78.1", "8.8.8.8", "2001:4860:4860::8888", "64:ff9b::8.8.8.8", "2002:808:808::1", "::ffff:8.8.8.8"]
NOT_PUBLIC = [
    "127.0.0.1", "127.255.255.254", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
    "192.0.0.8", "192.0.2.1", "192.88.99.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b:1::1", "100::1",
    "2001::1", "2001:db8::1", "2002:7f00:1::", "2002:a00:1::", "3fff::1", "5f00::1", "fc00::1", "fd12::1", "fe80::1",
    "fe80::1%eth0", "fec0::1", "ff02::1", "ff0e::1",
]  # fmt: skip


def answers(addresses: list[str], host: bytes, port: int) -> list[str]:
    """A name server that says this of every name."""
    return addresses


def refusal(url: str) -> str:
    try:
        checked_target(url)
    except ServiceError as error:
        return error.code
    return ""


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_allowed(address: str) -> None:
    assert is_allowed(address)


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_what_is_not_public_is_refused(address: str) -> None:
    assert not is_allowed(address)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.1", "2130706433", "0x7f000001", "0x7f.1", "0177.1", "017700000001", "0", "localhost",
     "LOCALHOST", "[::1]", "[::ffff:127.0.0.1]", "[0:0:0:0:0:ffff:7f00:1]", "[::]", "[fe80::1]", "[fd00::1]",
     "10.0.0.1", "169.254.169.254", "192.168.0.1", "0xa9fea9fe", "[64:ff9b::a9fe:a9fe]"],
)  # fmt: skip
def test_no_spelling_of_a_private_address_passes(host: str) -> None:
    for scheme in ("http", "https"):
        assert refusal(f"{scheme}://{host}/hook") == "url_private"


@pytest.mark.parametrize(
    "url",
    ["", "hook", "//example.org/", "/hook", "http://", "http:///hook", "ftp://example.org/", "file:///etc/passwd",
     "gopher://example.org/", "javascript:alert(1)", "http://user:password@example.org/", "http://user@example.org/",
     "http://example.org\\@127.0.0.1/", "http://example.org/#here", "http://exa mple.org/", "http://example.org\n/",
     "http://example.org/\x00", "http://[fe80::1%25eth0]/", "http://[::1", "http://example.org:22/",
     "http://example.org:25/", "https://example.org:0x50/", "http://example.org:99999/", "http://example.org:-1/",
     "http://１２７.0.0.1/", "http://0177.0.0.1/", "http://example.org/" + "a" * MAX_URL],
)  # fmt: skip
def test_what_is_no_address_of_a_web_server_is_refused(url: str) -> None:
    assert refusal(url) == "url_invalid"


def test_the_name_is_looked_up_once_and_all_its_addresses_must_be_allowed() -> None:
    asked = []

    def answer(*addresses: str) -> list[str]:
        asked.append(addresses)
        return list(addresses)

    target = checked_target("https://Receiver.test/a", resolver=lambda host, port: answer("8.8.8.8", "8.8.4.4"))
    assert (target.addresses, target.port, str(target.url)) == (("8.8.8.8", "8.8.4.4"), 443, "https://receiver.test/a")
    assert len(asked) == 1
    for mixed in (("8.8.8.8", "127.0.0.1"), ("::1", "8.8.8.8"), ("10.0.0.1",)):
        with pytest.raises(UrlPrivate):
            checked_target("https://receiver.test/", resolver=partial(answers, list(mixed)))


def test_names_of_other_scripts_are_looked_up_as_the_net_writes_them() -> None:
    hosts = []

    def resolver(host: bytes, port: int) -> list[str]:
        hosts.append((host, port))
        return ["8.8.8.8"]

    checked_target("http://병원.example:8080/ü", resolver=resolver)
    assert hosts == [(b"xn--om3bw6p.example", 8080)]


def test_a_name_that_nobody_knows_is_refused() -> None:
    def empty(host: bytes, port: int) -> list[str]:
        return []

    def unknown(host: bytes, port: int) -> list[str]:
        raise OSError("Name or service not known")

    for resolver in (unknown, empty):
        with pytest.raises(UrlUnresolved):
            checked_target("https://receiver.test/", resolver=resolver)


def test_a_name_server_that_is_silent_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webhooks.addresses.RESOLVE_SECONDS", 0.1)
    is_over = Event()

    def slow(host: bytes, port: int) -> list[str]:
        is_over.wait(PATIENCE)
        return ["8.8.8.8"]

    with pytest.raises(UrlUnresolved):
        checked_target("https://receiver.test/", resolver=slow)
    is_over.set()


def test_ones_own_network_is_allowed_by_name_alone(settings: Settings) -> None:
    assert settings.WEBHOOK_ALLOWED_NETWORKS == []
    settings.WEBHOOK_ALLOWED_NETWORKS = [ip_network("10.1.0.0/16"), ip_network("fd00:1::/64")]
    allowed = ["10.1.2.3", "fd00:1::5", "::ffff:10.1.2.3", "8.8.8.8"]
    assert [address for address in [*allowed, "10.2.0.1", "fd00:2::1", "127.0.0.1"] if is_allowed(address)] == allowed


def test_the_port_must_be_one_of_the_web_or_a_free_one() -> None:
    for port in (80, 443, 1024, 8443, 65535):
        target = checked_target(f"http://receiver.test:{port}/", resolver=lambda host, port: ["8.8.8.8"])
        assert target.port == port
    for port in (0, 1, 22, 1023, 65536):
        with pytest.raises(UrlInvalid):
            checked_target(f"http://receiver.test:{port}/", resolver=lambda host, port: ["8.8.8.8"])
