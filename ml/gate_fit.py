"""Fits the limits of the gate on training patients. No photograph takes part."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml import gate
from ml.dataset import DatasetError, Patches
from ml.gate_kinds import (
    AVERAGING,
    SEED,
    SMOOTHING,
    Pixels,
    blurred,
    enlarged,
    halved,
    recoloured,
    regions,
    resampled,
    shifted,
    slightly_enlarged,
)

Floats = NDArray[np.float64]

# Share of the training patches that each check may flag; their sum bounds the whole.
ALLOWED = {
    "tissue": 0.0002, "colourfulness": 0.0002, "sharpness": 0.0002, "noise": 0.0002, "repeats": 0.0001,
    "colours": 0.0015, "recoloured": 0.0025, "blurred": 0.0015, "enlarged": 0.0005, "reduced": 0.003,
}  # fmt: skip
DIGITS = 5  # significant, of every number in gate.json


def fit(patches: Patches) -> dict[str, Any]:
    """The contents of gate.json. Patches of patients that are not for training are left out.

    Each limit is the quantile of the training patches that leaves its share of ALLOWED outside; `ml.gate.Limits` says
    what each discriminant is.

    Raises:
        DatasetError: no training patient, or none with a part of a section whole enough to be reduced.
    """
    patches = patches.of_split("train")
    sections = list(regions(patches))
    if not sections:
        raise DatasetError("The limits of scale need 4 x 4 neighbouring patches of a training patient.")
    trained = measured(patches.pixels)
    sample = patches.pixels[np.random.default_rng(SEED).permutation(len(patches))[:6000]]
    altered = measured(list(recoloured(pixels).values())[number % 11] for number, pixels in enumerate(sample))
    moved = measured((shifted, slightly_enlarged)[number % 2](pixels) for number, pixels in enumerate(sample[:4000]))
    blurs = (halved, partial(blurred, sigma=1.2), partial(blurred, sigma=2.5))
    unsharp = measured(blurs[number % 3](pixels) for number, pixels in enumerate(sample))
    at_scale = {name: np.concatenate([moved[name], unsharp[name][:2000]]) for name in moved}
    larger = measured(enlarged(pixels, SMOOTHING[number % 3]) for number, pixels in enumerate(sample))
    smaller = measured(resampled(region, how) for region in sections for how in AVERAGING)

    colours, contrasts, textures = gate.COLOUR_TRAITS, gate.CONTRAST_TRAITS, gate.TEXTURE_TRAITS
    squares = [(name, name) for name in textures]
    distance = _discriminant("not_he", colours, _pairs(colours), trained)
    recolouring = _discriminant("not_he", colours, _alone(colours) + _pairs(colours), trained)
    blurring = _discriminant("blurred", contrasts, _alone(contrasts) + _pairs(contrasts), trained)
    enlarging = _discriminant("scale", contrasts, _alone(contrasts) + _pairs(contrasts), trained)
    reducing = _discriminant("scale", textures, _alone(textures) + squares, trained)
    fitted = {
        "colours": replace(distance, weights=_inverse_covariance(distance, trained)),
        "recoloured": _regression(recolouring, 10.0, trained, altered),
        "blurred": _regression(blurring, 10.0, trained, unsharp, moved),
        "enlarged": _regression(enlarging, 10.0, trained, larger, at_scale),
        "reduced": _regression(reducing, 0.1, trained, smaller, at_scale),
    }
    return {
        "training": {"patches": len(patches), "patients": len(np.unique(patches.patients)), "allowed": ALLOWED},
        "ranges": [
            {"flag": "no_tissue", "trait": "tissue", "low": _low(trained, "tissue")},
            {"flag": "not_he", "trait": "colourfulness", "low": _low(trained, "colourfulness")},
            {"flag": "blurred", "trait": "sharpness", "low": _low(trained, "sharpness")},
            {"flag": "not_he", "trait": "sharpness", "high": _high(trained["sharpness"], "noise")},
            {"flag": "scale", "trait": "repeats", "high": _high(trained["repeats"], "repeats")},
        ],
        "discriminants": {name: _content(name, found, trained) for name, found in fitted.items()},
    }


Measured = dict[str, Floats]


def measured(pictures: Iterable[Pixels]) -> Measured:
    """Each trait of n patches, [n], by its name."""
    rows = gate.measure_all(np.stack(list(pictures))).astype(np.float64)
    return dict(zip(gate.TRAITS, rows.T, strict=True))


def _columns(found: Measured, names: Sequence[str]) -> Floats:
    return np.stack([found[name] for name in names], axis=1)


def _low(trained: Measured, trait: str) -> float:
    return _short(np.quantile(trained[trait], ALLOWED[trait]))


def _high(values: Floats, check: str) -> float:
    return _short(np.quantile(values, 1 - ALLOWED[check]))


def _short(number: float) -> float:
    return float(f"{number:.{DIGITS}g}")


def _alone(names: Sequence[str]) -> list[tuple[str, str]]:
    return [(name, "1") for name in names]


def _pairs(names: Sequence[str]) -> list[tuple[str, str]]:
    return [(one, other) for place, one in enumerate(names) for other in names[place:]]


def _discriminant(
    flag: str, names: Sequence[str], terms: Sequence[tuple[str, str]], trained: Measured
) -> gate.Discriminant:
    """A discriminant of these terms without weights, standardised to the training patches."""
    values = _columns(trained, names)
    place = {name: number for number, name in enumerate([*names, "1"])}
    return gate.Discriminant(
        flag=flag,
        traits=names,
        centre=np.array([_short(number) for number in values.mean(axis=0)]),
        spread=np.array([_short(number) for number in values.std(axis=0)]),
        first=np.array([place[one] for one, _ in terms]),
        second=np.array([place[other] for _, other in terms]),
        weights=np.zeros(len(terms)),
    )


def _inverse_covariance(check: gate.Discriminant, trained: Measured) -> Floats:
    """Weights that make a sum over all pairs of standardised traits their squared Mahalanobis distance."""
    covariance = np.zeros((len(check.traits), len(check.traits)))
    products = check.products(_columns(trained, check.traits)).mean(axis=0)
    covariance[check.first, check.second] = covariance[check.second, check.first] = products
    weights = np.linalg.inv(covariance)[check.first, check.second]
    # Off the diagonal a pair stands for two entries.
    return np.array([_short(weight) for weight in np.where(check.first == check.second, weights, 2 * weights)])


def _regression(
    check: gate.Discriminant, looseness: float, trained: Measured, unlike: Measured, alike: Measured | None = None
) -> gate.Discriminant:
    """With the weights of a logistic regression, `unlike` against `trained` and `alike`: each side weighs one half.

    looseness: inverse of the strength of the penalty on large weights, scikit-learn's C.
    """
    from sklearn.linear_model import LogisticRegression

    groups = [(trained, 0, 1.0), (unlike, 1, 1.0)]
    if alike is not None:
        groups = [(trained, 0, 0.75), (alike, 0, 0.25), (unlike, 1, 1.0)]
    products = [check.products(_columns(found, check.traits)) for found, _, _ in groups]
    sizes = [len(rows) for rows in products]
    weights = [weight * sum(sizes) / 2 / size for (_, _, weight), size in zip(groups, sizes, strict=True)]
    model = LogisticRegression(C=looseness, max_iter=2000, tol=1e-3).fit(
        np.concatenate(products),
        np.repeat([label for _, label, _ in groups], sizes),
        sample_weight=np.repeat(weights, sizes),
    )
    return replace(check, weights=np.array([_short(weight) for weight in model.coef_[0]]))


def _content(name: str, check: gate.Discriminant, trained: Measured) -> dict[str, Any]:
    names = [*check.traits, "1"]
    terms = [
        names[one] if names[other] == "1" else f"{names[one]} * {names[other]}"
        for one, other in zip(check.first, check.second, strict=True)
    ]
    return {
        "flag": check.flag,
        "traits": {
            trait: [float(centre), float(spread)]
            for trait, centre, spread in zip(check.traits, check.centre, check.spread, strict=True)
        },
        "weights": dict(zip(terms, check.weights.tolist(), strict=True)),
        "limit": _high(check.scores(_columns(trained, check.traits)), name),
    }
