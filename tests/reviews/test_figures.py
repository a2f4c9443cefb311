"""The figures against scikit-learn and against published values."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import accuracy_score, cohen_kappa_score, confusion_matrix, precision_score, recall_score

from reviews import figures
from reviews.figures import Case, Figure


def cases(n: int, *, owners: int, seed: int = 0, threshold: float = 0.5) -> list[Case]:
    """Patches whose owners differ, with one to three answers each, some not definite."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(n):
        owner = int(rng.integers(owners))
        probability = float(np.clip(rng.beta(0.6, 0.8) + 0.02 * (owner % 5), 0, 1))
        number = int(rng.integers(1, 4))
        chance = 0.1 + 0.8 * probability
        words = ["positive" if rng.random() < chance else "negative" for _ in range(number)]
        words = [word if rng.random() > 0.15 else "unsure" for word in words]
        reviewers = rng.permutation(6)[:number].tolist()
        made.append(Case(owner, probability, threshold, words, reviewers))
    return made


def by_name(found: figures.Evidence) -> dict[str, Figure]:
    return {figure.name: figure for figure in found.figures}


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        (["positive"], "positive"),
        (["negative", "unsure", "not_a_patch"], "negative"),
        (["positive", "negative", "positive"], "positive"),
        (["positive", "negative"], "tie"),
        (["positive", "negative", "unsure"], "tie"),
        (["unsure"], "undecided"),
        (["not_a_patch", "unsure"], "undecided"),
    ],
)
def test_the_reference_is_the_majority_of_the_definite(answers: list[str], said: str) -> None:
    assert figures.reference(answers) == said


@pytest.mark.parametrize(
    ("part", "n", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),  # Newcombe 1998, table I, method 3
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (29, 29, 0.8830, 1.0000),
    ],
)
def test_wilsons_interval_as_published(part: int, n: int, low: float, high: float) -> None:
    assert figures.wilson(part, n) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(("owners", "threshold"), [(40, 0.5), (3, 0.5), (40, 0.3), (900, 0.5)])
def test_every_value_is_scikit_learns(owners: int, threshold: float) -> None:
    reviewed = cases(1500, owners=owners, seed=owners, threshold=threshold)
    found = figures.evidence(reviewed)
    kept = [(case, figures.reference(case.answers)) for case in reviewed]
    kept = [(case, said) for case, said in kept if said in ("positive", "negative")]
    truth = np.array([said == "positive" for _, said in kept])
    scores = np.array([case.probability for case, _ in kept])
    called = scores >= threshold
    tn, fp, fn, tp = confusion_matrix(truth, called).ravel().tolist()
    assert found.confusion == {"true_positive": tp, "false_negative": fn, "false_positive": fp, "true_negative": tn}
    assert found.reviewed == 1500 == found.definite + found.ties + found.undecided
    assert found.definite == len(kept)
    assert found.owners == len({case.owner for case, _ in kept})
    assert found.is_by_owner == (owners >= 10)
    named = by_name(found)
    expected = {
        "sensitivity": (recall_score(truth, called), truth.sum()),
        "specificity": (recall_score(~truth, ~called), (~truth).sum()),
        "ppv": (precision_score(truth, called), called.sum()),
        "npv": (precision_score(~truth, ~called), (~called).sum()),
        "agreement": (accuracy_score(truth, called), len(truth)),
        "kappa": (cohen_kappa_score(truth, called), len(truth)),
    }
    for name, (value, n) in expected.items():
        figure = named[name]
        assert figure.n == n, name
        assert figure.value == pytest.approx(value), name
        assert figure.value is not None
        assert figure.low is not None
        assert figure.high is not None
        assert figure.low < figure.value < figure.high, name
    shares, means = calibration_curve(truth, scores, n_bins=10)
    filled = [row for row in found.bins if row["n"]]
    assert [row["share"] for row in filled] == pytest.approx(shares.tolist())
    assert [row["mean_probability"] for row in filled] == pytest.approx(means.tolist())
    weights = np.array([row["n"] for row in filled]) / len(truth)
    assert named["ece"].value == pytest.approx(float(np.sum(weights * np.abs(shares - means))))


