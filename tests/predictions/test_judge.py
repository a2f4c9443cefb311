"""What the gate flags reaches the row, each patch its own, and keeps it out of the gallery until staff admits it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from accounts.models import User
from ml import gate
from ml.engine import EMBEDDING_SIZE, EngineOutput
from ml.images import DecodedPatch
from ml.judge import answer
from predictions import inference, services
from predictions.models import ModelVersion, Patch, Prediction, Source, Visibility
from predictions.services.stacks import _stack
from predictions.uploads import ReceivedFile
from tests.factories import submit_drawn

pytestmark = pytest.mark.usefixtures("model_version")


def submit_pixels(
    owner: User, pixels: np.ndarray, *, width: int = 50, height: int = 50, um_per_pixel: float | None = None
) -> Prediction:
    file = ReceivedFile("patch.png", patch=DecodedPatch(pixels, width, height))
    submission = services.submit(
        owner=owner, files=[file], visibility=Visibility.PUBLIC, source=Source.WEB, um_per_pixel=um_per_pixel
    )
    (patch,) = submission.accepted
    assert patch.current_prediction
    return patch.current_prediction


@dataclass
class Sure:
    """An engine that places patches where the test wants them."""

    embedding: np.ndarray

    def predict(self, pixels: np.ndarray) -> EngineOutput:
        return EngineOutput(np.full(len(pixels), 0.5, np.float32), self.embedding)


def test_each_patch_is_flagged_for_itself_by_pixels_stated_scale_and_embedding(owner: User) -> None:
    rng = np.random.default_rng(1)
    glass = np.full((50, 50, 3), 245, np.uint8)
    green = np.clip(rng.normal((40, 160, 40), 25, (50, 50, 3)), 0, 255).astype(np.uint8)
    rows = [
        submit_pixels(owner, glass),
        submit_pixels(owner, green, width=200, height=100, um_per_pixel=1),  # shown at 4 µm a pixel
        submit_pixels(owner, np.roll(green, 7, axis=0), width=200, height=100, um_per_pixel=4),  # at 16
    ]
    stack = _stack(rows)
    near = np.zeros((3, EMBEDDING_SIZE), np.float32)
    output, (empty, foreign, stated) = answer(Sure(near), stack.pixels, stack.scales, limit=100)
    assert output.embedding is near
    assert empty == ["no_tissue"]
    assert "not_he" in foreign
    assert "scale_stated" not in foreign
    assert "scale_stated" in stated
    far = near.copy()
    far[1] = 1000
    _, flags = answer(Sure(far), stack.pixels, stack.scales, limit=100)
    assert [codes[-1:] == ["unlike"] for codes in flags] == [False, True, False]


def test_a_drain_writes_what_the_gate_says_and_staff_may_admit_it(
    owner: User, staff: User, model_version: ModelVersion
) -> None:
    sound, empty = submit_drawn(owner, 1)[0], submit_pixels(owner, np.full((50, 50, 3), 245, np.uint8))
    assert services.drain() == 2
    engine, limit = inference.get_engine(model_version), model_version.card["likeness"]["limit"]
    for row in (sound, empty):
        row.refresh_from_db()
        pixels = _stack([row]).pixels
        output = engine.predict(pixels)
        unlike = ["unlike"] if gate.is_unlike(output.embedding, limit)[0] else []
        assert row.flags == [*gate.flags(pixels[0], None), *unlike]
        kept = np.frombuffer(row.embedding or b"", "<f2")
        np.testing.assert_allclose(kept, output.embedding[0], rtol=2e-3, atol=1e-3)
    assert "no_tissue" in empty.flags
    assert empty.patch not in Patch.objects.in_gallery()
    services.admit(patch=empty.patch, actor=staff)
    assert empty.patch in Patch.objects.in_gallery()
