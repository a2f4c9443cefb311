"""Which server, and which token opens it.

IDC_SERVER and IDC_TOKEN win over what `idc login` stored. A stored token goes to the server it was stored for
and to no other.
"""

from __future__ import annotations

import ipaddress
import json
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import typer

from idc_finder_client.errors import NotAllowed, WrongUse


@dataclass(frozen=True)
class Credentials:
    server: str
    token: str = field(repr=False)
    insecure: bool = False


def resolve(server: str | None, token: str | None, *, insecure: bool) -> Credentials:
    """From arguments, else the environment, else what was stored.

    Raises:
        WrongUse: no server is known, or its address cannot be used.
        NotAllowed: no token is known.
    """
    stored = load()
    address = server or os.environ.get("IDC_SERVER") or (stored.server if stored else "")
    if not address:
        raise WrongUse("No server is known. Run `idc login`, or set IDC_SERVER and IDC_TOKEN.")
    is_stored = stored is not None and stored.server == address.strip().rstrip("/")
    insecure = insecure or (is_stored and stored is not None and stored.insecure)
    address = checked_server(address, insecure=insecure)
    known = token or os.environ.get("IDC_TOKEN") or (stored.token if stored and is_stored else "")
    if not known:
        raise NotAllowed(f"No token for {address} is known. Run `idc login`, or set IDC_TOKEN.")
    return Credentials(address, checked_token(known), insecure)


def checked_server(address: str, *, insecure: bool) -> str:
    """The address without a slash at its end, if a token may be sent there.

    Raises:
        WrongUse: it is no address, or the way there is open to all and `insecure` was not asked for.
    """
    address = address.strip().rstrip("/")
    try:
        url = httpx.URL(address)
    except httpx.InvalidURL as error:
        raise WrongUse("The server's address is none. Give one such as https://idc.example.org.") from error
    if url.scheme not in ("http", "https") or not url.host or url.userinfo or url.query or url.fragment:
        raise WrongUse("The server's address must be one such as https://idc.example.org.")
    if url.scheme == "http" and not insecure and not _is_local(url.host):
        raise WrongUse(
            f"{address} is not encrypted: anyone on the way could read your token and your patches. "
            "Use https://, or --insecure if you trust the network."
        )
    return address


def checked_token(token: str) -> str:
    """Raises NotAllowed for what cannot stand in a header, without showing it."""
    token = token.strip()
    if not token or not all("!" <= character <= "~" for character in token):
        raise NotAllowed("The token is empty or holds characters that no token has. Copy it anew.")
    return token


def load() -> Credentials | None:
    """What `idc login` stored, if it did.

    Raises:
        WrongUse: the file is damaged.
    """
    path = stored_in()
    try:
        kept = json.loads(path.read_text())
        return Credentials(str(kept["server"]), str(kept["token"]), bool(kept["insecure"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WrongUse(f"{path} cannot be read. Run `idc login` anew, or remove it.") from error


def store(credentials: Credentials) -> Path:
    """Keep them for this user's eyes alone."""
    path = stored_in()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # mkstemp makes files of mode 0600; the rename gives the old file's place to one that was never open to others.
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    with os.fdopen(handle, "w") as file:
        json.dump({"server": credentials.server, "token": credentials.token, "insecure": credentials.insecure}, file)
    Path(temporary).replace(path)
    return path


def stored_in() -> Path:
    return Path(typer.get_app_dir("idc-finder")) / "credentials.json"


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
