"""A receiver on this machine, which the tests of webhooks may call."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_network

import pytest
from pytest_django import Settings

from accounts.models import User
from tests.webhooks.receiver import Receiver, running
from webhooks import services
from webhooks.models import Webhook


@pytest.fixture
def _loopback_is_allowed(settings: Settings) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = [ip_network("127.0.0.0/8")]
    settings.WEBHOOK_TIMEOUT_SECONDS = 30  # so that a busy machine is not taken for a slow receiver
    settings.WEBHOOK_RETRY_SECONDS = 60  # so that nothing is due again by itself


@pytest.fixture
def receiver(_loopback_is_allowed: None) -> Iterator[Receiver]:
    with running(Receiver()) as started:
        yield started


@pytest.fixture
def webhook(owner: User, receiver: Receiver) -> Webhook:
    return services.create_webhook(owner=owner, url=receiver.url())
