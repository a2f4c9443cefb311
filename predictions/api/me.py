"""What the caller may do, and how much of it is left."""

from __future__ import annotations

from django.conf import settings
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.models import ApiToken
from ml.images import MAX_BYTES
from predictions import services
from predictions.api.access import user_of


class Me(APIView):
    def get(self, request: Request) -> Response:
        user, token = user_of(request), request.auth
        used = services.used_today(user)
        return Response(
            {
                "email": user.email,
                "token": {"name": token.name, "scopes": token.scopes, "expires_at": token.expiry}
                if isinstance(token, ApiToken)
                else None,
                "limits": {
                    "image_bytes": MAX_BYTES,
                    "images_per_request": settings.IMAGES_PER_REQUEST,
                    "request_bytes": settings.REQUEST_MEGABYTES * 1024**2,
                    "patches_per_day": settings.PATCHES_PER_DAY,
                },
                "used_today": used,
                "left_today": max(settings.PATCHES_PER_DAY - used, 0),
            }
        )
