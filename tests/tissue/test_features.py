"""Features of cells: where they are measured, and that they tell of tissue and not of the strength of the stains."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_nucleigan.base.errors import ImageError
from napari_nucleigan.tissue.features import cut_cells, grid_shape, mask_grid, tissue_features
from napari_nucleigan.tissue.record import CELL, FEATURES
from tissue_pictures import tissue_picture


@pytest.mark.parametrize(
    ("shape", "grid"), [((16, 16), (1, 1)), ((17, 16), (2, 1)), ((1000, 250, 3), (63, 16)), ((1, 1), (1, 1))]
)
def test_cells_that_an_image_only_begins_count(shape: tuple[int, ...], grid: tuple[int, int]) -> None:
    assert grid_shape(shape) == grid


def test_a_mask_has_cells_at_the_scale_of_the_classes() -> None:
    assert mask_grid((512, 300), 0.25, 0.25) == (32, 19)
    assert mask_grid((256, 150), 0.5, 0.25) == (32, 19)
    assert mask_grid((1, 1), 0.05, 0.25) == (1, 1)


@given(rows=st.integers(-6, 12), columns=st.integers(-6, 12), height=st.integers(1, 9), width=st.integers(1, 9))
def test_a_window_of_a_map_is_unknown_beyond_it(rows: int, columns: int, height: int, width: int) -> None:
    cells = np.arange(1, 31, dtype=np.uint8).reshape(5, 6)
    window = cut_cells(cells, (rows, columns), (height, width))
    wide = np.zeros((40, 40), np.uint8)
    wide[10:15, 10:16] = cells
    np.testing.assert_array_equal(window, wide[rows + 10 :, columns + 10 :][:height, :width])
    # A window that begins within a cell shows what lies nearest.
    np.testing.assert_array_equal(cut_cells(cells, (rows - 0.4, columns + 0.4), (height, width)), window)


def test_features_are_those_of_the_tissue() -> None:
    pixels, _, truth = tissue_picture()
    found = tissue_features(pixels)
    assert found.shape == (CELL, CELL, len(FEATURES))
    assert found.dtype == np.float32
    centre = truth[CELL // 2 :: CELL, CELL // 2 :: CELL]
    glass, cells, fibres = (found[centre == kind].mean(0) for kind in range(3))
    white, nuclei, _, hue = range(len(FEATURES))
    assert glass[white] > 0.5 > max(cells[white], fibres[white])
    assert cells[nuclei] > 1.5 * fibres[nuclei]
    assert cells[hue] > fibres[hue] + 0.3


def test_the_strength_of_the_stains_changes_little() -> None:
    pale, dark = (tissue_features(tissue_picture(strength=strength)[0]) for strength in (0.8, 1.25))
    assert np.abs(pale - dark).mean() < 0.1 * np.abs(pale).mean() + 0.02


@pytest.mark.parametrize("shape", [(1, 1, 3), (5, 40, 3), (33, 16, 3)])
def test_any_size_has_finite_features(shape: tuple[int, int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    found = tissue_features(pixels)
    assert found.shape[:2] == grid_shape(shape)
    assert np.isfinite(found).all()


def test_blank_and_black_images_have_finite_features() -> None:
    for level in (0, 255):
        assert np.isfinite(tissue_features(np.full((40, 40, 3), level, np.uint8))).all()


def test_grey_images_are_refused() -> None:
    with pytest.raises(ImageError, match="RGB"):
        tissue_features(np.zeros((40, 40), np.uint8))
