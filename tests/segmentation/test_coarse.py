from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_nucleigan.data.slides import Slide
from napari_nucleigan.segmentation.coarse import averaged, level_of


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("shape", [(12, 20, 3), (13, 17, 3), (9, 9), (2, 3, 3)])
def test_squares_are_averaged_and_the_last_go_on_as_they_end(dtype: type, shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape).astype(dtype)
    spare = [(0, -length % 4) for length in shape[:2]] + [(0, 0)] * (len(shape) - 2)
    padded = np.pad(pixels, spare, mode="edge").astype(float)
    height, width = (length // 4 for length in padded.shape[:2])
    expected = padded.reshape(height, 4, width, 4, *shape[2:]).mean(axis=(1, 3))
    found = averaged(pixels, 4)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert np.array_equal(averaged(pixels, 1), pixels)


def test_the_coarsest_level_that_is_fine_enough() -> None:
    whole = np.zeros((64, 64, 3), np.uint8)
    slide = Slide("s", Path("s"), (whole, whole[::2, ::2], whole[::8, ::8]), 0.25)  # type: ignore[arg-type]
    assert [level_of(slide, 0.25, wanted) for wanted in (0.1, 0.25, 0.5, 1.9, 2.0, 9.0)] == [0, 0, 1, 1, 2, 2]
