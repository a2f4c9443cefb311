"""What the caller may do, and how much of it is left."""

from __future__ import annotations

from django.conf import settings
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from idc_site.api_schema import example, operation
from ml.images import MAX_BYTES
from predictions import services
from predictions.api.access import token_of, user_of
from predictions.api.serializers import MeSerializer

EXAMPLE = {
    "email": "ada@example.org",
    "token": {
        "name": "laptop",
        "scopes": ["read", "predict"],
        "expires_at": "2027-02-21T11:30:00Z",
        "patches_per_day": None,
    },
    "limits": {
        "image_bytes": MAX_BYTES,
        "images_per_request": 100,
        "request_bytes": 52_428_800,
        "zip_bytes": 209_715_200,
        "zip_members": 10_000,
        "patches_per_day": 20_000,
        "reads_per_minute": 6_000,
        "changes_per_minute": 6_000,
        "private_patches_days": None,
    },
    "private_patches_days": 90,
    "used_today": 120,
    "left_today": 19_880,
}


class Me(APIView):
    @operation("get_me", "Limits, usage, quota left", answers={200: MeSerializer}, examples=[example(EXAMPLE, 200)])
    def get(self, request: Request) -> Response:
        """Who calls, what the token may do and until when, and how much of the day's quota is left."""
        user = user_of(request)
        token = token_of(request)
        me = {
            "email": user.email,
            "token": token,
            "limits": {
                "image_bytes": MAX_BYTES,
                "images_per_request": settings.IMAGES_PER_REQUEST,
                "request_bytes": settings.REQUEST_MEGABYTES * 1024**2,
                "zip_bytes": settings.ZIP_MEGABYTES * 1024**2,
                "zip_members": settings.ZIP_MEMBERS,
                "patches_per_day": services.most_a_day(user),
                "reads_per_minute": settings.READS_PER_MINUTE,
                "changes_per_minute": settings.CHANGES_PER_MINUTE,
                "private_patches_days": settings.PRIVATE_PATCHES_DAYS or None,
            },
            "private_patches_days": services.kept_days(user),
            "used_today": services.used_today(user),
            "left_today": services.left_today(user, token),
        }
        return Response(MeSerializer(me).data)
