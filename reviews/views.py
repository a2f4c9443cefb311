"""The pages of reviewers. The question shows the picture and nothing of any model; the answer opens the rest."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, cast
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.db.models import Count
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.models import User
from predictions.exceptions import ServiceError
from predictions.models import Patch, Prediction, Status
from predictions.pagination import page_of
from predictions.views import private_png
from reviews import services
from reviews.forms import ReviewForm, TruthForm
from reviews.models import Answer, Draw, Outcome, Review

OPINIONS_SHOWN = 5
KEYS = {Answer.POSITIVE: "1 p", Answer.NEGATIVE: "2 n", Answer.UNSURE: "3 u", Answer.NOT_A_PATCH: "4 x"}
P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponse]


def reviewers_only(view: View[P]) -> View[P]:
    """For reviewers and staff; whoever is not signed in may do so, others get a 403."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        if not cast(User, request.user).is_reviewer:
            raise PermissionDenied
        return view(request, *args, **kwargs)

    return cast("View[P]", login_required(guarded))


@require_GET
@login_required
def home(request: HttpRequest) -> HttpResponse:
    """What reviewing is, and how far one has come; also for those who are not invited yet."""
    user = cast(User, request.user)
    counted = Draw.objects.filter(reviewer=user).values_list("outcome").annotate(number=Count("pk")).order_by()
    counts = dict(counted) if user.is_reviewer else {}
    context = {"answered": counts.get(Outcome.ANSWERED, 0), "skipped": counts.get(Outcome.SKIPPED, 0)}
    return render(request, "reviews/home.html", context)


@require_GET
@never_cache
@reviewers_only
def next_patch(request: HttpRequest) -> HttpResponse:
    draws = services.next_draws(reviewer=_reviewer(request))
    if not draws:
        return render(request, "reviews/done.html")
    return _question(request, draws[0], following=draws[1:], form=ReviewForm())


@require_GET
@reviewers_only
def image(request: HttpRequest, draw_id: UUID) -> HttpResponse:
    return image_response(request, draw_id, reviewer=_reviewer(request))


def image_response(request: HttpRequest, draw_id: UUID, *, reviewer: User) -> HttpResponse:
    """The picture by the draw's own address, which leads to nothing else."""
    still = Patch.objects.reviewable_by(reviewer)
    draw = get_object_or_404(Draw.objects.filter(reviewer=reviewer, patch__in=still), uuid=draw_id)
    return private_png(request, etag=str(draw.uuid), read=lambda: draw.patch.image.png())


@require_POST
@reviewers_only
def answer(request: HttpRequest, draw_id: UUID) -> HttpResponse:
    draw, form = _own_draw(request, draw_id), ReviewForm(request.POST)
    if not form.is_valid():
        if draw.outcome != Outcome.OPEN:
            return redirect("reviews:next")
        return _question(request, draw, following=[], form=form)
    try:
        review = services.answer_draw(
            draw=draw,
            reviewer=_reviewer(request),
            answer=Answer(form.cleaned_data["answer"]),
            comment=form.cleaned_data["comment"],
        )
    except ServiceError as error:
        messages.error(request, str(error))
        return redirect("reviews:next")
    return redirect(review)


@require_POST
@reviewers_only
def skip(request: HttpRequest, draw_id: UUID) -> HttpResponse:
    services.skip_draw(draw=_own_draw(request, draw_id), reviewer=_reviewer(request))
    return redirect("reviews:next")


