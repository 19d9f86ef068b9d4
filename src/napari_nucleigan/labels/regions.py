"""Where nuclei lie: areas, centres and boxes, from runs of pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import cKDTree

if TYPE_CHECKING:
    from napari_nucleigan.labels.runs import Float64Array, Int64Array, Runs

_STRIPS = 64


@dataclass(frozen=True, eq=False)
class Regions:
    """Area, centre and box of each of some regions.

    Attributes
    ----------
    areas : ndarray of int64, shape (n,)
        Pixels.
    centres : ndarray of float64, shape (n, 2)
        Mean row and column of the pixels.
    boxes : ndarray of int64, shape (n, 4)
        First row, last row + 1, first column, last column + 1.
    """

    areas: Int64Array
    centres: Float64Array
    boxes: Int64Array


def regions(cut: Runs, index: Int64Array, count: int) -> Regions:
    """Measure the regions that runs make up.

    Parameters
    ----------
    cut : Runs
        Of 2-D images.
    index : ndarray of int64, shape (r,)
        Region of each run, from 1; 0 for none.
    count : int
        Number of regions; each has to have a pixel.

    Returns
    -------
    Regions
    """
    inside = np.flatnonzero(index)
    order = inside[np.argsort(index[inside], kind="stable")]
    region, lengths = index[order] - 1, cut.lengths[order]
    rows, first = np.divmod(cut.starts[order], max(cut.shape[1], 1))
    areas = np.bincount(region, lengths, count)
    sums = [np.bincount(region, lengths * at, count) for at in (rows, first + (lengths - 1) / 2)]
    begins = np.flatnonzero(np.diff(region, prepend=-1))
    boxes = np.zeros((count, 4), np.int64)
    if count:
        edges = (np.minimum, rows), (np.maximum, rows + 1), (np.minimum, first), (np.maximum, first + lengths)
        boxes = np.stack([extreme.reduceat(at, begins) for extreme, at in edges], axis=1)
    return Regions(areas.astype(np.int64), np.stack(sums, axis=1) / areas[:, None], boxes)


def local_density(points: Float64Array, centres: Float64Array, radius: float, shape: tuple[int, ...]) -> Float64Array:
    """Count the centres around each point, as if the image went on in the same way beyond its border.

    Parameters
    ----------
    points, centres : ndarray of float64, shapes (n, 2) and (m, 2)
        Rows and columns.
    radius : float
        How far is near, in pixels.
    shape : (int, int)
        Height and width of the image.

    Returns
    -------
    ndarray of float64, shape (n,)
        Number of centres within the radius over the part of the disc that lies in the image.
    """
    if not len(points) or not len(centres):
        return np.zeros(len(points))
    near = cKDTree(centres).query_ball_point(points, radius, return_length=True)
    # What of the disc lies in the image, in thin strips.
    row, column = points[:, :1] + 0.5, points[:, 1:] + 0.5
    top, bottom = np.maximum(row - radius, 0), np.minimum(row + radius, shape[0])
    strips = top + (np.arange(_STRIPS) + 0.5) / _STRIPS * (bottom - top)
    reach = np.sqrt(radius**2 - (strips - row) ** 2)
    chords = np.minimum(column + reach, shape[1]) - np.maximum(column - reach, 0)
    inside = chords.mean(1) * (bottom - top)[:, 0] / (np.pi * radius**2)
    counted: Float64Array = near / np.minimum(inside, 1)
    return counted
