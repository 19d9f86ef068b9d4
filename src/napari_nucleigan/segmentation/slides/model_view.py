"""A slide as a model wants to see it: at the scale that the model was trained at, window by window."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_nucleigan.tiling.scale import Scale

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_nucleigan.data.slides import Slide
    from napari_nucleigan.tiling.tiles import Box


class ModelView:
    """Windows of a slide at a model's scale.

    A pixel has the same value in every window that shows it, so that tiles agree where they overlap.

    Parameters
    ----------
    slide : Slide
        The slide.
    mpp : float
        Microns per pixel of its full resolution.
    model_mpp : float
        Microns per pixel of the model.

    Attributes
    ----------
    scale : Scale
        Between the slide and the model.
    factors : (float, float)
        Pixels of the slide that a pixel here is high and wide.

    Raises
    ------
    ImageError
        If no nuclei can be seen at this scale.
    """

    def __init__(self, slide: Slide, mpp: float, model_mpp: float) -> None:
        self.slide = slide
        self.scale = Scale.of(slide.shape, mpp, model_mpp)
        self.factors = (
            slide.shape[0] / self.scale.model_shape[0],
            slide.shape[1] / self.scale.model_shape[1],
        )
        # Of a finely scanned slide a level that is fine enough is read; it is smoothed already, and a quarter the work.
        fine = [number for number, factor in enumerate(slide.downsamples) if factor <= min(self.factors) * 1.01]
        self._level = fine[-1] if self.scale.resamples and fine else 0
        height, width = slide.levels[self._level].shape[:2]
        self._inner = int(height), int(width)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels of the model's scale."""
        return self.scale.model_shape

    def read(self, box: Box) -> NDArray[np.uint8]:
        """Read a window.

        Parameters
        ----------
        box : Box
            In pixels of the model's scale.

        Returns
        -------
        ndarray of uint8, shape (H, W, 3)
            RGB; linear between the pixels of the slide, and an average over them where it shrinks.
        """
        if self._inner == self.shape:
            return self.slide.region((box.top, box.bottom, box.left, box.right), self._level)
        rows, row_weights = taps(box.top, box.bottom, self.shape[0], self._inner[0])
        columns, column_weights = taps(box.left, box.right, self.shape[1], self._inner[1])
        top, left = int(rows.min()), int(columns.min())
        pixels = self.slide.region((top, int(rows.max()) + 1, left, int(columns.max()) + 1), self._level)
        across = _weighted(pixels.swapaxes(0, 1), columns - left, column_weights).swapaxes(0, 1)
        window = _weighted(across, rows - top, row_weights)
        return np.rint(window, out=window).astype(np.uint8)


def taps(start: int, stop: int, length: int, inner: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Weights of linear resampling with a triangle that is as wide as the longer of the two pixels.

    Parameters
    ----------
    start, stop : int
        Pixels wanted, of `length`.
    length, inner : int
        Length of the whole axis in pixels after and before.

    Returns
    -------
    places : ndarray of int, shape (stop - start, k)
        Pixels of the axis before.
    weights : ndarray of float32, shape (stop - start, k)
        Of each; they add up to 1.
    """
    ratio = inner / length
    reach = max(1.0, ratio)
    centres = ((np.arange(start, stop) + 0.5) * ratio - 0.5)[:, None]
    places = (np.floor(centres - reach) + 1).astype(np.intp) + np.arange(int(np.ceil(2 * reach)))
    weights = np.maximum(0, 1 - np.abs(places - centres) / reach)
    return places.clip(0, inner - 1), (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def _weighted(
    pixels: NDArray[np.uint8] | NDArray[np.float32], places: NDArray[np.intp], weights: NDArray[np.float32]
) -> NDArray[np.float32]:
    total = np.zeros((places.shape[0], *pixels.shape[1:]), np.float32)
    for place, weight in zip(places.T, weights.T, strict=True):
        total += pixels[place] * weight[:, None, None]
    return total
