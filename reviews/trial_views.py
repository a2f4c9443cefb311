"""The trial of a model version: run it silently, see what would change, and activate it or not. For staff."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, cast
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_POST

from accounts.models import User
from predictions import services
from predictions.exceptions import NotTried, ServiceError
from predictions.model_views import SCHEMES
from predictions.models import ModelVersion, Run
from predictions.pagination import page_of
from predictions.services.runs import MOST_RECENT, RECENT
from reviews.comparison import SHIFTS, Judged
from reviews.evidence import Share
from reviews.evidence_views import Interval, csv_response, share_named, svg_response
from reviews.figures import FEW, FEW_OWNERS
from reviews.forms import TrialForm
from reviews.trials import MOST, base_of, flips, has_pairs, judged_pairs, unjudged_pairs

RUNS_SHOWN = 5
UNSHOWN_COUNTED = 1000
NAMES = {
    "sensitivity": gettext_lazy("IDC patches called positive (sensitivity)"),
    "specificity": gettext_lazy("other patches called negative (specificity)"),
    "agreement": gettext_lazy("all patches called as people call them"),
}
CHARTS = ("changes", "shifts")
P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, str, P], HttpResponse]


def staff_only(permission: str) -> Callable[[View[P]], View[P]]:
    """For staff with this permission; whoever is not signed in may do so, for others there is no such page."""

    def decorate(view: View[P]) -> View[P]:
        @wraps(view)
        def guarded(request: HttpRequest, version: str, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
            user = cast(User, request.user)
            if not (user.sees_all and user.has_perm(permission)):
                raise Http404
            return view(request, version, *args, **kwargs)

        return cast("View[P]", login_required(guarded))

    return decorate


SEES, DECIDES = "predictions.view_modelversion", "predictions.change_modelversion"
RERUNS = "predictions.change_prediction"


@require_GET
@staff_only(SEES)
def trial(request: HttpRequest, version: str) -> HttpResponse:
    model_version, share = _version(version), share_named(request.GET.get("share"))
    base = base_of(model_version)
    context: dict[str, Any] = {
        "model_version": model_version,
        "base": base,
        "form": TrialForm(),
        "share": share,
        "shares": Share,
        "may_decide": request.user.has_perm(DECIDES),
        "may_rerun": request.user.has_perm(RERUNS),
        "has_been_active": services.has_been_active(model_version),
        "recent": RECENT,
        "few": FEW,
        "few_owners": FEW_OWNERS,
        "most": MOST,
        **_runs(model_version),
    }
    try:
        context["trial"] = services.trial_that_counts(model_version)
    except NotTried as error:
        context["why_untried"] = str(error)
    if base:
        found, unseen = judged_pairs(model_version, base, share), unjudged_pairs(model_version, base)
        context |= {
            "has_pairs": has_pairs(model_version, base),
            "judged": found,
            "changes": [(NAMES[change.name], change) for change in found.changes],
            "is_difference_drawn": any(value for _, value in _differences(found)),
            "unseen": unseen,
            "bins": [(_edge(place), _edge(place + 1), number) for place, number in enumerate(unseen.bins)],
        }
    return render(request, "models/trial.html", context)


@require_GET
@staff_only(SEES)
def progress(request: HttpRequest, version: str) -> HttpResponse:
    """How far the runs are. When the last has ended, the page is loaded anew, with its figures."""
    model_version = _version(version)
    context = {"model_version": model_version, "may_decide": request.user.has_perm(DECIDES), **_runs(model_version)}
    response = render(request, "models/_runs.html", context)
    if not context["is_running"]:
        response["HX-Refresh"] = "true"
    return response


@require_POST
@staff_only(DECIDES)
def start(request: HttpRequest, version: str) -> HttpResponse:
    model_version, form = _version(version), TrialForm(request.POST)
    if form.is_valid():
        recent = form.cleaned_data["recent"]
        _try(request, lambda: services.start_shadow(model_version=model_version, actor=_staff(request), recent=recent))
    else:
        messages.error(request, _("Say how many recent patches: at most %(most)d.") % {"most": MOST_RECENT})
    return redirect("trial:trial", version)


@require_POST
@staff_only(RERUNS)
def rerun(request: HttpRequest, version: str) -> HttpResponse:
    """Ask this version about all patches, for their owners to see."""
    services.start_rerun(model_version=_version(version), actor=_staff(request))
    return redirect("trial:trial", version)


@require_POST
@staff_only(DECIDES)
def stop(request: HttpRequest, version: str, run_id: UUID) -> HttpResponse:
    run = get_object_or_404(Run, uuid=run_id, model_version__version=version)
    _try(request, lambda: services.cancel_run(run=run, actor=_staff(request)))
    return redirect("trial:trial", version)


@require_POST
@staff_only(DECIDES)
def activate(request: HttpRequest, version: str) -> HttpResponse:
    """`run`: the trial that was looked at; or `without_trial`, ticked."""
    model_version, looked_at = _version(version), request.POST.get("run", "")
    trial_run = None
    if looked_at:
        trials = {str(run.uuid): run for run in Run.objects.trials_of(model_version)}
        trial_run = trials.get(looked_at)
        if trial_run is None:
            raise Http404
    without_trial = request.POST.get("without_trial") == "on"
    if _try(
        request,
        lambda: services.activate_after_trial(
            model_version=model_version, actor=_staff(request), trial=trial_run, without_trial=without_trial
        ),
    ):
        messages.success(request, _("%(version)s answers new patches from now on.") % {"version": model_version})
    return redirect("trial:trial", version)


@require_GET
@staff_only(SEES)
def changed(request: HttpRequest, version: str) -> HttpResponse:
    """The patches that the two models call differently, as far as they may be looked at."""
    model_version = _version(version)
    base = base_of(model_version)
    if base is None:
        raise Http404
    shown, unshown = (flips(model_version, base, may_be_shown=which) for which in (True, False))
    context = {
        "model_version": model_version,
        "base": base,
        "page": page_of(request, shown.select_related("patch").defer("embedding")),
        "unshown": unshown.order_by()[:UNSHOWN_COUNTED].count(),
        "most": MOST,
    }
    return render(request, "models/flips.html", context)


@require_GET
@staff_only(SEES)
def chart(request: HttpRequest, version: str, kind: str, scheme: str) -> HttpResponse:
    """An SVG for one colour scheme: gains and losses on a share, or how scores shift."""
    from ml import charts  # matplotlib takes half a second and 30 MB: only where a chart is drawn

    model_version, share = _version(version), share_named(request.GET.get("share"))
    base = base_of(model_version)
    if scheme not in SCHEMES or kind not in CHARTS or base is None:
        raise Http404
    if kind == "changes":
        rows = _differences(judged_pairs(model_version, base, share))
        drawn = charts.differences_svg(rows, label=_("Difference, new minus old"), scheme=scheme)
    else:
        bins = unjudged_pairs(model_version, base).bins
        labels = (_("Probability: new minus old"), _("Patches"))
        drawn = charts.shifts_svg(bins, labels=labels, scheme=scheme)
    return svg_response(drawn)


def _differences(found: Judged) -> list[tuple[str, Interval | None]]:
    """What is drawn of them, by name; None where there are too few patches."""
    figures = [
        (_("Sensitivity"), found.changes[0].difference),
        (_("Specificity"), found.changes[1].difference),
        (_("Agreement"), found.changes[2].difference),
        (_("AUC"), found.auc_difference),
    ]
    return [
        (name, None if one.value is None or one.low is None or one.high is None else (one.value, one.low, one.high))
        for name, one in figures
    ]


@require_GET
@staff_only(SEES)
def table_csv(request: HttpRequest, version: str, share: str) -> HttpResponse:
    """The figures of a share and the shifts, as a spreadsheet reads them. Nothing in it was typed by anyone."""
    model_version, chosen = _version(version), share_named(share)
    base = base_of(model_version)
    if base is None:
        raise Http404
    rows = _rows(model_version, base, judged_pairs(model_version, base, chosen))
    return csv_response(rows, name=f"{model_version.version}-trial-{share}")


def _rows(model_version: ModelVersion, base: ModelVersion, found: Judged) -> Iterable[tuple[Any, ...]]:
    yield "figure", "n", "before", "after", "gained", "lost", "difference", "low", "high", "p"
    yield "model", "", base.version, model_version.version, "", "", "", "", "", ""
    for change in found.changes:
        numbers = (change.n, change.before, change.after, change.gained, change.lost)
        yield (change.name, *numbers, *_cells(change.difference), "" if change.p is None else change.p)
    before, after = _cells(found.auc_before)[0], _cells(found.auc_after)[0]
    yield ("auc", found.definite, before, after, "", "", *_cells(found.auc_difference), "")
    unseen = unjudged_pairs(model_version, base)
    yield ("same label, not reviewed", unseen.n, "", "", "", "", *_cells(unseen.same), "")
    yield ("to positive, not reviewed", unseen.n, "", "", unseen.to_positive, "", "", "", "", "")
    yield ("to negative, not reviewed", unseen.n, "", "", "", unseen.to_negative, "", "", "", "")
    yield ("mean shift, not reviewed", unseen.n, "", "", "", "", *_cells(unseen.shift), "")
    for place, number in enumerate(unseen.bins):
        yield (f"shift of {_edge(place):.1f} to {_edge(place + 1):.1f}", number, "", "", "", "", "", "", "", "")


def _cells(figure: Any) -> tuple[Any, ...]:
    return ("", "", "") if figure.value is None else (figure.value, figure.low, figure.high)


def _edge(place: int) -> float:
    return round(2 * place / SHIFTS - 1, 3)


def _version(version: str) -> ModelVersion:
    return get_object_or_404(ModelVersion.objects.without_card(), version=version)


def _runs(model_version: ModelVersion) -> dict[str, Any]:
    runs = list(model_version.runs.select_related("requested_by").order_by("-pk")[:RUNS_SHOWN])
    open_ones = [run for run in runs if run.is_open]
    return {
        "runs": runs,
        "is_running": bool(open_ones),
        "is_in_trial": any(run.kind == Run.Kind.SHADOW for run in open_ones),
    }


def _staff(request: HttpRequest) -> User:
    """The member of staff, for views behind `staff_only`."""
    return cast(User, request.user)


def _try(request: HttpRequest, service: Callable[[], object]) -> bool:
    """Call a service; if it refuses, say why on the next page."""
    try:
        service()
    except ServiceError as error:
        messages.error(request, str(error))
        return False
    return True
