"""The figures of a trial against SciPy, scikit-learn and published examples."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, recall_score, roc_auc_score

from reviews.comparison import Pair, judged, mcnemar, newcombe, shift
from reviews.figures import FEW, FEW_OWNERS, Figure


def drawn_pairs(n: int, *, owners: int, seed: int = 1) -> list[Pair]:
    """Two models of which the second is a little better."""
    rng = np.random.default_rng(seed)
    truth = rng.random(n) < 0.4
    logit = np.where(truth, 1.2, -1.2) + rng.normal(0, 1.2, n)
    before, after = (1 / (1 + np.exp(-(gain * logit + rng.normal(0, 0.7, n)))) for gain in (1.0, 1.5))
    return [
        Pair(int(owner), float(b), 0.5, float(a), 0.45, ["positive" if is_positive else "negative"])
        for owner, b, a, is_positive in zip(rng.integers(0, owners, n), before, after, truth, strict=True)
    ]


@pytest.mark.parametrize("flips", [(0, 0), (1, 0), (0, 6), (5, 5), (7, 19), (120, 80), (700, 900), (3000, 2000)])
def test_mcnemar_is_the_exact_binomial_test(flips: tuple[int, int]) -> None:
    gained, lost = flips
    expected = binomtest(gained, gained + lost, 0.5).pvalue if gained + lost else 1
    assert mcnemar(gained, lost) == pytest.approx(expected, rel=1e-9)
    assert mcnemar(lost, gained) == mcnemar(gained, lost)


@pytest.mark.parametrize(
    ("table", "interval"),
    [
        # Newcombe 1998, and Fagerland, Lydersen & Laake 2014 (Bentur's patients).
        ((36, 12, 2, 0), (0.0569, 0.3404)),
        ((1, 1, 7, 12), (-0.507, -0.026)),
    ],
)
def test_newcombes_interval_is_that_of_published_examples(
    table: tuple[int, int, int, int], interval: tuple[float, float]
) -> None:
    assert newcombe(*table) == pytest.approx(interval, abs=6e-4)


@pytest.mark.parametrize("table", [(10, 0, 0, 0), (0, 0, 0, 10), (0, 10, 0, 0), (5, 0, 0, 5)])
def test_newcombes_interval_holds_where_there_is_nothing_to_correlate(table: tuple[int, int, int, int]) -> None:
    low, high = newcombe(*table)
    difference = (table[1] - table[2]) / sum(table)
    assert -1 <= low <= difference <= high <= 1
    assert low < high


def test_gains_and_losses_are_those_of_scikit_learn() -> None:
    pairs = drawn_pairs(600, owners=40)
    truth = np.array([pair.answers == ["positive"] for pair in pairs])
    before = np.array([pair.before >= 0.5 for pair in pairs])
    after = np.array([pair.after >= 0.45 for pair in pairs])
    found = judged(pairs)
    assert (found.reviewed, found.definite, found.owners, found.is_by_owner) == (600, 600, 40, True)
    everyone = np.ones(600, np.bool_)
    expected = [
        (truth, recall_score(truth, before), recall_score(truth, after)),
        (~truth, recall_score(~truth, ~before), recall_score(~truth, ~after)),
        (everyone, accuracy_score(truth, before), accuracy_score(truth, after)),
    ]
    for change, (among, share_before, share_after) in zip(found.changes, expected, strict=True):
        assert change.n == among.sum()
        assert change.before / change.n == pytest.approx(share_before)
        assert change.after / change.n == pytest.approx(share_after)
        assert change.after - change.before == change.gained - change.lost
        assert change.gained == (among & (after == truth) & (before != truth)).sum()
        assert change.difference.value == pytest.approx(share_after - share_before)
        assert change.p == pytest.approx(binomtest(change.gained, change.gained + change.lost).pvalue)
        low, high = newcombe(
            int((among & (before == truth) & (after == truth)).sum()),
            change.gained,
            change.lost,
            int((among & (before != truth) & (after != truth)).sum()),
        )
        assert change.difference.low is not None
        assert change.difference.high is not None
        assert change.difference.low <= low
        assert change.difference.high >= high
    areas = [roc_auc_score(truth, [getattr(pair, name) for pair in pairs]) for name in ("before", "after")]
    assert found.auc_before.value == pytest.approx(areas[0])
    assert found.auc_after.value == pytest.approx(areas[1])
    assert found.auc_difference.value == pytest.approx(areas[1] - areas[0])


def test_the_area_counts_ties_half() -> None:
    rng = np.random.default_rng(3)
    pairs = [
        Pair(n, 0.5, 0.5, round(float(rng.random()), 1), 0.5, [("negative", "positive")[n % 2]]) for n in range(90)
    ]
    truth = [pair.answers == ["positive"] for pair in pairs]
    found = judged(pairs)
    assert found.auc_before.value == pytest.approx(0.5)
    assert found.auc_after.value == pytest.approx(roc_auc_score(truth, [pair.after for pair in pairs]))


def test_the_resampled_areas_are_those_of_the_drawn_owners() -> None:
    """One resample computed the long way: each patch repeated as often as its owner was drawn."""
    from reviews.comparison import _areas
    from reviews.figures import Sample

    pairs = drawn_pairs(200, owners=12)
    owners, scores = np.array([pair.owner for pair in pairs]), np.array([pair.after for pair in pairs])
    truth = np.array([pair.answers == ["positive"] for pair in pairs])
    sample = Sample(owners)
    times = sample.weights[7][sample.group].astype(int)
    expected = roc_auc_score(np.repeat(truth, times), np.repeat(scores, times))
    assert _areas(sample, scores, truth)[7] == pytest.approx(expected)


def test_intervals_by_owner_are_wider_where_owners_differ() -> None:
    """Thirty owners of ten patches each, all of which one model calls wrongly or rightly together."""
    pairs = [
        Pair(owner, 0.1, 0.5, 0.9 if owner % 3 else 0.1, 0.5, ["positive"]) for owner in range(30) for _ in range(10)
    ]
    change = judged(pairs).changes[0]
    low, high = newcombe(0, 200, 0, 100)
    assert change.difference.low is not None
    assert change.difference.high is not None
    assert change.difference.low < low - 0.05
    assert change.difference.high > high + 0.05


def test_ties_and_undecided_patches_count_for_nobody() -> None:
    said = [["positive"], ["negative"], ["positive", "negative"], ["unsure"], ["not_a_patch", "negative"]]
    found = judged([Pair(1, 0.9, 0.5, 0.1, 0.5, answers) for answers in said])
    assert (found.reviewed, found.definite) == (5, 3)
    assert [(one.n, one.gained, one.lost) for one in found.changes] == [(1, 0, 1), (2, 2, 0), (3, 2, 1)]


@pytest.mark.parametrize("n", [0, 1, FEW - 1])
def test_no_figure_is_made_of_too_few(n: int) -> None:
    pairs = [Pair(1, 0.9, 0.5, 0.1, 0.5, ["positive"]) for _ in range(n)]
    found, moved = judged(pairs), shift(pairs)
    assert [one.p for one in found.changes] == [None] * 3
    assert [astuple(one.difference)[2:] for one in found.changes] == [(None, None, None)] * 3
    assert (found.auc_difference, moved.same, moved.shift) == (
        Figure("auc", n),
        Figure("same", n),
        Figure("shift", n),
    )
    assert sum(moved.bins) == n


def test_one_class_alone_has_no_area() -> None:
    found = judged([Pair(n, 0.2, 0.5, 0.9, 0.5, ["positive"]) for n in range(20)])
    assert found.auc_difference == Figure("auc", 20)
    assert found.changes[0].difference.value == 1
    assert found.changes[1].n == 0


def test_what_shifts_without_a_reference() -> None:
    pairs = drawn_pairs(500, owners=FEW_OWNERS)
    moved = np.array([pair.after - pair.before for pair in pairs])
    before, after = np.array([p.before >= 0.5 for p in pairs]), np.array([p.after >= 0.45 for p in pairs])
    found = shift(pairs)
    assert (found.n, found.owners, found.is_by_owner) == (500, FEW_OWNERS, True)
    assert (found.to_positive, found.to_negative) == ((after & ~before).sum(), (before & ~after).sum())
    assert found.same.value == pytest.approx((before == after).mean())
    assert found.shift.value == pytest.approx(moved.mean())
    assert found.shift.low is not None
    assert found.shift.high is not None
    assert found.shift.low < moved.mean() < found.shift.high
    assert found.bins == np.histogram(moved, 10, (-1, 1))[0].tolist()
