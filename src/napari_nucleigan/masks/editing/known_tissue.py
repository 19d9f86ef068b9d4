"""Known tissue: what a fill takes of the tissue map of a mask, and what it adds to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_nucleigan.tissue.features import cut_cells, mask_grid
from napari_nucleigan.tissue.record import CELL, UNKNOWN

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_nucleigan.labels.regions import Bounds
    from napari_nucleigan.masks.sampler.parameters import PolygonMasks


class KnownTissue:
    """The tissue map of a mask of which a region is filled.

    Parameters
    ----------
    statistics : PolygonMasks
        What the nuclei are like; without a layout nothing is known, and nothing is drawn.
    shape : (int, int)
        Height and width of the mask in pixels.
    mpp : float
        Microns per pixel of the mask.
    region : Bounds
        What is filled.
    cells : ndarray of uint8, shape (h, w), or None
        The map; None where all is unknown.

    Attributes
    ----------
    cells : ndarray of uint8, shape (h, w), or None
        The map before the fill, 0 where it is to be drawn.
    """

    def __init__(
        self,
        statistics: PolygonMasks,
        shape: tuple[int, int],
        mpp: float,
        region: Bounds,
        cells: NDArray[np.uint8] | None,
    ) -> None:
        self.cells: NDArray[np.uint8] | None = None
        self._shape, self._step, self._mpp = shape, 1.0, mpp
        if statistics.layout is None:
            return
        self._classes_mpp = statistics.layout.classes.mpp
        self._step = CELL * self._classes_mpp / mpp
        grid = mask_grid(shape, mpp, self._classes_mpp)
        self.cells = np.full(grid, UNKNOWN, np.uint8) if cells is None else cells.astype(np.uint8)
        self._inside = self._cells_inside(region)

    def begin(self, pixel: int) -> int:
        """Return where a window begins that is to begin at a pixel: with a cell."""
        return pixel if self.cells is None else int(np.floor(np.floor(pixel / self._step) * self._step))

    def window(self, origin: tuple[int, int], shape: tuple[int, int]) -> NDArray[np.uint8] | None:
        """Return what is known of a window, given by its first pixel and its size in pixels."""
        if self.cells is None:
            return None
        start = origin[0] / self._step, origin[1] / self._step
        return cut_cells(self.cells, start, mask_grid(shape, self._mpp, self._classes_mpp))

    def joined(self, drawn: NDArray[np.uint8] | None, origin: tuple[int, int]) -> NDArray[np.uint8] | None:
        """Return the map with what was drawn in a window at an origin: the region's cells that were unknown."""
        if self.cells is None or drawn is None:
            return None
        start = -origin[0] / self._step, -origin[1] / self._step
        there = cut_cells(drawn, start, self.cells.shape)
        return np.where(self._inside & (self.cells == UNKNOWN), there, self.cells).astype(np.uint8)

    def _cells_inside(self, region: Bounds) -> NDArray[np.bool_]:
        """Tell which cells begin, and have their middle where the mask has it, in the region."""
        assert self.cells is not None
        spans = ((region[0], region[1], self.cells.shape[0]), (region[2], region[3], self.cells.shape[1]))
        rows, columns = (
            # Of the last cell the mask may have a part only, which ends before the middle.
            (places + 0.5 >= first / self._step) & ((places + 0.5 < last / self._step) | (last == end))
            for first, last, end, places in (
                (*span[:2], end, np.arange(span[2])) for span, end in zip(spans, self._shape, strict=True)
            )
        )
        return rows[:, None] & columns[None]
