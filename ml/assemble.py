"""From trained networks to the one graph that answers: symmetries, mean, calibration, embedding.

float32 [n, 50, 50, 3] in 0..255 -> probability [n, 1], calibrated, and embedding [n, 64]. All of it is inside
the graph, so that every engine gives the same answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml.backend import keras
from ml.calibrate import Calibration
from ml.engine import EMBEDDING_SIZE
from ml.images import PATCH_SIDE

ops, layers = keras.ops, keras.layers
SYMMETRIES = 8


@dataclass(frozen=True)
class Projection:
    """Features -> embedding: (features - mean) @ axes, axes float32 [features, 64]."""

    mean: NDArray[np.float32]
    axes: NDArray[np.float32]


def fit_projection(features: NDArray[np.float32], weights: NDArray[np.float32]) -> Projection:
    """The 64 main directions of the features [n, d], each scaled to variance 1 (PCA, whitened).

    weights [n]: how much each patch counts. The length of an embedding over sqrt(64) is then a Mahalanobis
    distance from the middle of the training patches, 1 on average.
    """
    mean = np.average(features, axis=0, weights=weights)
    centred = (features - mean).astype(np.float64)
    covariance = (centred * weights[:, None]).T @ centred / weights.sum()
    variances, directions = np.linalg.eigh(covariance)
    variances, directions = variances[::-1][:EMBEDDING_SIZE], directions[:, ::-1][:, :EMBEDDING_SIZE]
    axes = directions / np.sqrt(variances)
    return Projection(mean.astype(np.float32), axes.astype(np.float32))


def raw_model(members: Sequence[keras.Model], *, symmetries: int) -> keras.Model:
    """patch -> mean logit of the members [n, 1], and their features side by side [n, d].

    symmetries: 8 to answer the mean over the flips and quarter turns of the patch, 1 for the patch alone.

    Raises:
        ValueError: symmetries is neither 1 nor 8.
    """
    if symmetries not in (1, SYMMETRIES):
        raise ValueError(f"symmetries is {symmetries}; 1 or {SYMMETRIES} are possible.")
    patch = keras.Input((PATCH_SIDE, PATCH_SIDE, 3), name="patch")
    stack = patch if symmetries == 1 else ops.concatenate(_symmetries(patch), axis=0)
    logits, features = [], []
    for place, member in enumerate(members):
        logit, pooled = _logit_and_features(member, name=f"member{place}")(stack)
        if symmetries > 1:
            logit, pooled = (ops.mean(ops.reshape(x, (symmetries, -1, x.shape[-1])), axis=0) for x in (logit, pooled))
        logits.append(logit)
        features.append(pooled)
    logit = logits[0] if len(logits) == 1 else ops.mean(ops.stack(logits), axis=0)
    return keras.Model(patch, [logit, features[0] if len(features) == 1 else ops.concatenate(features, axis=1)])


def finished_model(raw: keras.Model, calibration: Calibration, projection: Projection) -> keras.Model:
    """The graph to export: what `raw_model` gives, calibrated and projected."""
    logit, features = raw.outputs
    scaled = layers.Dense(1, activation="sigmoid", name="probability")
    projected = layers.Dense(EMBEDDING_SIZE, name="embedding")
    model = keras.Model(raw.input, [scaled(logit), projected(features)])
    scaled.set_weights([np.array([[calibration.scale]], np.float32), np.array([calibration.shift], np.float32)])
    projected.set_weights([projection.axes, -projection.mean @ projection.axes])
    return model


def _symmetries(patch: Any) -> list[Any]:
    turned = [patch, ops.transpose(patch, (0, 2, 1, 3))]
    flipped = [*turned, *(ops.flip(x, axis=1) for x in turned)]
    return [*flipped, *(ops.flip(x, axis=2) for x in flipped)]


def _logit_and_features(member: keras.Model, *, name: str) -> keras.Model:
    """The member up to its logit instead of its probability, and its features averaged over positions."""
    last, features = member.get_layer("probability"), member.get_layer("features").output
    logit = layers.Dense(1, name="logit")
    before = member.get_layer("features").input
    pooled = ops.mean(before, axis=(1, 2))
    model = keras.Model(member.input, [logit(features), pooled], name=name)
    logit.set_weights(last.get_weights())
    return model
