from __future__ import annotations

import pytest
from django.test import Client

from accounts.models import User
from predictions.models import ModelVersion


@pytest.fixture
def other(model_version: ModelVersion) -> ModelVersion:
    return ModelVersion.objects.create(version="other-1", sha256="0" * 64, card=model_version.card)


@pytest.fixture
def signed_in(client: Client, staff: User) -> Client:
    client.force_login(staff)
    return client
