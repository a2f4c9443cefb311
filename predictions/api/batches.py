"""Batches: how far they are, and their answers as a table."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from django.http import HttpResponseBase, StreamingHttpResponse
from django.shortcuts import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.views import APIView

from predictions.api.access import user_of
from predictions.models import Batch, BatchItem

ROWS_READ = 1000  # at once
COLUMNS = ("name", "id", "status", "probability", "label", "threshold", "model", "flags", "error")
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet would run


class BatchDetail(APIView):
    """total = rejected + deleted + succeeded + failed + waiting."""

    def get(self, request: Request, batch_id: UUID) -> Response:
        batch = _batch(request, batch_id)
        counts = batch.counts()
        finished = counts.pop("finished")
        return Response(
            {
                "id": str(batch.uuid),
                "created_at": batch.created_at,
                **counts,
                "waiting": counts["total"] - finished,
                "is_finished": finished == counts["total"],
                "url": reverse("batch", args=[batch.uuid], request=request),
                "csv": reverse("api:batch-csv", args=[batch.uuid], request=request),
            }
        )


class BatchCsv(APIView):
    """One line per file in the order sent, empty where nothing is known (yet). Streamed, however long it is."""

    def get(self, request: Request, batch_id: UUID) -> HttpResponseBase:
        batch = _batch(request, batch_id)
        writer = csv.writer(_Echo())
        response = StreamingHttpResponse(map(writer.writerow, _rows(batch)), content_type="text/csv; charset=utf-8")
        response["Content-Disposition"] = f'attachment; filename="batch-{batch.uuid}.csv"'
        response["Cache-Control"] = "private, no-store"
        return response


class _Echo:
    """The file that a csv.writer writes to: gives each line back."""

    def write(self, line: str) -> str:
        return line


def _batch(request: Request, batch_id: UUID) -> Batch:
    return get_object_or_404(Batch.objects.visible_to(user_of(request)), uuid=batch_id)


def _rows(batch: Batch) -> Iterator[tuple[Any, ...]]:
    yield COLUMNS
    items = batch.items.with_answer().order_by("position")
    for item in items.iterator(chunk_size=ROWS_READ):
        yield _row(item)


def _row(item: BatchItem) -> tuple[Any, ...]:
    name = f"'{item.name}" if item.name.startswith(FORMULA) else item.name
    prediction = item.patch.current_prediction if item.patch else None
    if prediction is None:
        return (name, "", "rejected" if item.error_code else "deleted", "", "", "", "", "", item.error_code)
    return (
        name,
        prediction.uuid,
        prediction.status,
        "" if prediction.probability is None else prediction.probability,
        prediction.label or "",
        prediction.threshold,
        prediction.model_version.version,
        " ".join(prediction.flags),
        prediction.error_code,
    )
