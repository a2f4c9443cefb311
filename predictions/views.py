"""The pages. Access first: whatever is shown starts from `visible_to(user)`, whatever is changed from its owner."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import Q
from django.db.models.functions import Now
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.cache import get_conditional_response
from django.utils.translation import gettext as _
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.models import User
from idc_site.errors import refusal
from idc_site.health import WORKER_SILENCE
from ml import images, synthetic
from predictions import services
from predictions.archives import is_archive, receive_zip
from predictions.exceptions import FileRequired, PixelsDropped, ServiceError
from predictions.forms import UploadForm
from predictions.models import (
    Batch,
    Explanation,
    ModelVersion,
    Patch,
    Prediction,
    Source,
    Status,
    Visibility,
    WorkerHeartbeat,
)
from predictions.trust import held_out_like
from predictions.uploads import receive

STRIP = 6  # gallery cases on the front page
# How long the browser waits before it looks again, in ms: soon at first, then ever slower.
DELAYS = (150, 200, 300, 500, 1000, 2000, 3000, 5000)
MAP_DELAYS = (500, 500, 1000, 2000, 3000, 5000)
QUEUE_COUNTED = 1000
BATCH_ITEMS_SHOWN = 500
FAILURES_OPEN = 5  # the others are folded, so that the answers below are near
OPINIONS_SHOWN = 5


def home(request: HttpRequest) -> HttpResponse:
    patches = Patch.objects.in_gallery().select_related("current_prediction").order_by("-id")[:STRIP]
    return render(request, "home.html", {"patches": patches, "model": ModelVersion.objects.active()})


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def new(request: HttpRequest) -> HttpResponse:
    """The upload page. Its script sends the files to the API; without scripts this form does the same."""
    user = _user(request)
    form = UploadForm(request.POST or None, user=user)
    submission, error = None, ""
    if request.method == "POST" and form.is_valid():
        files = request.FILES.getlist("image")
        try:
            if not files:
                raise FileRequired
            submission = services.submit(
                owner=user,
                files=receive_zip(files[0]) if len(files) == 1 and is_archive(files[0]) else receive(files),
                visibility=form.cleaned_data["visibility"],
                forget=form.cleaned_data["forget"],
                source=Source.WEB,
                um_per_pixel=form.cleaned_data["um_per_pixel"],
            )
        except ServiceError as refusal:
            error = str(refusal)
        else:
            if submission.batch and (accepted := submission.accepted):
                if len(submission.items) == 1 and accepted[0].current_prediction:
                    return redirect(accepted[0].current_prediction)
                return redirect("batch", submission.batch.uuid)
    context = {
        "form": form,
        "error": error,
        "rejected": submission.rejected if submission else [],
        "limits": {
            "images": settings.IMAGES_PER_REQUEST,
            "request_megabytes": settings.REQUEST_MEGABYTES,
            "zip_megabytes": settings.ZIP_MEGABYTES,
            "image_megabytes": images.MAX_BYTES // 1024**2,
            "patches_per_day": services.most_a_day(user),
            "min_side": images.MIN_SIDE,
            "max_side": images.MAX_SIDE,
            "max_aspect": images.MAX_ASPECT,
            "patch_side": images.PATCH_SIDE,
        },
        "examples": range(synthetic.EXAMPLES),
    }
    return render(request, "predictions/new.html", context, status=400 if request.method == "POST" else 200)


@require_GET
@cache_control(public=True, max_age=86400)
def example(request: HttpRequest, number: int) -> HttpResponse:
    """A drawn patch for those who have none at hand."""
    try:
        return HttpResponse(synthetic.example_png(number), content_type="image/png")
    except IndexError as error:
        raise Http404 from error


@require_GET
def detail(request: HttpRequest, prediction_id: UUID) -> HttpResponse:
    prediction = visible_prediction(request, prediction_id)
    return render(request, "predictions/detail.html", _result_context(request, prediction))


@require_GET
def status(request: HttpRequest, prediction_id: UUID) -> HttpResponse:
    """The part of the result page that changes until the answer is there."""
    prediction = visible_prediction(request, prediction_id)
    return render(request, "predictions/_result.html", _result_context(request, prediction))


@require_GET
def image(request: HttpRequest, prediction_id: UUID) -> HttpResponse:
    try:
        return image_response(request, visible_prediction(request, prediction_id))
    except ServiceError as error:
        return refusal(request, error)


def image_response(request: HttpRequest, prediction: Prediction) -> HttpResponse:
    """The PNG, for those who may see the prediction now: every use asks again, so nothing outlives its sharing.

    Raises:
        PixelsDropped: there is none any more, even for those who have it.
    """
    if not prediction.patch.has_pixels:
        raise PixelsDropped
    return private_png(request, etag=prediction.patch.sha256, read=lambda: prediction.patch.image.png())


def private_png(request: HttpRequest, *, etag: str, read: Callable[[], bytes | memoryview]) -> HttpResponse:
    """A PNG that no cache may show without asking, or 304; `read` is called only if its bytes are needed."""
    quoted = f'"{etag}"'
    response = get_conditional_response(request, etag=quoted)
    if response is None:
        response = HttpResponse(bytes(read()), content_type="image/png")
    response["ETag"] = quoted
    response["Cache-Control"] = "private, no-cache"
    response["Content-Security-Policy"] = "default-src 'none'; sandbox"
    return response


@require_POST
@login_required
def change_visibility(request: HttpRequest, prediction_id: UUID) -> HttpResponse:
    prediction = _own_prediction(request, prediction_id)
    wanted = request.POST.get("visibility")
    if wanted not in Visibility.values:
        raise Http404
    try:
        services.set_visibility(patch=prediction.patch, actor=_user(request), visibility=Visibility(wanted))
    except ServiceError as error:
        messages.error(request, str(error))
        return redirect(prediction)
    is_public = wanted == Visibility.PUBLIC
    messages.success(request, _("This patch is public now.") if is_public else _("Only you see this patch now."))
    return redirect(prediction)


@require_POST
@login_required
def change_review(request: HttpRequest, prediction_id: UUID) -> HttpResponse:
    """Let reviewers look at a private patch, or end that."""
    prediction = _own_prediction(request, prediction_id)
    wanted = request.POST.get("review")
    if wanted not in ("allowed", "ended"):
        raise Http404
    is_allowed = wanted == "allowed"
    try:
        services.allow_review(patch=prediction.patch, actor=_user(request), is_allowed=is_allowed)
    except ServiceError as error:
        messages.error(request, str(error))
        return redirect(prediction)
    messages.success(
        request,
        _("Reviewers may look at this patch now.") if is_allowed else _("Reviewers are not shown this patch any more."),
    )
    return redirect(prediction)


@require_POST
@login_required
def ask(request: HttpRequest, prediction_id: UUID) -> HttpResponse:
    """Ask another model about the same patch."""
    prediction = _own_prediction(request, prediction_id)
    wanted = request.POST.get("model", "").replace("\0", "")  # which PostgreSQL takes in no text
    other = get_object_or_404(ModelVersion, version=wanted)
    try:
        return redirect(services.ask(patch=prediction.patch, model_version=other, actor=_user(request)))
    except ServiceError as error:
        messages.error(request, str(error))
        return redirect(prediction)


@require_POST
@login_required
def retry(request: HttpRequest, prediction_id: UUID) -> HttpResponse:
    prediction = _own_prediction(request, prediction_id)
    try:
        services.retry(prediction=prediction, actor=_user(request))
    except ServiceError as error:
        messages.error(request, str(error))
    return redirect(prediction)


@require_POST
@login_required
def delete(request: HttpRequest, prediction_id: UUID) -> HttpResponse:
    prediction = _own_prediction(request, prediction_id)
    services.withdraw(patch=prediction.patch, actor=_user(request))
    messages.success(request, _("The patch and its predictions are deleted."))
    return redirect("predictions:history")


@require_GET
def batch(request: HttpRequest, batch_id: UUID) -> HttpResponse:
    return render(request, "predictions/batch.html", _batch_context(request, batch_id))


@require_GET
def batch_progress(request: HttpRequest, batch_id: UUID) -> HttpResponse:
    return render(request, "predictions/_batch.html", _batch_context(request, batch_id))


def _user(request: HttpRequest) -> User:
    """The signed-in user, for views behind `login_required`."""
    return cast(User, request.user)


def visible_prediction(request: HttpRequest, prediction_id: UUID) -> Prediction:
    visible = Prediction.objects.visible_to(request.user).with_patch_and_model()
    found = get_object_or_404(visible, uuid=prediction_id)
    services.note_opening(patch=found.patch, reader=request.user)
    return found


def _own_prediction(request: HttpRequest, prediction_id: UUID) -> Prediction:
    own = Prediction.objects.filter(patch__owner=_user(request)).visible_to(request.user).select_related("patch")
    return get_object_or_404(own, uuid=prediction_id)


def _next_look(request: HttpRequest, delays: Sequence[int] = DELAYS) -> dict[str, int]:
    """Which look this is, and how long to wait before the next."""
    asked = request.GET.get("look", "0")
    look = min(int(asked), len(delays) - 1) if asked.isdecimal() and len(asked) < 4 else 0
    return {"look": look + 1, "delay": delays[look]}


def _result_context(request: HttpRequest, prediction: Prediction) -> dict[str, Any]:
    context: dict[str, Any] = {
        "prediction": prediction,
        "patch": prediction.patch,
        "is_owner": prediction.patch.owner_id == request.user.pk,
        "is_reportable": prediction.patch.is_shared and prediction.patch.owner_id != request.user.pk,
        "held_out": held_out_like(prediction),
    }
    if prediction.is_finished:
        context |= _other_opinions(request, prediction, may_ask=context["is_owner"])
        context |= explanation_context(request, prediction)
    if not prediction.is_finished:
        ahead = Prediction.objects.claimable().filter(
            Q(priority__lt=prediction.priority) | Q(priority=prediction.priority, pk__lt=prediction.pk)
        )
        context |= _next_look(request) | {
            "ahead": ahead[:QUEUE_COUNTED].count(),
            "has_worker": WorkerHeartbeat.objects.filter(seen_at__gte=Now() - WORKER_SILENCE).exists(),
        }
    return context


def explanation_context(request: HttpRequest, prediction: Prediction) -> dict[str, Any]:
    """How far the map of an answer is, and whether this reader may ask for it."""
    return {
        "explanation": Explanation.objects.of(prediction),
        "may_explain": prediction.may_be_explained_to(request.user),
        **_next_look(request, MAP_DELAYS),
    }


def _other_opinions(request: HttpRequest, prediction: Prediction, *, may_ask: bool) -> dict[str, Any]:
    """What each model said of the patch, this one first, and the models that its owner may still ask."""
    visible = Prediction.objects.visible_to(request.user).filter(patch=prediction.patch).with_patch_and_model()
    others = list(visible.exclude(pk=prediction.pk).order_by("-pk")[:OPINIONS_SHOWN])
    opinions = {"opinions": [prediction, *others] if others else []}
    if not may_ask or prediction.patch.is_to_be_forgotten:
        return opinions
    asked = {one.model_version_id for one in (prediction, *others)}
    askable = ModelVersion.objects.without_card().exclude(pk__in=asked)
    return opinions | {"askable": askable.order_by("-pk")[:OPINIONS_SHOWN]}


def _batch_context(request: HttpRequest, batch_id: UUID) -> dict[str, Any]:
    found = get_object_or_404(Batch.objects.visible_to(request.user), uuid=batch_id)
    services.note_batch_opening(batch=found, reader=request.user)
    answer = "patch__current_prediction"
    counts = found.counts()
    items = found.items.select_related(answer)
    failed = items.filter(~Q(error_code="") | Q(**{f"{answer}__status": Status.FAILED})).order_by("position")
    failures = list(failed[:BATCH_ITEMS_SHOWN])
    others = items.filter(error_code="", patch__isnull=False).exclude(**{f"{answer}__status": Status.FAILED})
    return {
        "batch": found,
        "counts": counts,
        "is_finished": counts["finished"] == counts["total"],
        "failures": failures,
        "first_failures": failures[:FAILURES_OPEN],
        "more_failures": failures[FAILURES_OPEN:],
        "items": others.order_by("position")[:BATCH_ITEMS_SHOWN],
        "shown": BATCH_ITEMS_SHOWN,
        **_next_look(request),
    }
