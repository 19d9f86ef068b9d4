"""Tissue: where a slide shows it, and what its stains are, looked up once at low resolution."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from napari_nucleigan.segmentation.coarse import averaged, level_of
from napari_nucleigan.segmentation.surround import as_glass, black_surround, note

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_nucleigan.data.slides import Slide

PIXEL = 8.0
"""Microns that a pixel of the mask is long at most: a nucleus darkens about one."""

ABSORBS = 0.05
"""Optical density (natural logarithm) of the strongest colour from which on something lies on the glass."""

REACH = 2
"""Pixels by which the mask is widened: pale rims belong to the tissue."""

_GLASS = 200  # levels below this are no empty glass, whatever share of the slide they cover
_STAIN_PIXEL = 1.0  # microns; coarser pixels mix nuclei with what lies around them
_SAMPLES, _SAMPLE = 48, 128  # squares of tissue that the stains are read off, and their side in pixels


@dataclass(frozen=True, eq=False)
class TissueMask:
    """A mask of the tissue of a slide.

    Attributes
    ----------
    mask : ndarray of bool, shape (h, w)
        True on tissue.
    shape : (int, int)
        Height and width of the slide in pixels, all of which the mask covers.
    black : float
        Share of the slide that is black without texture.
    """

    mask: NDArray[np.bool_]
    shape: tuple[int, int]
    black: float = 0.0

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know."""
        return (note("slide", self.black),) if self.black else ()

    @property
    def share(self) -> float:
        """Share of the slide that is tissue."""
        return float(self.mask.mean())

    def meets(self, top: float, bottom: float, left: float, right: float) -> bool:
        """Tell whether there is tissue in a box of pixels of the slide."""
        rows, columns = (
            slice(math.floor(first * inner / outer), math.ceil(last * inner / outer))
            for first, last, inner, outer in zip((top, left), (bottom, right), self.mask.shape, self.shape, strict=True)
        )
        return bool(self.mask[rows, columns].any())


def find_tissue(slide: Slide, mpp: float) -> TissueMask:
    """Find the tissue of a slide by the light that it absorbs.

    Parameters
    ----------
    slide : Slide
        The slide; a level of about `PIXEL` microns per pixel is read.
    mpp : float
        Microns per pixel of its full resolution.

    Returns
    -------
    TissueMask
        Generous: what is left out is empty glass, and black without texture.
    """
    small = _level(slide, mpp, PIXEL)
    # The glass is as bright as the brightest part of the slide, colour by colour.
    glass = np.maximum(np.percentile(small.reshape(-1, 3), 99, axis=0), _GLASS)
    density = np.log(glass / np.maximum(small, 1)).max(axis=2)
    smooth = ndimage.uniform_filter(density.astype(np.float32), 3)
    mask = (smooth > ABSORBS) | (density > 4 * ABSORBS)
    black = black_surround(small, PIXEL)
    if black is not None:
        mask &= ~black
    share = 0.0 if black is None else float(black.mean())
    return TissueMask(ndimage.binary_dilation(mask, iterations=REACH), slide.shape, share)


def tissue_samples(slide: Slide, tissue: TissueMask, mpp: float, seed: int = 0) -> NDArray[np.uint8]:
    """Gather squares of tissue from all over a slide, for statistics of its stains.

    Parameters
    ----------
    slide : Slide
        The slide.
    tissue : TissueMask
        Where to look.
    mpp : float
        Microns per pixel of the full resolution.
    seed : int
        Chooses the places.

    Returns
    -------
    ndarray of uint8, shape (H, W, 3)
        The squares one below the other, at about 1 micron per pixel.
    """
    number = level_of(slide, mpp, _STAIN_PIXEL)
    height, width = (int(length) for length in slide.levels[number].shape[:2])
    rows, columns = np.nonzero(tissue.mask)
    if not rows.size:
        return np.full((_SAMPLE, _SAMPLE, 3), 255, np.uint8)
    chosen = np.random.default_rng(seed).choice(rows.size, min(_SAMPLES, rows.size), replace=False)
    side_y, side_x = min(_SAMPLE, height), min(_SAMPLE, width)
    squares = []
    for row, column in zip(rows[chosen], columns[chosen], strict=True):
        top = min(int(row * height / tissue.mask.shape[0]), height - side_y)
        left = min(int(column * width / tissue.mask.shape[1]), width - side_x)
        square = slide.region((top, top + side_y, left, left + side_x), number)
        squares.append(as_glass(square, slide.downsamples[number] * mpp)[0])
    return np.concatenate(squares)


def _level(slide: Slide, mpp: float, pixel: float) -> NDArray[np.float32]:
    """Average a level to pixels of at most some microns."""
    number = level_of(slide, mpp, pixel)
    level = slide.levels[number]
    height, width = (int(length) for length in level.shape[:2])
    side = max(1, int(pixel / (slide.downsamples[number] * mpp)))
    band = side * max(1, 2048 // side)
    bands = [
        averaged(slide.region((top, min(top + band, height), 0, width), number), side) for top in range(0, height, band)
    ]
    return np.concatenate(bands)
