"""The model pages: a card, told to people."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from django.db.models import Count, Q
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.utils.translation import get_language, gettext_lazy
from django.utils.translation import gettext as _
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_GET

from predictions.models import ModelVersion, Purpose, Status

SCHEMES = ("light", "dark")
FIGURES = {
    "auc": gettext_lazy("AUC: how well positive and negative patches are told apart"),
    "balanced_accuracy": gettext_lazy("Balanced accuracy: mean of sensitivity and specificity"),
    "f1": gettext_lazy("F1 of the IDC class"),
    "sensitivity": gettext_lazy("Sensitivity: share of the IDC patches that were found"),
    "specificity": gettext_lazy("Specificity: share of the other patches that were cleared"),
    "accuracy": gettext_lazy("Accuracy: share of all patches answered rightly"),
    "ece": gettext_lazy("Calibration error: mean distance between probability and frequency"),
}
SHORT = {
    "auc": gettext_lazy("AUC"),
    "balanced_accuracy": gettext_lazy("Balanced accuracy"),
    "f1": gettext_lazy("F1 of the IDC class"),
    "accuracy": gettext_lazy("Accuracy"),
    "ece": gettext_lazy("Calibration error"),
}
TRAITS = {
    "stain": gettext_lazy("Haematoxylin to eosin"),
    "darkness": gettext_lazy("Darkness"),
    "tissue": gettext_lazy("Share of tissue"),
    "sharpness": gettext_lazy("Sharpness"),
}
LEVELS = {
    "low": gettext_lazy("lowest third"),
    "middle": gettext_lazy("middle third"),
    "high": gettext_lazy("highest third"),
}
METHODS = {
    "none": gettext_lazy("none"),
    "temperature": gettext_lazy("temperature alone"),
    "platt": gettext_lazy("scale and shift (in use)"),
}


@require_GET
def model_list(request: HttpRequest) -> HttpResponse:
    versions = ModelVersion.objects.listed()
    return render(request, "models/list.html", {"versions": versions})


@require_GET
def model_detail(request: HttpRequest, version: str) -> HttpResponse:
    model_version = get_object_or_404(ModelVersion, version=version)
    card = model_version.card
    evidence = card["evidence"]
    answered = model_version.predictions.filter(status=Status.SUCCEEDED).exclude(purpose=Purpose.SHADOW)
    context = {
        "model_version": model_version,
        "card": card,
        "figures": [
            {"name": name, "value": card["figures"][key], "ci": card["figures"][f"{key}_ci"]}
            for key, name in FIGURES.items()
        ],
        "comparison": [
            {"name": SHORT[key], **found} for key, found in ((card["comparison"] or {}).get("figures") or {}).items()
        ],
        "spread": [{"name": SHORT[key], **found} for key, found in evidence["spread"].items()],
        "traits": [
            {**row, "trait": TRAITS.get(row["trait"], row["trait"]), "level": LEVELS[row["level"]]}
            for row in evidence["traits"]
        ],
        "calibrations": [{**row, "method": METHODS[row["method"]]} for row in card["calibration"]["compared"]],
        "answered": answered.aggregate(number=Count("pk"), flagged=Count("pk", filter=~Q(flags=[]))),
    }
    return render(request, "models/detail.html", context)


@require_GET
@cache_control(public=True, max_age=3600)
def model_card(request: HttpRequest, version: str) -> HttpResponse:
    """The card as it was registered."""
    return JsonResponse(get_object_or_404(ModelVersion, version=version).card, json_dumps_params={"indent": 2})


@require_GET
@cache_control(public=True, max_age=3600)
def model_chart(request: HttpRequest, version: str, kind: str, scheme: str) -> HttpResponse:
    """An SVG of the card's figures, for one colour scheme."""
    model_version = get_object_or_404(ModelVersion, version=version)
    if scheme not in SCHEMES or kind not in CHARTS:
        raise Http404
    response = HttpResponse(_chart(model_version.sha256, kind, scheme, get_language()), content_type="image/svg+xml")
    # An SVG is a document: opened by itself it may style itself and nothing else.
    response["Content-Security-Policy"] = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
    return response


CHARTS = ("roc", "reliability")


@lru_cache(maxsize=64)
def _chart(sha256: str, kind: str, scheme: str, language: str | None) -> bytes:
    """language: of the labels, the one that is active; named so that each is drawn and kept by itself."""
    from ml import charts  # matplotlib takes half a second and 30 MB: only where a chart is drawn

    card: dict[str, Any] = ModelVersion.objects.filter(sha256=sha256).values_list("card", flat=True)[0]
    if kind == "roc":
        labels = (_("False positives (1 - specificity)"), _("Found positives (sensitivity)"))
        return charts.roc_svg(card["evidence"]["roc"], auc=card["figures"]["auc"], labels=labels, scheme=scheme)
    labels = (_("Probability that the model gave"), _("Share that was IDC"))
    return charts.reliability_svg(card["evidence"]["deciles"], labels=labels, scheme=scheme)
