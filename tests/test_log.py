"""What the log says of requests."""

import logging

import pytest
from django.test import Client


def test_a_refusal_leaves_a_line_without_traceback(client: Client, db: None, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="django.request"):
        assert client.get("/predictions/00000000-0000-0000-0000-000000000000/").status_code == 404
    (record,) = caplog.records
    assert (record.getMessage(), record.exc_info) == (
        "Not Found: /predictions/00000000-0000-0000-0000-000000000000/",
        None,
    )
