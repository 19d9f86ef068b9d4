from __future__ import annotations

import numpy as np
import pytest
from skimage.color import rgb2lab

from napari_nucleigan.stains.colour import (
    lab_to_rgb,
    luminance,
    luminance_of_lightness,
    rgb_to_lab,
)


@pytest.fixture(scope="module")
def colours():
    grid = np.linspace(0, 255, 18).round().astype(np.uint8)
    return np.stack(np.meshgrid(grid, grid, grid), axis=-1).reshape(-1, 3)


def test_lab_equals_scikit_image(colours):
    assert np.abs(rgb_to_lab(colours) - rgb2lab(colours[None])[0]).max() < 0.02


def test_lab_there_and_back_is_within_one_level(colours):
    back = lab_to_rgb(rgb_to_lab(colours)).astype(int)
    assert np.abs(back - colours).max() <= 1


def test_colours_out_of_gamut_are_clipped():
    lab = np.array([[150, 0, 0], [-20, 0, 0], [50, 200, -200]], dtype=np.float32)
    assert lab_to_rgb(lab)[:2].tolist() == [[255, 255, 255], [0, 0, 0]]


def test_luminance_agrees_with_lightness(colours):
    lightness = rgb_to_lab(colours)[:, 0]
    bright = luminance(colours)
    for level in (20.0, 50.0, 90.0):
        sure = np.abs(lightness - level) > 0.01
        expected = lightness > level
        assert ((bright > luminance_of_lightness(level)) == expected)[sure].all()
