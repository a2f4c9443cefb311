"""Living evidence: what reviews say of each model, and how its answers drift. For reviewers and staff."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, cast

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET

from accounts.models import User
from ml.gate import FLAGS
from predictions.exports import as_csv
from predictions.model_views import SCHEMES
from predictions.models import ModelVersion
from reviews import evidence as reviewed
from reviews.evidence import MOST, Share
from reviews.figures import FEW, FEW_OWNERS, Evidence, Z, wilson
from reviews.models import Week
from reviews.services.weeks import WEEKS_BACK
from reviews.views import reviewers_only

Interval = tuple[float, float, float]


def _mean_of(name: str, number: str) -> Callable[[Week], Interval | None]:
    """The mean with its 95 % interval, taking patches for independent."""

    def found(week: Week) -> Interval | None:
        value, deviation, n = (getattr(week, one) for one in (name, f"{name}_deviation", number))
        if value is None or deviation is None or n < FEW:
            return None
        half = Z * deviation / math.sqrt(n)
        return value, value - half, value + half

    return found


def _share_of(name: str) -> Callable[[Week], Interval | None]:
    def found(week: Week) -> Interval | None:
        part = getattr(week, name)
        return (part / week.number, *wilson(part, week.number)) if week.number >= FEW else None

    return found


# What is followed over time: its name, and how a week gives it.
DRIFT: dict[str, tuple[Any, Callable[[Week], Interval | None]]] = {
    "score": (gettext_lazy("Mean probability"), _mean_of("score", "number")),
    "positive": (gettext_lazy("Share called positive"), _share_of("positive")),
    "flagged": (gettext_lazy("Share flagged by the gate"), _share_of("flagged")),
    "distance": (gettext_lazy("Distance from the patches of training"), _mean_of("distance", "sampled")),
    "stain": (gettext_lazy("Haematoxylin to eosin"), _mean_of("stain", "sampled")),
    "darkness": (gettext_lazy("Darkness"), _mean_of("darkness", "sampled")),
}
CALIBRATION = "calibration"


@require_GET
@reviewers_only
def overview(request: HttpRequest) -> HttpResponse:
    counts = reviewed.reviewed_by_version()
    context = {
        "agreements": [(share.label, reviewed.agreement_of(share)) for share in (Share.RANDOM, Share.ALL)],
        "response": reviewed.response(),
        "versions": [(version, counts.get(version.pk)) for version in ModelVersion.objects.without_card().listed()],
        "few": FEW,
        "few_owners": FEW_OWNERS,
    }
    return render(request, "reviews/overview.html", context)


@require_GET
@reviewers_only
def evidence(request: HttpRequest, version: str) -> HttpResponse:
    model_version, share = (
        get_object_or_404(ModelVersion.objects.without_card(), version=version),
        share_named(request.GET.get("share")),
    )
    weeks, found = _weeks(model_version), _evidence(request, model_version, share)
    context = {
        "model_version": model_version,
        "share": share,
        "shares": Share,
        "evidence": found,
        "is_calibration_drawn": any(row["share_ci"] for row in found.bins),
        "drift": [
            {"kind": kind, "name": name, "is_drawn": any(value(week) for week in weeks)}
            for kind, (name, value) in DRIFT.items()
        ],
        "weeks": [{"week": week, "values": [value(week) for _, value in DRIFT.values()]} for week in weeks],
        "few": FEW,
        "few_owners": FEW_OWNERS,
        "most": MOST,
    }
    return render(request, "reviews/evidence.html", context)


@require_GET
@reviewers_only
def chart(request: HttpRequest, version: str, kind: str, scheme: str) -> HttpResponse:
    """An SVG for one colour scheme: the calibration on a share, or one line of the drift."""
    from ml import charts  # matplotlib takes half a second and 30 MB: only where a chart is drawn

    model_version = get_object_or_404(ModelVersion.objects.without_card(), version=version)
    if scheme not in SCHEMES or kind not in (CALIBRATION, *DRIFT):
        raise Http404
    if kind == CALIBRATION:
        bins = _evidence(request, model_version, share_named(request.GET.get("share"))).bins
        labels = (_("Probability that the model gave"), _("Share that was IDC"))
        drawn = charts.reliability_svg(bins, labels=labels, scheme=scheme)
    else:
        weeks, (name, value) = _weeks(model_version), DRIFT[kind]
        values = [value(week) for week in weeks]
        drawn = charts.weeks_svg([week.week for week in weeks], values, label=str(name), scheme=scheme)
    return svg_response(drawn)


@require_GET
@reviewers_only
def table_csv(request: HttpRequest, version: str, table: str) -> HttpResponse:
    """The figures of a share, or the weeks, as a spreadsheet reads them."""
    model_version = get_object_or_404(ModelVersion.objects.without_card(), version=version)
    rows = _week_rows(model_version) if table == "weeks" else _rows(request, model_version, share_named(table))
    return csv_response(rows, name=f"{model_version.version}-{table}")


def share_named(name: str | None) -> Share:
    """The share of a query; the random one if it names none. Raises Http404 on a name that is none."""
    try:
        return Share(name or Share.RANDOM)
    except ValueError as error:
        raise Http404 from error


def svg_response(drawn: bytes) -> HttpResponse:
    response = HttpResponse(drawn, content_type="image/svg+xml")
    response["Cache-Control"] = "private, no-cache"
    # An SVG is a document: opened by itself it may style itself and nothing else.
    response["Content-Security-Policy"] = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
    return response


def csv_response(rows: Iterable[tuple[Any, ...]], *, name: str) -> HttpResponse:
    """rows: the names of the columns first."""
    columns, *figures = rows
    response = HttpResponse(b"".join(as_csv([figures], columns)), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    response["Cache-Control"] = "private, no-store"
    return response


def _evidence(request: HttpRequest, model_version: ModelVersion, share: Share) -> Evidence:
    return reviewed.evidence_of(model_version, share, with_shadows=cast(User, request.user).sees_all)


def _weeks(model_version: ModelVersion) -> list[Week]:
    """The last half year, oldest first."""
    return list(model_version.weeks.order_by("-week")[:WEEKS_BACK])[::-1]


def _rows(request: HttpRequest, model_version: ModelVersion, share: Share) -> Iterable[tuple[Any, ...]]:
    found = _evidence(request, model_version, share)
    yield "figure", "value", "low", "high", "n"
    for name in ("reviewed", "definite", "ties", "undecided", "owners"):
        yield name, getattr(found, name), "", "", found.reviewed
    for name, number in found.confusion.items():
        yield name, number, "", "", found.definite
    for figure in found.figures:
        interval = (figure.value, figure.low, figure.high) if figure.value is not None else ("", "", "")
        yield (figure.name, *interval, figure.n)
    for row in found.bins:
        low, high = row["share_ci"] or ("", "")
        share_of_bin = "" if row["share"] is None else row["share"]
        yield f"share of {row['low']:.1f}-{row['high']:.1f}", share_of_bin, low, high, row["n"]


def _week_rows(model_version: ModelVersion) -> Iterable[tuple[Any, ...]]:
    intervals = [f"{kind}{end}" for kind in DRIFT for end in ("", "_low", "_high")]
    yield ("week", "n", "sampled", *intervals, *FLAGS)
    for week in _weeks(model_version):
        values = [number for _, value in DRIFT.values() for number in value(week) or ("", "", "")]
        yield (week.week, week.number, week.sampled, *values, *(week.flags.get(flag, 0) for flag in FLAGS))