@require_GET
@reviewers_only
def mine(request: HttpRequest) -> HttpResponse:
    page = page_of(request, Review.objects.visible_to(request.user).select_related("draw"))
    patches = [review.patch_id for review in page.rows]
    still = set(Patch.objects.reviewable_by(request.user).filter(pk__in=patches).values_list("pk", flat=True))
    rows = [{"review": review, "is_open": review.patch_id in still} for review in page.rows]
    return render(request, "reviews/mine.html", {"page": page, "rows": rows})


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@reviewers_only
def review(request: HttpRequest, review_id: UUID) -> HttpResponse:
    """What one said, beside what the models say; and the form to say something else."""
    found = get_object_or_404(Review.objects.visible_to(request.user).select_related("patch", "draw"), uuid=review_id)
    form = ReviewForm(request.POST or None, initial={"answer": found.answer, "comment": found.comment})
    if request.method == "POST" and form.is_valid():
        changed = {"answer": Answer(form.cleaned_data["answer"]), "comment": form.cleaned_data["comment"]}
        try:
            services.change_review(review=found, reviewer=_reviewer(request), **changed)
        except ServiceError as error:
            messages.error(request, str(error))
        else:
            messages.success(request, _("Your review is changed. What you said first is kept beside it."))
        return redirect(found)
    context: dict[str, Any] = {"review": found, "form": form, "is_open": False}
    if Patch.objects.reviewable_by(request.user).filter(pk=found.patch_id).exists():
        context |= {"is_open": True, "opinions": _opinions(request, found)}
    return render(request, "reviews/review.html", context, status=400 if request.method == "POST" else 200)


@require_POST
@login_required
def ground_truth(request: HttpRequest, prediction_id: UUID) -> HttpResponse:
    """What the owner of a patch says it shows; `answer=none` takes it back."""
    owner = cast(User, request.user)
    prediction = get_object_or_404(
        Prediction.objects.filter(patch__owner=owner).select_related("patch"), uuid=prediction_id
    )
    form = TruthForm(request.POST)
    try:
        if request.POST.get("answer") == "none":
            services.withdraw_truth(patch=prediction.patch, owner=owner)
            messages.success(request, _("You state nothing about this patch any more."))
        elif form.is_valid():
            stated = {"answer": Answer(form.cleaned_data["answer"]), "source": form.cleaned_data["source"]}
            services.state_truth(patch=prediction.patch, owner=owner, **stated)
            messages.success(request, _("Thank you. What you state is kept apart from what reviewers say."))
        else:
            messages.error(request, _("Say whether it is IDC, and how you know in at most 200 characters."))
    except ServiceError as error:
        messages.error(request, str(error))
    return redirect(prediction)


def _reviewer(request: HttpRequest) -> User:
    """The reviewer, for views behind `reviewers_only`."""
    return cast(User, request.user)


def _own_draw(request: HttpRequest, draw_id: UUID) -> Draw:
    return get_object_or_404(Draw.objects.filter(reviewer=_reviewer(request)).select_related("patch"), uuid=draw_id)


def _question(request: HttpRequest, draw: Draw, *, following: list[Draw], form: ReviewForm) -> HttpResponse:
    """The page with the picture. Nothing in it may lead to the patch, its predictions or its owner."""
    if not Draw.objects.open_to(_reviewer(request)).filter(pk=draw.pk).exists():
        raise Http404
    context = {
        "draw_id": draw.uuid,
        "following_id": following[0].uuid if following else None,
        "form": form,
        "choices": [{"value": value, "label": value.label, "keys": keys} for value, keys in KEYS.items()],
    }
    return render(request, "reviews/question.html", context, status=400 if form.errors else 200)


def _opinions(request: HttpRequest, found: Review) -> list[dict[str, Any]]:
    """What each model says, the one that was asked when it was reviewed first, and whether it agrees."""
    visible = Prediction.objects.visible_to(request.user).filter(patch=found.patch_id, status=Status.SUCCEEDED)
    latest = list(visible.with_patch_and_model().order_by("-pk")[:OPINIONS_SHOWN])
    latest.sort(key=lambda prediction: prediction.pk != found.prediction_id)
    is_definite = found.answer in (Answer.POSITIVE, Answer.NEGATIVE)
    return [
        {"prediction": prediction, "agrees": prediction.label == found.answer if is_definite else None}
        for prediction in latest
    ]
