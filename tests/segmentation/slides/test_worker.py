from __future__ import annotations

from functools import cache
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_nucleigan.base.errors import ImageError
from napari_nucleigan.data.slides import Slide
from napari_nucleigan.segmentation.slides.worker import ModelView, taps
from napari_nucleigan.tiling import Box


def slide(shape: tuple[int, int] = (301, 407), levels: int = 1) -> Slide:
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    whole = da.from_array(pixels, chunks=(64, 64, 3))
    return Slide("s", Path("s"), tuple(whole[:: 2**level, :: 2**level] for level in range(levels)), 0.25)


def test_the_same_scale_gives_the_pixels_themselves() -> None:
    some = slide()
    view = ModelView(some, 0.25, 0.25)
    assert view.shape == some.shape
    assert view.factors == (1, 1)
    window = view.read(Box(10, 110, 200, 407))
    assert np.array_equal(window, np.asarray(some.levels[0])[10:110, 200:407])


@pytest.mark.parametrize("mpp", [0.1, 0.18, 0.33, 0.5, 1.1])
def test_resampling_is_that_of_torch_inside(mpp: float) -> None:
    some = slide()
    view = ModelView(some, mpp, 0.25)
    height, width = view.shape
    found = view.read(Box(0, height, 0, width)).astype(int)
    image = torch.from_numpy(np.asarray(some.levels[0])).permute(2, 0, 1)[None].float()
    expected = torch.nn.functional.interpolate(image, view.shape, mode="bilinear", align_corners=False, antialias=True)
    difference = np.abs(found - expected[0].permute(1, 2, 0).numpy())[3:-3, 3:-3]
    assert difference.max() <= 0.51


@cache
def whole_view(mpp: float) -> tuple[ModelView, np.ndarray]:
    view = ModelView(slide(levels=2), mpp, 0.25)
    return view, view.read(Box(0, view.shape[0], 0, view.shape[1]))


@given(st.data(), st.sampled_from([0.13, 0.25, 0.47, 0.5]))
def test_a_pixel_is_the_same_in_every_window(data: st.DataObject, mpp: float) -> None:
    view, whole = whole_view(mpp)
    height, width = view.shape
    top = data.draw(st.integers(0, height - 1))
    left = data.draw(st.integers(0, width - 1))
    bottom = data.draw(st.integers(top + 1, height))
    right = data.draw(st.integers(left + 1, width))
    assert np.array_equal(view.read(Box(top, bottom, left, right)), whole[top:bottom, left:right])


def test_a_finely_scanned_slide_is_read_at_a_coarser_level() -> None:
    some = slide((400, 600), levels=3)
    view = ModelView(some, 0.125, 0.25)
    assert view.shape == (200, 300)
    assert np.array_equal(view.read(Box(0, 200, 0, 300)), np.asarray(some.levels[1]))


def test_weights_add_up_and_stay_inside() -> None:
    places, weights = taps(0, 37, 37, 100)
    assert np.allclose(weights.sum(axis=1), 1)
    assert places.min() == 0 and places.max() == 99
    assert (np.diff((places * weights).sum(axis=1)) > 0).all()


def test_a_scale_that_cannot_be_is_refused() -> None:
    with pytest.raises(ImageError, match="microns per pixel"):
        ModelView(slide(), 8.0, 0.25)
