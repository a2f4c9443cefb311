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
        user = user_of(request)
        token = request.auth if isinstance(request.auth, ApiToken) else None
        return Response(
            {
                "email": user.email,
                "token": {
                    "name": token.name,
                    "scopes": token.scopes,
                    "expires_at": token.expiry,
                    "patches_per_day": token.patches_per_day,
                }
                if token
                else None,
                "limits": {
                    "image_bytes": MAX_BYTES,
                    "images_per_request": settings.IMAGES_PER_REQUEST,
                    "request_bytes": settings.REQUEST_MEGABYTES * 1024**2,
                    "zip_bytes": settings.ZIP_MEGABYTES * 1024**2,
                    "zip_members": settings.ZIP_MEMBERS,
                    "patches_per_day": settings.PATCHES_PER_DAY,
                    "reads_per_minute": settings.READS_PER_MINUTE,
                    "changes_per_minute": settings.CHANGES_PER_MINUTE,
                },
                "used_today": services.used_today(user),
                "left_today": services.left_today(user, token),
            }
        )
