"""The pictures of the figures: learning curves of a run, ROC and reliability of a model. Never of patches.

Drawn with matplotlib's own canvases, without pyplot: no window, no global state, safe in a web process.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import date
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

# Ink, line and guide, for the colours of static/css/base.css.
COLOURS = {"light": ("#16191d", "#0b57a4", "#7a828c"), "dark": ("#eef1f4", "#8cc4ff", "#8b949f")}


def curves_png(log: Sequence[dict[str, Any]]) -> bytes:
    """Loss and held-out figures of each finished epoch of a run."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    loss, scores = figure.subplots(1, 2)
    epochs = [entry["epoch"] for entry in log]
    loss.plot(epochs, [entry["loss"] for entry in log])
    loss.set(xlabel="epoch", ylabel="training loss")
    for name, label in (("auc", "AUC"), ("balanced_accuracy", "balanced accuracy"), ("f1", "F1 of IDC")):
        scores.plot(epochs, [entry[name] for entry in log], label=label)
    scores.set(xlabel="epoch", ylabel="held-out patches, averaged weights")
    scores.legend()
    return _saved(figure, "png")


def roc_svg(points: Sequence[Sequence[float]], *, auc: float, labels: tuple[str, str], scheme: str) -> bytes:
    """points: (false positive rate, sensitivity) from (0, 0) to (1, 1). labels: of the axes.

    scheme: "light" or "dark".
    """
    _, blue, grey = COLOURS[scheme]
    figure, axes = _square(scheme)
    axes.plot([0, 1], [0, 1], color=grey, linestyle=":", linewidth=1)
    axes.plot(*zip(*points, strict=True), color=blue, linewidth=2)
    axes.text(0.96, 0.06, f"AUC {auc:.3f}", ha="right", color=blue)
    axes.set(xlabel=labels[0], ylabel=labels[1])
    return _saved(figure, "svg")


def reliability_svg(deciles: Sequence[dict[str, Any]], *, labels: tuple[str, str], scheme: str) -> bytes:
    """deciles: rows of a card's calibration table. labels and scheme as for `roc_svg`."""
    _, blue, grey = COLOURS[scheme]
    figure, axes = _square(scheme)
    axes.plot([0, 1], [0, 1], color=grey, linestyle=":", linewidth=1)
    filled = [row for row in deciles if row["share_ci"]]
    x, y = [row["mean_probability"] for row in filled], [row["share"] for row in filled]
    below = [max(row["share"] - row["share_ci"][0], 0) for row in filled]
    above = [max(row["share_ci"][1] - row["share"], 0) for row in filled]
    axes.errorbar(x, y, yerr=(below, above), fmt="o-", color=blue, ecolor=blue, elinewidth=1, capsize=3)
    axes.set(xlabel=labels[0], ylabel=labels[1])
    return _saved(figure, "svg")


def weeks_svg(
    weeks: Sequence[date], values: Sequence[tuple[float, float, float] | None], *, label: str, scheme: str
) -> bytes:
    """A figure over weeks, named above. values: with the ends of its interval, by week; None where there is none."""
    ink, blue, _ = COLOURS[scheme]
    figure = Figure(figsize=(4.4, 2.6), layout="constrained")
    axes = figure.subplots()
    _plain(figure, axes, ink)
    shown = [(week.toordinal(), *value) for week, value in zip(weeks, values, strict=True) if value]
    if shown:
        days, middle, low, high = zip(*shown, strict=True)
        axes.fill_between(days, low, high, color=blue, alpha=0.25, linewidth=0)
        axes.plot(days, middle, "o-", color=blue, linewidth=1.5, markersize=3.5)
    else:
        axes.set_yticks([])
    if weeks:
        axes.set_xlim(min(weeks).toordinal() - 3, max(weeks).toordinal() + 3)
    # Every week is named where there are few, else about five of them: the names would run into each other.
    named = weeks[:: len(weeks) // 5 + 1]
    axes.set_xticks([week.toordinal() for week in named], [week.strftime("%m-%d") for week in named])
    axes.set_title(label, loc="left", fontsize=10, color=ink)
    return _saved(figure, "svg")


def differences_svg(rows: Sequence[tuple[str, tuple[float, float, float] | None]], *, label: str, scheme: str) -> bytes:
    """Named differences with the ends of their intervals, the first on top; None where there are too few patches."""
    ink, blue, grey = COLOURS[scheme]
    figure = Figure(figsize=(4.4, 2.6), layout="constrained")
    axes = figure.subplots()
    _plain(figure, axes, ink)
    axes.axvline(0, color=grey, linestyle=":", linewidth=1)
    for place, (_, value) in enumerate(rows):
        if value:
            middle, low, high = value
            ends = ([max(middle - low, 0)], [max(high - middle, 0)])
            axes.errorbar([middle], [place], xerr=ends, fmt="o", color=blue, ecolor=blue, elinewidth=1.5, capsize=3)
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    axes.set(xlabel=label, ylim=(len(rows) - 0.5, -0.5))
    axes.xaxis.set_major_locator(MaxNLocator(5))
    return _saved(figure, "svg")


def shifts_svg(bins: Sequence[int], *, labels: tuple[str, str], scheme: str) -> bytes:
    """How many patches lie in each of equal bins from -1 to 1, on a logarithmic scale: most lie in the middle."""
    ink, blue, grey = COLOURS[scheme]
    figure = Figure(figsize=(4.4, 2.6), layout="constrained")
    axes = figure.subplots()
    _plain(figure, axes, ink)
    width = 2 / len(bins)
    axes.bar([-1 + width * (place + 0.5) for place in range(len(bins))], bins, width=0.9 * width, color=blue)
    axes.axvline(0, color=grey, linestyle=":", linewidth=1)
    axes.set_yscale("symlog", linthresh=1)
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.set(xlabel=labels[0], ylabel=labels[1], xlim=(-1, 1), ylim=(0, max([*bins, 1]) * 1.5))
    axes.set_xticks([-0.8, -0.4, 0, 0.4, 0.8])  # where bins meet
    return _saved(figure, "svg")


def _square(scheme: str) -> tuple[Figure, Axes]:
    ink = COLOURS[scheme][0]
    figure = Figure(figsize=(4.4, 4.4), layout="constrained")
    axes = figure.subplots()
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    _plain(figure, axes, ink)
    return figure, axes


def _plain(figure: Figure, axes: Axes, ink: str) -> None:
    """Two lines and ink, on whatever the page has behind it."""
    figure.patch.set_alpha(0)
    axes.patch.set_alpha(0)
    axes.tick_params(colors=ink)
    for name in ("xaxis", "yaxis"):
        getattr(axes, name).label.set_color(ink)
    for side, spine in axes.spines.items():
        spine.set_color(ink)
        spine.set_visible(side in ("left", "bottom"))


def _saved(figure: Figure, kind: str) -> bytes:
    stream = io.BytesIO()
    # Text stays text; without date and with fixed ids the same figures give the same bytes.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "idc-finder", "font.family": "sans-serif"}):
        figure.savefig(stream, format=kind, dpi=110, metadata={"Date": None} if kind == "svg" else None)
    return stream.getvalue()
