"""What the log says of requests."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Iterator

import pytest
from django.test import Client

from accounts.models import User


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What the site's own handler writes."""
    (console,) = (handler for handler in logging.getLogger().handlers if handler.name == "console")
    assert isinstance(console, logging.StreamHandler)
    written = io.StringIO()
    before = console.setStream(written)
    yield written
    if before:
        console.setStream(before)


@pytest.mark.parametrize(
    ("address", "host", "status", "line"),
    [
        ("/predictions/00000000-0000-0000-0000-000000000000/", "testserver", 404,
         "django.request: Not Found: /predictions/00000000-0000-0000-0000-000000000000/"),
        ("/admin/predictions/patch/?owner__password=x", "testserver", 400,
         "django.security.DisallowedModelAdminLookup: Filtering by owner__password not allowed"),
        ("/admin/predictions/patch/?_to_field=sha256", "testserver", 400,
         "django.security.DisallowedModelAdminToField: The field sha256 cannot be referenced."),
        ("/", "evil.example", 400,
         "django.security.DisallowedHost: Invalid HTTP_HOST header: 'evil.example'. "
         "You may need to add 'evil.example' to ALLOWED_HOSTS."),
    ],
)  # fmt: skip
def test_a_refusal_is_one_line_and_no_error(
    client: Client, staff: User, log: io.StringIO, address: str, host: str, status: int, line: str
) -> None:
    client.force_login(staff)
    assert client.get(address, headers={"Host": host}).status_code == status
    (said,) = log.getvalue().splitlines()
    assert re.sub(r"^\S+ \S+ ", "", said) == f"WARNING {line}"


def test_a_fault_keeps_its_traceback(log: io.StringIO) -> None:
    try:
        raise ValueError("broken")
    except ValueError:
        logging.getLogger("django.request").exception("Internal Server Error", extra={"status_code": 500})
        logging.getLogger("predictions").exception("Elsewhere")
    assert (log.getvalue().count("Traceback"), log.getvalue().count(" ERROR ")) == (2, 2)
