"""What speaks against relying on an answer: the gate's flags of each patch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ml import gate
from predictions.models import Patch, Prediction


def judge(jobs: Sequence[Prediction], pixels: NDArray[np.uint8], embeddings: NDArray[np.float32]) -> list[list[str]]:
    """The flags of each job, codes of ml.gate.FLAGS. The jobs are of one model version.

    pixels: uint8 [n, 50, 50, 3]. embeddings: float32 [n, 64], as the engine of that version gave them.
    """
    stated = Patch.objects.filter(pk__in=[job.patch_id for job in jobs], um_per_pixel__isnull=False)
    scales = {patch.pk: patch.shown_um_per_pixel for patch in stated}
    found = gate.flags_of_all(pixels, [scales.get(job.patch_id) for job in jobs])
    is_unlike = gate.is_unlike(embeddings, jobs[0].model_version.likeness_limit)
    return [[*codes, *(["unlike"] if unlike else [])] for codes, unlike in zip(found, is_unlike, strict=True)]
