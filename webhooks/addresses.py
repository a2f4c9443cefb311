"""Where a webhook may lead: to public addresses, and into networks that those who run the site have named.

A name is looked up once. Every address that it has must be allowed, and the connection goes to these very
addresses: whatever the name means a moment later changes nothing (DNS rebinding).
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from threading import Thread

import httpx
from django.conf import settings

from webhooks.exceptions import UrlInvalid, UrlPrivate, UrlUnresolved

MAX_URL = 500
DEFAULT_PORTS = {"http": 80, "https": 443}
FIRST_FREE_PORT = 1024  # below lie services that must not be spoken to by accident: mail, databases, remote shells
HOST = re.compile(r"[a-z0-9._:-]+")
RESOLVE_SECONDS = 5
ADDRESSES_TRIED = 4

GLOBAL_UNICAST = IPv6Network("2000::/3")
NAT64 = IPv6Network("64:ff9b::/96")
# What Python 3.11 takes for public: protocol assignments, the deprecated relays of 6to4, documentation.
NEITHER = [ip_network("192.0.0.0/24"), ip_network("192.88.99.0/24"), ip_network("3fff::/20")]

# Host and port -> the addresses of the host. Raises OSError.
Resolver = Callable[[bytes, int], list[str]]


@dataclass(frozen=True)
class Target:
    """A URL, taken apart by one parser for check and connection alike, and where it may be connected to."""

    url: httpx.URL
    port: int
    addresses: tuple[str, ...]


def resolve(host: bytes, port: int) -> list[str]:
    """Ask the system, which also reads what is no name: 127.1, 0x7f000001, 2130706433."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def checked_target(url: str, *, resolver: Resolver = resolve) -> Target:
    """Look up where `url` leads, and make sure that it may be called.

    Raises:
        UrlInvalid: it is no address that a webhook can have.
        UrlUnresolved: its name has no address, or nobody says so within RESOLVE_SECONDS.
        UrlPrivate: one of its addresses is neither public nor allowed.
    """
    parsed, port = _parsed(url)
    try:
        addresses = _within_seconds(resolver, parsed.raw_host, port)
    except (OSError, ValueError) as error:
        raise UrlUnresolved from error
    if not addresses:
        raise UrlUnresolved
    if not all(is_allowed(address) for address in addresses):
        raise UrlPrivate
    return Target(parsed, port, tuple(addresses[:ADDRESSES_TRIED]))


def _parsed(url: str) -> tuple[httpx.URL, int]:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise UrlInvalid from error
    host = parsed.raw_host.decode("ascii")
    if len(url) > MAX_URL or parsed.scheme not in DEFAULT_PORTS or not HOST.fullmatch(host):
        raise UrlInvalid
    if parsed.userinfo or parsed.fragment:
        raise UrlInvalid
    port = DEFAULT_PORTS[parsed.scheme] if parsed.port is None else parsed.port
    if port not in DEFAULT_PORTS.values() and not FIRST_FREE_PORT <= port < 65536:
        raise UrlInvalid
    return parsed, port


def _within_seconds(resolver: Resolver, host: bytes, port: int) -> list[str]:
    """The resolver's answer. The system's own cannot be stopped, so it is left behind when the time is up."""
    answer: Future[list[str]] = Future()

    def ask() -> None:
        try:
            answer.set_result(resolver(host, port))
        # Handed on to the one who waits.
        except Exception as error:
            answer.set_exception(error)

    Thread(target=ask, name="resolve", daemon=True).start()
    return answer.result(timeout=RESOLVE_SECONDS)


def is_allowed(address: str) -> bool:
    """Whether it is public or in an allowed network; an address wrapped in another counts as what is inside."""
    inner = _unwrapped(ip_address(address.partition("%")[0]))
    return any(inner in network for network in settings.WEBHOOK_ALLOWED_NETWORKS) or _is_public(inner)


def _unwrapped(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address that an IPv6 one leads to (mapped, 6to4, NAT64), or the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    if not address.is_global or address.is_multicast or address.is_reserved:
        return False
    if any(address in network for network in NEITHER):
        return False
    return isinstance(address, IPv4Address) or address in GLOBAL_UNICAST
