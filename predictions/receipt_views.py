"""The receipt of an answer, to be kept and computed again with `python -m ml verify`."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_GET

from idc_site.errors import refusal
from predictions.exceptions import ServiceError
from predictions.receipts import receipt_of
from predictions.views import visible_prediction


@require_GET
def receipt(request: HttpRequest, prediction_id: UUID) -> HttpResponse:
    prediction = visible_prediction(request, prediction_id)
    try:
        found = receipt_of(prediction)
    except ServiceError as error:
        return refusal(request, error)
    response = JsonResponse(found.as_dict(), json_dumps_params={"indent": 2})
    response["Content-Disposition"] = f'attachment; filename="receipt-{prediction.uuid}.json"'
    response["Cache-Control"] = "private, no-store"
    return response
