"""Proposals: the regions of an image whose correction would teach a model most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from napari_nucleigan.base.errors import LabelsError, ModelError
from napari_nucleigan.base.pixels import sides
from napari_nucleigan.segmentation.confidence import CONFIDENCE
from napari_nucleigan.tiling import Box, resize_labels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_nucleigan.segmentation.image import Segmentation

COUNT = 5
"""Regions that are proposed."""

SIDE = 64.0
"""Microns that a region is long at most: 256 pixels at 40x, some dozens of nuclei."""

SHARE = 1 / 3
"""Part of an image that the regions cover at most; in small images they are smaller."""

_CELL = 4.0  # microns: the grid on which regions lie
_APART = 1.25  # sides from middle to middle, so that no two become one, and not all lie in one corner
_DONE = 0.1  # part of a region that may be corrected already
_UNSURE = 0.2  # probability from which what is no nucleus may be one that was missed
_RIM = 5  # pixels: whoever is unsure where a nucleus ends has not missed one


@dataclass(frozen=True)
class Proposal:
    """A region that is worth correcting.

    Attributes
    ----------
    box : Box
        Where it lies, in pixels of the image.
    doubtful : float
        Nuclei found there that are expected to be none, or badly outlined: the sum of 1 minus their confidence.
    missed : float
        Nuclei that are expected to have been missed there: what the network holds for nuclei without having cut one
        out, over the area that a nucleus usually has.
    """

    box: Box
    doubtful: float
    missed: float

    @property
    def score(self) -> float:
        """Errors that are expected there."""
        return self.doubtful + self.missed


def propose(
    found: Segmentation, count: int = COUNT, side: float = SIDE, done: NDArray[Any] | None = None
) -> list[Proposal]:
    """Choose the regions of an image whose correction would teach a model most.

    Those are chosen, one after the other, in which most errors are expected; each has its distance from the others, so
    that they tell of different places.

    Parameters
    ----------
    found : Segmentation
        What the model has found, with its confidence.
    count : int
        Regions wanted.
    side : float
        Microns that they are long and wide.
    done : ndarray of shape (H, W), optional
        Where the nuclei are corrected already: what is not 0.

    Returns
    -------
    list of Proposal
        The best first; fewer where the image has no room, or nothing to doubt.

    Raises
    ------
    ModelError
        If the model does not tell its confidence.
    LabelsError
        If `done` is of another size.
    """
    table = found.features
    if CONFIDENCE not in table:
        raise ModelError(
            f"The model {found.card.name!r} does not tell how sure it is of a nucleus, so that no regions can be "
            "proposed; choose a bundled model."
        )
    height, width = found.labels.shape
    if done is not None and done.shape != (height, width):
        raise LabelsError(
            f"What is corrected already is {done.shape[1]} x {done.shape[0]} pixels large, but “{found.image.name}” "
            f"{width} x {height}; give what was made for it."
        )
    lengths = sides(found.mpp)
    side = min(side, float(np.sqrt(SHARE * height * width * lengths[0] * lengths[1] / count)))
    grid = _Grid((height, width), min(_CELL, side / 4), lengths)
    rows, columns = table["centroid_y_px"], table["centroid_x_px"]
    doubtful = grid.windows(grid.gathered(rows, columns, 1 - table[CONFIDENCE]), side)
    missed = grid.windows(_missed(found, grid), side)
    scores = doubtful + missed
    if done is not None:
        rows, columns = np.nonzero(done)
        share = grid.windows(grid.gathered(rows, columns, np.ones(len(rows))), side)
        scores[share > _DONE * side**2 / (lengths[0] * lengths[1])] = 0
    proposals: list[Proposal] = []
    reach = max(1, round(_APART * side / grid.cell))
    for _ in range(count):
        row, column = (int(place) for place in np.unravel_index(scores.argmax(), scores.shape))
        if scores[row, column] <= 0:
            break
        box = grid.box(row, column, side)
        proposals.append(Proposal(box, float(doubtful[row, column]), float(missed[row, column])))
        scores[max(0, row - reach + 1) : row + reach, max(0, column - reach + 1) : column + reach] = 0
    return proposals


class _Grid:
    """An image divided into square cells, so that sums over all its regions are cheap."""

    def __init__(self, shape: tuple[int, int], cell: float, lengths: tuple[float, float]) -> None:
        self.cell = cell
        self._image = shape
        self._pixels = cell / lengths[0], cell / lengths[1]  # of the image, that a cell is high and wide
        self._shape = tuple(max(1, int(length / step)) for length, step in zip(shape, self._pixels, strict=True))

    def gathered(
        self, rows: NDArray[Any], columns: NDArray[Any], values: NDArray[Any], zoom: tuple[float, float] = (1.0, 1.0)
    ) -> NDArray[np.float64]:
        """Add up values at pixels by their cells; `zoom` is how many pixels of the image one is high and wide."""
        places = [
            np.minimum((np.asarray(at) + 0.5) * factor / step, length - 1).astype(np.intp)
            for at, factor, step, length in zip((rows, columns), zoom, self._pixels, self._shape, strict=True)
        ]
        size = self._shape[0] * self._shape[1]
        total = np.bincount(places[0] * self._shape[1] + places[1], values, minlength=size)
        return total.reshape(self._shape).astype(np.float64)

    def windows(self, cells: NDArray[np.float64], side: float) -> NDArray[np.float64]:
        """Add up the cells of each region, by its first cell."""
        total = np.pad(cells, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
        high, wide = (min(round(side / self.cell), length) for length in self._shape)
        sums: NDArray[np.float64] = (
            total[high:, wide:] - total[:-high, wide:] - total[high:, :-wide] + total[:-high, :-wide]
        )
        # What rounding leaves of nothing is nothing.
        return np.where(sums > 1e-6, sums, 0.0)

    def box(self, row: int, column: int, side: float) -> Box:
        """Return the region that begins with a cell, in pixels of the image."""
        ends = []
        for place, step, length in zip((row, column), self._pixels, self._image, strict=True):
            extent = min(length, round(side / self.cell * step))
            start = min(round(place * step), length - extent)
            ends += [start, start + extent]
        return Box(*ends)


def _missed(found: Segmentation, grid: _Grid) -> NDArray[np.float64]:
    """Nuclei that are expected to have been missed, by cell; none where the field was too large to be kept."""
    if found.field is None or not len(found.features["area_px"]):
        return grid.gathered(np.zeros(0), np.zeros(0), np.zeros(0))
    inside = (found.field[0].astype(np.float32) + 1) / 2
    shape = (inside.shape[0], inside.shape[1])
    nuclei = ndimage.maximum_filter(resize_labels(found.labels, shape) > 0, _RIM)
    rows, columns = np.nonzero((inside > _UNSURE) & ~nuclei)
    zoom = found.labels.shape[0] / shape[0], found.labels.shape[1] / shape[1]
    usual = float(np.median(found.features["area_px"])) / (zoom[0] * zoom[1])
    return grid.gathered(rows, columns, inside[rows, columns] / max(usual, 1.0), zoom)
