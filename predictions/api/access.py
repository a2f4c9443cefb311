"""Who is asking, and which rows they may have."""

from __future__ import annotations

from typing import cast
from uuid import UUID

from django.shortcuts import get_object_or_404
from rest_framework.request import Request

from accounts.models import ApiToken, User
from predictions import services
from predictions.models import Prediction


def user_of(request: Request) -> User:
    """The authenticated user; `HasScope` lets nobody else through."""
    return cast(User, request.user)


def token_of(request: Request) -> ApiToken | None:
    """What asks, if it is a program."""
    return request.auth if isinstance(request.auth, ApiToken) else None


def visible_prediction(request: Request, prediction_id: UUID) -> Prediction:
    visible = Prediction.objects.visible_to(user_of(request)).with_patch_and_model()
    found = get_object_or_404(visible, uuid=prediction_id)
    services.note_opening(patch=found.patch, reader=user_of(request))
    return found


def own_prediction(request: Request, prediction_id: UUID) -> Prediction:
    """Of the user's own patches alone: staff, too, change only what is theirs here."""
    own = Prediction.objects.filter(patch__owner=user_of(request)).visible_to(user_of(request))
    return get_object_or_404(own.with_patch_and_model(), uuid=prediction_id)
