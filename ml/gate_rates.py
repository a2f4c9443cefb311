"""Fits the limits of the gate on training patients, and measures how often it speaks up: python -m ml.gate_rates.

What it must let pass are the validation patches, whose patients had no part in the fit, and the same patches
resampled at their scale. What it must flag: photographs, blank, black and noise tiles, grey and recoloured tissue,
tissue enlarged and reduced four times. No photograph takes part in the fit.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from ml import gate
from ml.dataset import DatasetError, Patches, read_patches
from ml.images import PATCH_SIDE

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float64]

SEED = 20200323
# Share of the training patches that each check may flag; their sum bounds the whole.
ALLOWED = {
    "tissue": 0.0002, "colourfulness": 0.0002, "sharpness": 0.0002, "noise": 0.0002, "repeats": 0.0001,
    "colours": 0.0015, "recoloured": 0.0025, "blurred": 0.0015, "enlarged": 0.0005, "reduced": 0.003,
}  # fmt: skip
DIGITS = 5  # significant, of every number in gate.json

RESAMPLING = Image.Resampling
SMOOTHING = (RESAMPLING.BILINEAR, RESAMPLING.BICUBIC, RESAMPLING.LANCZOS)
AVERAGING = (*SMOOTHING, RESAMPLING.BOX)  # when they reduce
FILTERS = (RESAMPLING.NEAREST, *AVERAGING)
SCALE = 4  # how many times tissue is enlarged and reduced, and patches on a side of the region that is reduced
HUES = (90, 135, 180, 225, 270)  # degrees
SWAPS = ((0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))
ZOOMS = (1, 2, 4, 8)  # how many times a photograph is reduced before tiles are cut
PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket", "hubble_deep_field", "retina", "stereo_motorcycle")
PLACE = re.compile(r"^(?P<patient>\d+)_idx5_x(?P<x>\d+)_y(?P<y>\d+)_")


def resampled(pixels: Pixels, filter_: Image.Resampling, *, window: float | None = None) -> Pixels:
    """The middle `window` px of a square picture (all of it, if None), brought to 50x50."""
    side = pixels.shape[0]
    margin = 0.0 if window is None else (side - window) / 2
    box = (margin, margin, side - margin, side - margin)
    return np.asarray(Image.fromarray(pixels).resize((PATCH_SIDE, PATCH_SIDE), filter_, box=box))


def enlarged(pixels: Pixels, filter_: Image.Resampling) -> Pixels:
    return resampled(pixels, filter_, window=PATCH_SIDE / SCALE)


def shifted(pixels: Pixels) -> Pixels:
    """Moved by half a pixel both ways: each pixel is the mean of four."""
    padded = np.pad(pixels, ((0, 1), (0, 1), (0, 0)), mode="edge").astype(np.uint16)
    total = padded[1:, 1:] + padded[1:, :-1] + padded[:-1, 1:] + padded[:-1, :-1]
    return (total // 4).astype(np.uint8)


def slightly_enlarged(pixels: Pixels, filter_: Image.Resampling = RESAMPLING.BICUBIC) -> Pixels:
    return resampled(pixels, filter_, window=PATCH_SIDE / 1.1)


def halved(pixels: Pixels) -> Pixels:
    """Reduced to half and enlarged again: at its scale, without its fine detail."""
    half = Image.fromarray(pixels).resize((PATCH_SIDE // 2, PATCH_SIDE // 2), RESAMPLING.BOX)
    return np.asarray(half.resize((PATCH_SIDE, PATCH_SIDE), RESAMPLING.BILINEAR))


def blurred(pixels: Pixels, sigma: float = 1.5) -> Pixels:
    """Out of focus, near enough: by a Gaussian of `sigma` px."""
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(sigma)))


def grey(pixels: Pixels) -> Pixels:
    return np.asarray(Image.fromarray(pixels).convert("L").convert("RGB"))


def hue_turned(pixels: Pixels, degrees: int) -> Pixels:
    hue, saturation, value = Image.fromarray(pixels).convert("HSV").split()
    turned = hue.point([(number + round(degrees * 256 / 360)) % 256 for number in range(256)])
    return np.asarray(Image.merge("HSV", (turned, saturation, value)).convert("RGB"))


def recoloured(pixels: Pixels) -> dict[str, Pixels]:
    """The patch with its hue turned, its channels swapped, inverted: by name."""
    return {
        **{f"hue turned {degrees}": hue_turned(pixels, degrees) for degrees in HUES},
        **{"channels " + "".join("RGB"[channel] for channel in swap): pixels[..., swap] for swap in SWAPS},
        "inverted": 255 - pixels,
    }


def regions(patches: Patches) -> Iterator[Pixels]:
    """uint8 [200, 200, 3], wherever 4 x 4 neighbouring patches of a section are all there."""
    row_at = {}
    for row, name in enumerate(patches.names):
        if match := PLACE.match(str(name)):
            row_at[match["patient"], int(match["x"]) // PATCH_SIDE, int(match["y"]) // PATCH_SIDE] = row
    steps = range(SCALE)
    for patient, x, y in row_at:
        try:
            rows = [[row_at[patient, x + right, y + down] for right in steps] for down in steps]
        except KeyError:
            continue
        yield np.vstack([np.hstack(list(patches.pixels[line])) for line in rows])


def photographs() -> dict[str, Pixels]:
    """Pictures that come inside scikit-image and scikit-learn: a face, a cat, coffee, a rocket, stars, an eye ..."""
    from skimage import data
    from sklearn.datasets import load_sample_images

    pictures = {name: getattr(data, name)() for name in PHOTOGRAPHS}
    left, _, _ = pictures.pop("stereo_motorcycle")
    china, flower = load_sample_images().images
    return {**pictures, "motorcycle": left, "china": china, "flower": flower}


def tiles(picture: Pixels, count: int, random: np.random.Generator) -> Iterator[Pixels]:
    """`count` tiles of 50x50 px at each of ZOOMS that leaves the picture large enough."""
    height, width = picture.shape[:2]
    for zoom in ZOOMS:
        if min(height, width) // zoom < PATCH_SIDE:
            continue
        image = Image.fromarray(picture).resize((width // zoom, height // zoom), RESAMPLING.BOX)
        for _ in range(count):
            left = int(random.integers(image.width - PATCH_SIDE + 1))
            top = int(random.integers(image.height - PATCH_SIDE + 1))
            yield np.asarray(image.crop((left, top, left + PATCH_SIDE, top + PATCH_SIDE)))


def _tile(values: NDArray[Any]) -> Pixels:
    return np.broadcast_to(np.clip(np.rint(values), 0, 255), (PATCH_SIDE, PATCH_SIDE, 3)).astype(np.uint8)


def drawn_kinds(count: int) -> dict[str, list[Pixels]]:
    """Tiles that show nothing, `count` of each kind; the same at each call."""
    random = np.random.default_rng(SEED)
    colour, one = (PATCH_SIDE, PATCH_SIDE, 3), (PATCH_SIDE, PATCH_SIDE, 1)
    numbers = range(count)
    return {
        "blank: white": [_tile(255 - np.abs(random.normal(0, 0.2 * number, colour))) for number in range(10)],
        "blank: off-white, sensor noise": [
            _tile(random.normal(random.integers(235, 256), random.uniform(0, 4), colour)) for _ in numbers
        ],
        "blank: tinted, sensor noise": [
            _tile(random.normal(random.integers(228, 256, 3), random.uniform(1, 3), colour)) for _ in numbers
        ],
        "black": [_tile(random.normal(random.integers(0, 20), random.uniform(0, 3), colour)) for _ in numbers],
        "noise: uniform, colour": [_tile(random.integers(0, 256, colour)) for _ in numbers],
        "noise: uniform, grey": [_tile(random.integers(0, 256, one)) for _ in numbers],
        "noise: Gaussian, colour": [
            _tile(random.normal(random.integers(60, 220, 3), random.uniform(15, 70), colour)) for _ in numbers
        ],
        "noise: Gaussian, grey": [
            _tile(random.normal(random.integers(60, 220), random.uniform(15, 70), one)) for _ in numbers
        ],
    }


def kinds(patches: Patches, *, every: int = 4, count: int = 100) -> dict[str, Iterable[Pixels]]:
    """What the gate meets, by kind.

    patches: real ones; each `every`th of them, and of their regions, is altered. count: how many tiles are drawn of
    each kind, and cut from each photograph at each zoom.
    """
    random = np.random.default_rng(SEED)
    real = list(patches.pixels[::every])
    altered = [recoloured(pixels) for pixels in real]
    sections = list(regions(patches))[::every]
    return {
        "at scale: half a pixel shifted": map(shifted, real),
        "at scale: enlarged 1.1 times": map(slightly_enlarged, real),
        "blurred: reduced 2 times, enlarged 2 times": map(halved, real),
        "blurred: Gaussian, 1.5 px": map(blurred, real),
        **drawn_kinds(count),
        "grey": map(grey, real),
        **{f"recoloured: {name}": [versions[name] for versions in altered] for name in altered[0]},
        **{f"photograph: {name}": tiles(photo, count, random) for name, photo in photographs().items()},
        **{f"enlarged 4 times: {_name(how)}": [enlarged(pixels, how) for pixels in real] for how in FILTERS},
        **{f"reduced 4 times: {_name(how)}": [resampled(pixels, how) for pixels in sections] for how in FILTERS},
    }


def _name(filter_: Image.Resampling) -> str:
    return filter_.name.lower()


def rates(pictures: Iterable[Pixels]) -> dict[str, Any]:
    """n, how many are flagged at all (share, 0..1), and the share of each flag that was raised."""
    found = [gate.flags(picture) for picture in pictures]
    raised = Counter(flag for flags in found for flag in flags)
    return {
        "n": len(found),
        "flagged": round(sum(map(bool, found)) / len(found), 4),
        "flags": {flag: round(raised[flag] / len(found), 4) for flag in gate.FLAGS if raised[flag]},
    }


def report(patches: Patches) -> dict[str, Any]:
    """Rates by kind: the real patches first. patches: of validation patients."""
    return {"real": rates(patches.pixels), **{kind: rates(pictures) for kind, pictures in kinds(patches).items()}}


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
    rows = [gate.measure(picture) for picture in pictures]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


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


def table(found: Mapping[str, Mapping[str, Any]]) -> str:
    """The report as lines of text: kind, n, share flagged, share of each flag."""
    lines = [f"{'kind':44}{'n':>7}{'flagged':>10}  flags"]
    for kind, row in found.items():
        each = "  ".join(f"{flag} {share:.1%}" for flag, share in row["flags"].items())
        lines.append(f"{kind:44}{row['n']:>7}{row['flagged']:>10.2%}  {each}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m ml.gate_rates", description="How often the gate flags what.")
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="ZIP", help="in the Kaggle layout")
    parser.add_argument("--fit", action="store_true", help="first rewrite ml/gate.json from the training patients")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rates to this file")
    options = parser.parse_args(arguments)
    try:
        patches = read_patches(*options.data)
        if options.fit:
            gate.LIMITS.write_text(json.dumps(fit(patches), indent=1) + "\n")
            gate.limits.cache_clear()
        validation = patches.of_split("validation")
        if not len(validation):
            raise DatasetError("The rates are measured on validation patients, and there is none.")
    except DatasetError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    found = report(validation)
    print(table(found))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
