"""The map of an answer: asked for by its owner or staff, shown to all who may see the prediction."""

from __future__ import annotations

from typing import cast
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import AnonymousUser
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from accounts.models import User
from idc_site.errors import refusal
from predictions import services
from predictions.exceptions import ExplanationFailed, PixelsDropped, ServiceError
from predictions.models import Explanation, Prediction, Status
from predictions.views import explanation_context, private_png, visible_prediction

RETRY_SECONDS = 1


@require_POST
@login_required
def explain(request: HttpRequest, prediction_id: UUID) -> HttpResponse:
    """Ask for the map. Back to the result; to its script, the part of the page that changes."""
    prediction = visible_prediction(request, prediction_id)
    if not prediction.may_be_explained_to(request.user):
        raise Http404
    try:
        services.explain(prediction=prediction, actor=cast(User, request.user))
    except ServiceError as error:
        messages.error(request, str(error))
    return _part(request, prediction) if request.headers.get("HX-Request") else redirect(prediction)


@require_GET
def explanation(request: HttpRequest, prediction_id: UUID) -> HttpResponse:
    """The part of the result page that changes until the map is there."""
    return _part(request, visible_prediction(request, prediction_id))


@require_GET
def heatmap(request: HttpRequest, prediction_id: UUID) -> HttpResponse:
    try:
        return heatmap_response(request, visible_prediction(request, prediction_id), user=request.user)
    except PixelsDropped as error:
        return refusal(request, error)
    except ServiceError as error:
        raise Http404 from error


def heatmap_response(request: HttpRequest, prediction: Prediction, *, user: User | AnonymousUser) -> HttpResponse:
    """The map as a PNG; 202 until it is there. It is asked for here if nobody did and `user` may.

    Raises:
        Http404: there is none, and `user` may not ask for it.
        NotAnswered: there is nothing to explain, because the prediction failed.
        ExplanationFailed: it could not be made.
        PixelsDropped: it went with the pixels, or can never be made.
    """
    if not prediction.patch.has_pixels:
        raise PixelsDropped
    found = Explanation.objects.of(prediction)
    if not prediction.may_be_explained_to(user) and (found is None or found.status == Status.FAILED):
        raise Http404
    # While the answer itself is awaited, there is nothing to ask for yet.
    if found is None and prediction.is_finished:
        found = services.explain(prediction=prediction, actor=cast(User, user))
    if found and found.status == Status.FAILED:
        raise ExplanationFailed
    if found is None or not found.is_finished:
        coming = HttpResponse(status=202, headers={"Retry-After": str(RETRY_SECONDS), "Cache-Control": "no-store"})
        del coming["Content-Type"]  # it has no body
        return coming
    response = private_png(request, etag=f"{prediction.uuid}-{found.attempt}", read=lambda: cast(bytes, found.png))
    response["X-Model-SHA256"] = prediction.model_version.sha256
    return response


def _part(request: HttpRequest, prediction: Prediction) -> HttpResponse:
    context = {"prediction": prediction} | explanation_context(request, prediction)
    return render(request, "predictions/_explanation.html", context)
