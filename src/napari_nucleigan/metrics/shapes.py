"""Distances between the pixels of one nucleus and those of another."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_nucleigan.labels.regions import Float64Array, Int64Array, LabelArray

    Window = tuple[slice, slice]

_WINDOW = 1 << 16  # up to so many pixels, all distances of a window are computed at once
_MANY = 1 << 14  # of a nucleus of more pixels than this
_SAMPLE = 1 << 11  # so many are looked at


class Shapes:
    """The nuclei of a label image, cut out as they are needed.

    Parameters
    ----------
    labels : ndarray of int, shape (H, W)
        The image.
    ids : ndarray of int, shape (n,)
        Label of each nucleus.
    boxes : ndarray of int64, shape (n, 4)
        First row, last row + 1, first column, last column + 1.
    """

    def __init__(self, labels: LabelArray, ids: LabelArray, boxes: Int64Array) -> None:
        self._labels, self._ids, self._boxes = labels, ids, boxes
        self._samples: dict[int, Int64Array] = {}
        self._trees: dict[int, cKDTree] = {}

    def window(self, nucleus: int, grown: int = 0) -> Window:
        """Box of a nucleus, with a border around it as far as the image goes."""
        top, bottom, left, right = self._boxes[nucleus].tolist()
        return slice(max(top - grown, 0), bottom + grown), slice(max(left - grown, 0), right + grown)

    def mask(self, nucleus: int, window: Window) -> npt.NDArray[np.bool_]:
        """Tell which pixels of a window are of a nucleus."""
        mask: npt.NDArray[np.bool_] = self._labels[window] == self._ids[nucleus]
        return mask

    def sample(self, nucleus: int) -> Int64Array:
        """Pixels of a nucleus; of a very large one some that are spread evenly. Shape (k, 2)."""
        if nucleus not in self._samples:
            points = self._points(nucleus)
            step = math.ceil(len(points) / _SAMPLE) if len(points) > _MANY else 1
            self._samples[nucleus] = points[::step]
        return self._samples[nucleus]

    def tree(self, nucleus: int) -> cKDTree:
        """Return all pixels of a nucleus, ready to be searched."""
        if nucleus not in self._trees:
            self._trees[nucleus] = cKDTree(self._points(nucleus))
        return self._trees[nucleus]

    def _points(self, nucleus: int) -> Int64Array:
        rows, columns = self.window(nucleus)
        found = np.nonzero(self.mask(nucleus, (rows, columns)))
        return np.stack([at + side.start for at, side in zip(found, (rows, columns), strict=True)], axis=1)


def apart(first: Shapes, a: int, second: Shapes, b: int) -> tuple[Float64Array, Float64Array]:
    """Measure how far the pixels of each of two nuclei are from the other nucleus.

    Parameters
    ----------
    first, second : Shapes
        Nuclei of two images of one shape.
    a, b : int
        A nucleus of each; they have to share a pixel.

    Returns
    -------
    forth, back : ndarray of float64, shape (k,)
        For each pixel of the one the distance to the nearest pixel of the other. Of a nucleus of more than 16 384
        pixels that do not fit a window of 65 536, some 2 048 stand for all.
    """
    one, other = first.window(a), second.window(b)
    rows, columns = (slice(min(x.start, y.start), max(x.stop, y.stop)) for x, y in zip(one, other, strict=True))
    both = rows, columns
    if _area(both) <= _WINDOW:
        mine, theirs = first.mask(a, both), second.mask(b, both)
        return distance_transform_edt(~theirs)[mine], distance_transform_edt(~mine)[theirs]
    return _directed(first, a, second, b), _directed(second, b, first, a)


def _directed(first: Shapes, a: int, second: Shapes, b: int) -> Float64Array:
    found: Float64Array
    window = first.window(a)
    if _area(window) > _WINDOW:
        found = second.tree(b).query(first.sample(a))[0]
        return found
    # They share a pixel, so the nearest one is nowhere farther away than the box is wide.
    grown = first.window(a, math.ceil(math.hypot(*(side.stop - side.start for side in window))))
    found = distance_transform_edt(~second.mask(b, grown))[first.mask(a, grown)]
    return found


def _area(window: Window) -> int:
    return math.prod(side.stop - side.start for side in window)
