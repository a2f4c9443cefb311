"""Makes people, patches and predictions for tests, through the services wherever these do it."""

from __future__ import annotations

from datetime import timedelta
from functools import lru_cache
from typing import Any

import numpy as np
from django.contrib.auth.models import Group
from django.db.models.functions import Now
from django.utils import timezone

from accounts.models import REVIEWERS, Scope, User
from accounts.tokens import create_token
from ml.images import DecodedPatch
from ml.synthetic import draw_patch
from predictions import services
from predictions.models import Prediction, Source, Status, Visibility
from predictions.uploads import ReceivedFile


def make_user(email: str, *, password: str | None = None, **fields: Any) -> User:
    """Someone who has been here for a while, whose reports are believed."""
    joined = {"date_joined": timezone.now() - timedelta(days=30)}
    return User.objects.create_user(email, password, **(joined | fields))


def make_reviewer(email: str) -> User:
    """Someone in the reviewers' group, which tests that empty the database have to make anew."""
    user = make_user(email)
    user.groups.add(Group.objects.get_or_create(name=REVIEWERS)[0])
    return user


def make_token(user: User, *scopes: Scope) -> str:
    _, token = create_token(user=user, name="test", scopes=list(scopes or Scope.values))
    return token


@lru_cache(maxsize=1000)
def drawn(seed: int, cellularity: float = 0.5) -> DecodedPatch:
    pixels = draw_patch(1000 + seed, cellularity=cellularity)
    pixels = np.ascontiguousarray(pixels)
    pixels.flags.writeable = False  # many tests get this one
    return DecodedPatch(pixels, 50, 50)


def received(*seeds: int) -> list[ReceivedFile]:
    return [ReceivedFile(f"drawn-{seed}.png", patch=drawn(seed)) for seed in seeds]


def submit_drawn(
    owner: User, *seeds: int, visibility: Visibility = Visibility.PRIVATE, source: Source = Source.WEB
) -> list[Prediction]:
    """Submit drawn patches and return their queued predictions, in the order of the seeds."""
    submission = services.submit(owner=owner, files=received(*seeds), visibility=visibility, source=source)
    return [patch.current_prediction for patch in submission.accepted if patch.current_prediction]


def answer(prediction: Prediction, probability: float = 0.75) -> Prediction:
    """Put an answer into a row, without a worker."""
    Prediction.objects.filter(pk=prediction.pk).update(
        status=Status.SUCCEEDED, probability=probability, started_at=Now(), finished_at=Now(), lease_until=None
    )
    prediction.refresh_from_db()
    return prediction


def fail(prediction: Prediction) -> Prediction:
    """Put a failure into a row, without a worker."""
    Prediction.objects.filter(pk=prediction.pk).update(
        status=Status.FAILED, attempt=3, finished_at=Now(), error_code="worker_lost", error_message="Lost."
    )
    prediction.refresh_from_db()
    return prediction
