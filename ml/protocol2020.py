"""The protocol of the 2020 project: balanced by undersampling, split at random by patch.

It leaks: patches of one patient look alike, and here they are in training and in test.
"""

from __future__ import annotations

import numpy as np

from ml.dataset import Patches

LEAK = (
    "Split by patch: every patient of the test patches is in training too, so the figures of the test "
    "patches say little of a new patient."
)
SHARES = (0.8, 0.9)  # training up to the first, validation up to the second, the rest test


def undersample(patches: Patches, *, seed: int) -> Patches:
    """All patches of the rarer class and as many of the other, drawn at random."""
    random = np.random.default_rng(seed)
    rows = [np.flatnonzero(patches.labels == label) for label in (0, 1)]
    number = min(map(len, rows))
    return patches.where(np.sort(np.concatenate([random.permutation(of_label)[:number] for of_label in rows])))


def split_by_patch(patches: Patches, *, seed: int) -> tuple[Patches, Patches, Patches]:
    """Training, validation and test patches: 80, 10 and 10 % at random, whoever the patient is."""
    order = np.random.default_rng(seed).permutation(len(patches))
    first, second = (int(share * len(patches)) for share in SHARES)
    return patches.where(order[:first]), patches.where(order[first:second]), patches.where(order[second:])
