from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_nucleigan.segmentation.surround import as_glass, black_surround


@pytest.mark.parametrize("mpp", [0.25, 0.5, 1.0])
@pytest.mark.parametrize("level", [0, 20])
def test_black_becomes_glass_and_the_tissue_stays(tiny_he: Any, mpp: float, level: int) -> None:
    rgb = tiny_he(400, 400, 120)[0]
    noise = np.random.default_rng(0).integers(0, 8, rgb.shape)
    framed = np.where(np.pad(np.ones((200, 240, 1), bool), ((100, 100), (100, 60), (0, 0))), rgb, level + noise)
    found, share = as_glass(framed.astype(np.uint8), mpp)
    assert np.array_equal(found[100:300, 100:340], rgb[100:300, 100:340])
    assert (found[:100] == 255).all()
    assert (found[:, :100] == 255).all()
    assert (found[:, 340:] == 255).all()
    assert share == pytest.approx(1 - 200 * 240 / 400**2)


def test_where_there_is_none_the_image_is_itself(tiny_he: Any) -> None:
    rgb = tiny_he(200, 200, 60)[0]
    assert as_glass(rgb, 0.25) == (rgb, 0.0)
    rgb = rgb.copy()
    rgb[50:90, 50:90] = 5  # a speck of 10 microns
    found, share = as_glass(rgb, 0.25)
    assert found is rgb
    assert share == 0


def test_black_with_texture_is_left() -> None:
    pixels = np.random.default_rng(0).integers(0, 90, (200, 200, 3)).astype(np.uint8)
    assert black_surround(pixels, 0.25) is None
