"""What the schema says of reviews and ground truth beyond what their views and serializers tell."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample

from idc_site.api_schema import links_to
from predictions.api.schema import ID, PATCH, SITE

DRAW, REVIEW_ID = (f"{digit * 8}-0000-4000-8000-000000000000" for digit in "de")
QUESTION = {
    "draw": DRAW,
    "image": f"{SITE}/api/v1/reviews/draws/{DRAW}/image.png",
    "drawn_at": "2026-11-24T12:00:00Z",
}
REVIEW: dict[str, Any] = {
    "id": REVIEW_ID,
    "patch": PATCH,
    "prediction": ID,
    "answer": "positive",
    "first_answer": "positive",
    "comment": "",
    "is_blind": True,
    "created_at": "2026-11-24T12:00:09Z",
    "changed_at": None,
    "url": f"{SITE}/reviews/mine/{REVIEW_ID}/",
}
CHANGED = REVIEW | {"answer": "unsure", "comment": "At the edge.", "changed_at": "2026-11-24T12:03:00Z"}
TRUTH = {
    "answer": "positive",
    "created_at": "2026-11-24T12:00:00Z",
    "changed_at": None,
    "source": "histology report",
}
ANSWER_DRAW = OpenApiExample("draw", value={"draw": DRAW, "answer": "positive"}, request_only=True)
REVIEW_PATCH = OpenApiExample("patch", value={"patch": PATCH, "answer": "unsure"}, request_only=True)
CHANGE = OpenApiExample("change", value={"answer": "unsure", "comment": "At the edge."}, request_only=True)
STATE = OpenApiExample("truth", value={"answer": "positive", "source": "histology report"}, request_only=True)

OF_DRAW: dict[str, Any] = {}
for _name in ("get_review_image", "skip_review"):
    OF_DRAW |= links_to(_name, draw_id="$response.body#/draw")
OF_REVIEW: dict[str, Any] = {}
for _name in ("get_review", "change_review"):
    OF_REVIEW |= links_to(_name, review_id="$response.body#/id")
