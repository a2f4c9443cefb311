"""Who is asking, and which rows they may have."""

from __future__ import annotations

from typing import cast
from uuid import UUID

from django.contrib.auth.models import AnonymousUser
from django.shortcuts import get_object_or_404
from rest_framework.request import Request
from rest_framework.views import APIView

from accounts.models import ApiToken, User
from accounts.permissions import HasScope
from predictions import services
from predictions.models import Prediction


class HasScopeOrIsShared(HasScope):
    """What anybody may see needs no token; all else is refused as if this were not, whether it exists or not."""

    opens_what_is_shared = True

    def has_permission(self, request: Request, view: APIView) -> bool:
        if super().has_permission(request, view):
            return True
        return Prediction.objects.visible_to(AnonymousUser()).filter(uuid=view.kwargs["prediction_id"]).exists()


def user_of(request: Request) -> User:
    """The authenticated user; `HasScope` lets nobody else through."""
    return cast(User, request.user)


def token_of(request: Request) -> ApiToken | None:
    """What asks, if it is a program."""
    return request.auth if isinstance(request.auth, ApiToken) else None


def visible_prediction(request: Request, prediction_id: UUID) -> Prediction:
    """Also for nobody in particular, where a view lets them through."""
    visible = Prediction.objects.visible_to(request.user).with_patch_and_model()
    found = get_object_or_404(visible, uuid=prediction_id)
    services.note_opening(patch=found.patch, reader=request.user)
    return found


def own_prediction(request: Request, prediction_id: UUID) -> Prediction:
    """Of the user's own patches alone: staff, too, change only what is theirs here."""
    own = Prediction.objects.filter(patch__owner=user_of(request)).visible_to(user_of(request))
    return get_object_or_404(own.with_patch_and_model(), uuid=prediction_id)