def test_the_agreement_of_reviewers_is_scikit_learns_over_first_pairs() -> None:
    reviewed = cases(800, owners=50, seed=4)
    pairs, indefinite = [], 0
    for case in reviewed:
        if len(case.answers) < 2:
            continue
        said = dict(sorted(zip(case.reviewers[:2], case.answers[:2], strict=True), key=lambda one: one[0] or 0))
        if set(said.values()) <= {"positive", "negative"}:
            pairs.append(tuple(said.values()))
        else:
            indefinite += 1
    found = figures.agreement(reviewed)
    first, second = zip(*pairs, strict=True)
    assert (found.pairs, found.indefinite) == (len(pairs), indefinite)
    assert found.kappa.value == pytest.approx(cohen_kappa_score(first, second))
    assert found.share.value == pytest.approx(accuracy_score(first, second))
    assert found.kappa.low is not None
    assert found.kappa.high is not None
    assert found.kappa.low < found.kappa.value < found.kappa.high  # type: ignore[operator]  # just compared


def test_a_third_opinion_does_not_count_as_agreement() -> None:
    reviewed = [Case(number, 0, 0, ["positive", "negative", "positive"], [1, 2, 3]) for number in range(20)]
    assert figures.agreement(reviewed).share.value == 0


def test_no_figure_is_made_of_fewer_than_ten() -> None:
    nine = [Case(number, 0.9, 0.5, ["positive"]) for number in range(9)]
    assert by_name(figures.evidence(nine))["sensitivity"] == Figure("sensitivity", 9)
    assert figures.evidence(nine).bins[9]["share_ci"] is None
    ten = by_name(figures.evidence([*nine, Case(9, 0.9, 0.5, ["positive"])]))
    assert ten["sensitivity"].value == 1
    assert (ten["specificity"], ten["ece"]) == (Figure("specificity", 0), Figure("ece", 10))
    assert figures.agreement([Case(0, 0, 0, ["positive", "positive"], [1, 2])] * 9).share == Figure("agreement", 9)


def test_all_alike_is_not_called_certain() -> None:
    found = by_name(figures.evidence([Case(number, 0.9, 0.5, ["positive"]) for number in range(40)]))
    figure = found["sensitivity"]
    assert (figure.value, figure.high) == (1, 1)
    assert figure.low == pytest.approx(figures.wilson(40, 40)[0])
    assert found["kappa"] == Figure("kappa", 40)


def test_patches_that_are_alike_by_owner_widen_the_interval() -> None:
    """Each owner's patches are all right or all wrong: the interval must be that of 20 owners, not of 400 patches."""
    alike = [Case(owner, 0.9 if owner % 2 else 0.1, 0.5, ["positive"]) for owner in range(20) for _ in range(20)]
    figure = by_name(figures.evidence(alike))["sensitivity"]
    low, high = figures.wilson(200, 400)
    assert figure.value == 0.5
    assert figure.low is not None
    assert figure.high is not None
    assert figure.high - figure.low > 3 * (high - low)


def test_the_same_patches_give_the_same_intervals() -> None:
    assert figures.evidence(cases(300, owners=30)) == figures.evidence(cases(300, owners=30))


def test_without_any_patch_there_is_nothing_to_say() -> None:
    found = figures.evidence([])
    assert (found.reviewed, found.owners, set(found.confusion.values())) == (0, 0, {0})
    assert {figure.value for figure in found.figures} == {None}
    assert figures.agreement([]).pairs == 0


def test_fifty_thousand_patches_of_many_owners_fit_in_memory() -> None:
    rng = np.random.default_rng(1)
    many = [Case(int(owner), float(p), 0.5, ["positive" if p > 0.4 else "negative"])
            for owner, p in zip(rng.integers(20_000, size=50_000), rng.random(50_000), strict=True)]  # fmt: skip
    found = figures.evidence(many)
    assert (found.definite, found.is_by_owner) == (50_000, True)
