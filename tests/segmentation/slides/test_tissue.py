from __future__ import annotations

from pathlib import Path

import dask.array as da
import numpy as np
import pytest

from napari_nucleigan import stains
from napari_nucleigan.data.slides import Slide
from napari_nucleigan.segmentation.slides.tissue import TissueMask, find_tissue, tissue_samples

GLASS, PINK, BLUE = (243, 241, 244), (225, 160, 200), (90, 60, 140)


def slide(levels: int = 2) -> Slide:
    """Glass with a pale square of tissue and one lonely dark nucleus, at 1 micron per pixel."""
    random = np.random.default_rng(0)
    pixels = np.full((1024, 2048, 3), GLASS, np.uint8)
    pixels[256:512, 512:1024] = PINK
    pixels[300:310, 600:610] = BLUE
    pixels[800:808, 1600:1608] = BLUE
    noisy = (pixels + random.normal(0, 2, pixels.shape)).clip(0, 255).astype(np.uint8)
    whole = da.from_array(noisy, chunks=(256, 256, 3))
    return Slide("slide", Path("slide"), tuple(whole[:: 4**level, :: 4**level] for level in range(levels)), 1.0)


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_pale_tissue_and_single_cells_are_found_and_glass_is_not(levels: int) -> None:
    found = find_tissue(slide(levels), 1.0)
    assert found.shape == (1024, 2048)
    assert found.meets(256, 512, 512, 1024)
    assert found.meets(790, 820, 1590, 1620)
    assert not found.meets(0, 200, 0, 2048)
    assert not found.meets(600, 760, 0, 1500)
    # The square has 1/16 of the slide; the rim that is added makes it a little more.
    assert 1 / 16 <= found.share < 0.1


def test_every_pixel_of_tissue_is_covered() -> None:
    found = find_tissue(slide(), 1.0)
    for row in range(256, 512, 8):
        assert all(found.meets(row, row + 1, column, column + 1) for column in range(512, 1024, 8))


def test_a_slide_of_glass_has_none() -> None:
    white = Slide("w", Path("w"), (da.full((600, 600, 3), 250, dtype=np.uint8),), 0.5)
    assert find_tissue(white, 0.5).share == 0
    assert (tissue_samples(white, find_tissue(white, 0.5), 0.5) == 255).all()


def test_dark_slides_are_all_tissue() -> None:
    dark = Slide("d", Path("d"), (da.full((600, 600, 3), 120, dtype=np.uint8),), 0.5)
    assert find_tissue(dark, 0.5).share == 1


def test_boxes_at_the_border_and_beyond() -> None:
    mask = np.zeros((3, 5), bool)
    mask[2, 4] = True
    tissue = TissueMask(mask, (30, 50))
    assert tissue.meets(29, 30, 49, 50)
    assert tissue.meets(25, 40, 45, 60)
    assert not tissue.meets(0, 20, 0, 40)


def test_samples_show_the_stains_of_the_tissue() -> None:
    some = slide()
    samples = tissue_samples(some, find_tissue(some, 1.0), 1.0)
    assert samples.dtype == np.uint8
    assert samples.shape[1:] == (128, 3)
    assert (samples.min(axis=2) < 220).mean() > 0.3
    assert np.array_equal(samples, tissue_samples(some, find_tissue(some, 1.0), 1.0))
    assert stains.fit(samples, "reinhard").method == "reinhard"


def test_black_around_the_scan_is_no_tissue() -> None:
    light = slide()
    pixels = np.asarray(light.levels[0])
    framed = np.zeros((1400, 2400, 3), np.uint8)
    framed[200:1224, 150:2198] = pixels
    found = find_tissue(Slide("s", Path("s"), (framed,), 1.0), 1.0)
    assert found.meets(200 + 256, 200 + 512, 150 + 512, 150 + 1024)
    assert not found.meets(0, 150, 0, 2400)
    assert not found.meets(0, 1400, 2300, 2400)
    assert found.black == pytest.approx(1 - pixels.size / framed.size, abs=0.03)
    assert "black without texture" in found.notes[0]
    assert find_tissue(light, 1.0).notes == ()
    samples = tissue_samples(Slide("s", Path("s"), (framed,), 1.0), found, 1.0)
    assert (samples.max(axis=2) <= 40).mean() < 0.02
