"""Batches: how far they are, and their answers as a table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from django.http import HttpResponseBase
from django.shortcuts import get_object_or_404
from drf_spectacular.types import OpenApiTypes
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.views import APIView

from idc_site.api_schema import example, header, links_to, operation
from predictions import services
from predictions.api.access import user_of
from predictions.api.schema import BATCH, ID, SITE
from predictions.api.serializers import BatchSerializer
from predictions.exceptions import TooManyExports
from predictions.exports import ROWS_READ, as_csv, csv_table
from predictions.models import Batch, BatchItem

COLUMNS = ("name", "id", "status", "probability", "label", "threshold", "model", "flags", "error")
EXAMPLE = {
    "id": BATCH,
    "created_at": "2026-11-23T11:30:00Z",
    "total": 3,
    "rejected": 1,
    "deleted": 0,
    "succeeded": 1,
    "failed": 0,
    "waiting": 1,
    "is_finished": False,
    "url": f"{SITE}/batches/{BATCH}/",
    "csv": f"{SITE}/api/v1/batches/{BATCH}/predictions.csv",
}
EXAMPLE_ROW = ("a.png", ID, "succeeded", 0.9713, "positive", 0.5, "mobilenetv2-3", "", "")
EXAMPLE_CSV = b"".join(as_csv([[EXAMPLE_ROW]], COLUMNS)).decode()


class BatchDetail(APIView):
    @operation(
        "get_batch",
        "How far a batch is",
        answers={200: BatchSerializer},
        examples=[example(EXAMPLE, 200)],
        links={"200": links_to("get_batch_csv", batch_id="$response.body#/id")},
    )
    def get(self, request: Request, batch_id: UUID) -> Response:
        """total = rejected + deleted + succeeded + failed + waiting."""
        batch = _batch(request, batch_id)
        counts = batch.counts()
        finished = counts.pop("finished")
        progress = {
            "id": batch.uuid,
            "created_at": batch.created_at,
            **counts,
            "waiting": counts["total"] - finished,
            "is_finished": finished == counts["total"],
            "url": reverse("batch", args=[batch.uuid], request=request),
            "csv": reverse("api:batch-csv", args=[batch.uuid], request=request),
        }
        return Response(BatchSerializer(progress).data)


class BatchCsv(APIView):
    @operation(
        "get_batch_csv",
        "The answers of a batch as a table",
        answers={(200, "text/csv"): OpenApiTypes.STR},
        examples=[example(EXAMPLE_CSV, 200, media_type="text/csv")],
        errors=[TooManyExports],
        parameters=[header("Content-Disposition", "A file name.", 200)],
    )
    def get(self, request: Request, batch_id: UUID) -> HttpResponseBase:
        """One line per file in the order sent, empty where nothing is known (yet). Streamed, however long it is."""
        batch = _batch(request, batch_id)
        return csv_table(request._request, COLUMNS, _pieces(batch), f"batch-{batch.uuid}")


def _batch(request: Request, batch_id: UUID) -> Batch:
    found = get_object_or_404(Batch.objects.visible_to(user_of(request)), uuid=batch_id)
    services.note_batch_opening(batch=found, reader=user_of(request))
    return found


def _pieces(batch: Batch) -> Iterator[list[tuple[Any, ...]]]:
    items, last = batch.items.with_answer().order_by("position"), -1
    while found := list(items.filter(position__gt=last)[:ROWS_READ]):
        yield [_row(item) for item in found]
        if len(found) < ROWS_READ:
            return
        last = found[-1].position


def _row(item: BatchItem) -> tuple[Any, ...]:
    prediction = item.patch.current_prediction if item.patch else None
    if prediction is None:
        return (item.name, "", "rejected" if item.error_code else "deleted", "", "", "", "", "", item.error_code)
    return (
        item.name,
        prediction.uuid,
        prediction.status,
        prediction.probability,
        prediction.label,
        prediction.threshold,
        prediction.model_version.version,
        prediction.flags,
        prediction.error_code,
    )
