"""Probabilities as people read them."""

from __future__ import annotations

from typing import Any

from django import template
from django.utils.formats import number_format

from predictions.models import Prediction

register = template.Library()
SMALLEST = 0.001


@register.filter
def percent(probability: float) -> str:
    """0.004 -> "0.4 %". Never a bare 0 or 100: a model is not certain."""
    if probability < SMALLEST:
        return f"<\N{NO-BREAK SPACE}{number_format(100 * SMALLEST, 1)}\N{NO-BREAK SPACE}%"
    if probability > 1 - SMALLEST:
        return f">\N{NO-BREAK SPACE}{number_format(100 * (1 - SMALLEST), 1)}\N{NO-BREAK SPACE}%"
    return f"{_rounded(probability, 1)}\N{NO-BREAK SPACE}%"


@register.filter
def range_to(low: float, high: float) -> str:
    """From 0.1 and 0.2: 10 to 20 %, with an en dash."""
    return f"{_rounded(low, 0)}\N{EN DASH}{_rounded(high, 0)}\N{NO-BREAK SPACE}%"


def _rounded(share: float, digits: int) -> str:
    """In the reader's language. number_format alone cuts digits off: 0.9308 would be 93.0."""
    return number_format(round(100 * share, digits), digits)


@register.inclusion_tag("includes/probability_bar.html")
def probability_bar(prediction: Prediction) -> dict[str, Any]:
    """A bar of 0..100 with a tick at the threshold. Numbers as SVG wants them, in any language."""
    return {
        "prediction": prediction,
        "width": f"{100 * (prediction.probability or 0):.2f}",
        "threshold": f"{100 * prediction.threshold:.2f}",
    }
