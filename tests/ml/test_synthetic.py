from __future__ import annotations

import numpy as np
import pytest

from ml.images import decode_patch
from ml.synthetic import EXAMPLES, draw_patch, example_digests, example_png


def test_a_drawing_is_the_same_every_time() -> None:
    np.testing.assert_array_equal(draw_patch(3, cellularity=0.4), draw_patch(3, cellularity=0.4))
    assert not np.array_equal(draw_patch(3, cellularity=0.4), draw_patch(4, cellularity=0.4))


def test_more_cells_make_a_darker_patch() -> None:
    light = np.mean([draw_patch(seed, cellularity=0.0).mean() for seed in range(8)])
    dark = np.mean([draw_patch(seed, cellularity=1.0).mean() for seed in range(8)])
    assert light > dark + 20


def test_examples_are_known_again_by_their_pixels() -> None:
    digests = {decode_patch(example_png(number)).sha256 for number in range(EXAMPLES)}
    assert digests == example_digests()
    assert len(digests) == EXAMPLES


@pytest.mark.parametrize("number", [-1, EXAMPLES])
def test_there_is_no_other_example(number: int) -> None:
    with pytest.raises(IndexError):
        example_png(number)
