"""Regions of label images: runs of pixels, areas, centres, boxes, moments, hulls, neighbours; checks of such images."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from napari_nucleigan.base.errors import LabelsError

LabelArray = npt.NDArray[np.integer[Any]]
Int64Array = npt.NDArray[np.int64]
Float64Array = npt.NDArray[np.float64]

Bounds = tuple[int, int, int, int]
"""First row, last row + 1, first column, last column + 1, in pixels."""

MASK_ONLY = "it only tells nuclei from background; number the nuclei first"
"""What is wrong with a mask that should be a label image."""

_STRIPS = 64
_CHAIN_ENDS: tuple[tuple[int, Literal["left", "right"]], ...] = ((0, "left"), (-1, "right"))


@dataclass(frozen=True, eq=False)
class Regions:
    """Regions of a 2-D image, as runs: stretches of a row that are of one region.

    Attributes
    ----------
    region : ndarray of int64, shape (r,)
        Region of each run, from 0, ascending; of one region the runs go by row, then by column.
    row, first, after : ndarray of int64, shape (r,)
        Its row, its first column and its last column + 1.
    count : int
        Number of regions; each has a pixel.
    """

    region: Int64Array
    row: Int64Array
    first: Int64Array
    after: Int64Array
    count: int

    @classmethod
    def of(cls, index: LabelArray, count: int) -> Regions:
        """Find the regions of an image of their numbers, 1 to `count`; 0 is background."""
        change = index[:, 1:] != index[:, :-1]
        ends = index > 0
        begins = ends.copy()
        begins[:, 1:] &= change
        ends[:, :-1] &= change
        row, first = np.nonzero(begins)
        return cls._sorted(index[row, first].astype(np.int64), row, first, np.nonzero(ends)[1] + 1, count)

    @classmethod
    def _sorted(cls, index: Int64Array, row: Int64Array, first: Int64Array, after: Int64Array, count: int) -> Regions:
        order = np.argsort(index, kind="stable")
        return cls(index[order] - 1, row[order], first[order], after[order], count)

    def _total(self, weight: npt.NDArray[Any]) -> Float64Array:
        total: Float64Array = np.bincount(self.region, weight, self.count).astype(np.float64)
        return total

    @cached_property
    def areas(self) -> Int64Array:
        """Pixels of each region; ndarray of int64, shape (n,)."""
        return self._total(self.after - self.first).astype(np.int64)

    @cached_property
    def centres(self) -> Float64Array:
        """Mean row and column of the pixels; ndarray of float64, shape (n, 2)."""
        length, middle = self.after - self.first, (self.first + self.after - 1) / 2
        sums = [self._total(length * at) for at in (self.row, middle)]
        return np.stack(sums, axis=1) / self.areas[:, None]

    @cached_property
    def boxes(self) -> Int64Array:
        """First row, last row + 1, first column, last column + 1; ndarray of int64, shape (n, 4)."""
        if not self.count:
            return np.zeros((0, 4), np.int64)
        begins = np.flatnonzero(np.diff(self.region, prepend=-1))
        ends = (np.minimum, self.row), (np.maximum, self.row + 1), (np.minimum, self.first), (np.maximum, self.after)
        return np.stack([extreme.reduceat(at, begins) for extreme, at in ends], axis=1)

    def second_moments(self) -> tuple[Float64Array, Float64Array, Float64Array]:
        """Compute the variances of row and column of the pixels, and their covariance; each of shape (n,)."""
        length, area = self.after - self.first, self.areas
        centre = self.centres[self.region]
        down, right = self.row - centre[:, 0], (self.first + self.after - 1) / 2 - centre[:, 1]
        # A run of n pixels has the second moment n (n^2 - 1) / 12 about its own middle.
        across = length * right**2 + length * (length**2 - 1) / 12
        rows, columns, mixed = (self._total(of) / area for of in (length * down**2, across, length * down * right))
        return rows, columns, mixed

    def hull_areas(self) -> Float64Array:
        """Measure the convex hull of the pixels as squares; ndarray of float64, shape (n,)."""
        # The corners of a pixel lie on the rows above and below it.
        both = [np.concatenate([at, at]) for at in (self.region, self.first, self.after)]
        row = np.concatenate([self.row, self.row + 1])
        return self._hull(both[0], row, both[1], both[2])[0] / 2

    def hull_pixels(self) -> Float64Array:
        r"""Count the pixel centres in the convex hull of each region's pixel centres; shape (n,).

        By Pick's theorem a lattice polygon of area :math:`A` with :math:`B` lattice points on its border holds
        :math:`A + B / 2 + 1` of them.
        """
        twice_area, border = self._hull(self.region, self.row, self.first, self.after - 1)
        pixels: Float64Array = twice_area / 2 + border / 2 + 1
        return pixels

    def _hull(
        self, one: Int64Array, row: Int64Array, first: Int64Array, last: Int64Array
    ) -> tuple[Float64Array, Float64Array]:
        """Twice the area of the hulls of lattice points, and the points on their border. All are worked on at once."""
        # Of each row only the two ends can lie on the hull.
        order = np.lexsort((row, one))
        one, row, first, last = one[order], row[order], first[order], last[order]
        new = np.flatnonzero(np.diff(one, prepend=-1) | np.diff(row, prepend=-1))
        one, row = one[new], row[new]
        left = _chain(one, row, np.minimum.reduceat(first, new) if self.count else first)
        right = _chain(one, row, -np.maximum.reduceat(last, new) if self.count else last)
        twice_area, border = np.zeros(self.count), np.zeros(self.count)
        for of, ys, xs, sign in ((*left, -1), (*right, -1)):
            same = of[1:] == of[:-1]
            dy, dx = np.diff(ys)[same], np.diff(xs)[same]
            # Trapezoids between the chain and the axis x = 0.
            slab = (xs[1:] + xs[:-1])[same] * dy
            twice_area += sign * np.bincount(of[1:][same], slab, self.count)
            border += np.bincount(of[1:][same], np.gcd(dy, dx), self.count)
        # The level top and bottom sides lie between the ends of the chains.
        for place, side in _CHAIN_ENDS:
            ends = [chain[2][np.searchsorted(chain[0], np.arange(self.count), side) + place] for chain in (left, right)]
            border += -ends[1] - ends[0]
        return twice_area, border


def _chain(one: Int64Array, y: Int64Array, x: Int64Array) -> tuple[Int64Array, Int64Array, Int64Array]:
    """Corners of the convex chain towards small x, for points sorted by region and row.

    A point that does not lie beyond the line through its neighbours is no corner, so all such points can go at once;
    when none is left, the chain is convex.
    """
    while len(one) > 2:
        before_y, before_x = y[1:-1] - y[:-2], x[1:-1] - x[:-2]
        after_y, after_x = y[2:] - y[1:-1], x[2:] - x[1:-1]
        within = (one[2:] == one[:-2]) & (before_x * after_y >= after_x * before_y)
        if not within.any():
            break
        keep = np.concatenate([[True], ~within, [True]])
        one, y, x = one[keep], y[keep], x[keep]
    return one, y, x


def numbered(labels: LabelArray) -> tuple[LabelArray, npt.NDArray[np.int32]]:
    """List the labels in use, and number them.

    Parameters
    ----------
    labels : ndarray of integers
        0 is background.

    Returns
    -------
    values : ndarray of integers, shape (n,)
        The labels, ascending.
    index : ndarray of int32
        For each pixel the place of its label among them, from 1; 0 for background.
    """
    largest = int(labels.max(initial=0))
    if labels.min(initial=0) >= 0 and largest <= max(10_000, 4 * labels.size):
        found = np.zeros(largest + 1, dtype=bool)
        found[labels.ravel()] = True
        found[0] = False
        values = np.flatnonzero(found)
        return values, (np.cumsum(found, dtype=np.int32) * found)[labels]
    known, places = np.unique(labels, return_inverse=True)
    used = known != 0
    index = (np.cumsum(used, dtype=np.int32) * used)[places]
    return known[used], index.reshape(labels.shape)


def bounds(chosen: npt.NDArray[np.bool_]) -> Bounds | None:
    """Find the box around the pixels that are set in a 2-D array; None where none is."""
    rows = np.flatnonzero(chosen.any(axis=1))
    if not rows.size:
        return None
    columns = np.flatnonzero(chosen[rows[0] : rows[-1] + 1].any(axis=0))
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def regions_of(labels: LabelArray) -> tuple[LabelArray, Regions]:
    """List the labels of a 2-D image, ascending, and find their regions."""
    values, index = numbered(labels)
    return values, Regions.of(index, len(values))


def regions(cut: Runs, index: Int64Array, count: int) -> Regions:
    """Take the regions of one of two label images from their runs.

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
    row, first = np.divmod(cut.starts[inside], max(cut.shape[1], 1))
    return Regions._sorted(index[inside], row, first, first + cut.lengths[inside], count)


@dataclass(frozen=True, eq=False)
class Runs:
    """Stretches of a row along which neither of two label images changes.

    Neighbours along a row mostly agree: what can be counted in runs needs no second look at the pixels.

    Attributes
    ----------
    shape : tuple of int
        Of the images.
    starts, lengths : ndarray of int64, shape (r,)
        First pixel of each run, counted row by row, and its number of pixels.
    truth, pred : ndarray of int64, shape (r,)
        Number of the nucleus, from 1 in the order of the first pixel; 0 for background.
    truth_ids, pred_ids : ndarray of int, shapes (n,) and (m,)
        Label of each nucleus.
    """

    shape: tuple[int, ...]
    starts: Int64Array
    lengths: Int64Array
    truth: Int64Array
    pred: Int64Array
    truth_ids: LabelArray
    pred_ids: LabelArray


def runs(truth: LabelArray, pred: LabelArray) -> Runs:
    """Cut two label images into runs; takes and raises what `overlaps` does."""
    check_pair(truth, pred)
    t, p = truth.ravel(), pred.ravel()
    begins = np.ones(truth.shape, dtype=np.bool_)
    if truth.size:
        flat = begins.reshape(-1)
        flat[1:] = (t[1:] != t[:-1]) | (p[1:] != p[:-1])
        begins[..., 0] = True
    starts = np.flatnonzero(begins)
    truth_ids, first = _number(t[starts])
    pred_ids, second = _number(p[starts])
    return Runs(truth.shape, starts, np.diff(starts, append=t.size), first, second, truth_ids, pred_ids)


def check_pair(truth: LabelArray, pred: LabelArray) -> None:
    """Raise `LabelsError` unless both are label images of one shape."""
    if truth.shape != pred.shape:
        raise LabelsError(
            f"The true labels are of shape {truth.shape} and the predicted ones of {pred.shape};"
            " compare label images of the same image."
        )
    for name, labels in (("true", truth), ("predicted", pred)):
        if not np.issubdtype(labels.dtype, np.integer):
            raise LabelsError(
                f"The {name} labels are of type {labels.dtype}; labels are whole numbers, one for"
                " each nucleus and 0 for background."
            )
        if np.issubdtype(labels.dtype, np.signedinteger) and labels.min(initial=0) < 0:
            raise LabelsError(
                f"The {name} labels hold negative values; use 0 for background and positive numbers for nuclei."
            )


def _number(values: LabelArray) -> tuple[LabelArray, Int64Array]:
    """Labels in the order in which they first appear; the place of each value in it, from 1."""
    known, index = numbered(values)
    first = np.zeros(len(known) + 1, np.int64)
    # Of several writes to one place the last one stays: backwards, that is the first pixel.
    first[index[::-1]] = np.arange(len(index))[::-1]
    order = np.argsort(first[1:])
    rank = np.zeros(len(known) + 1, np.int64)
    rank[1 + order] = np.arange(1, len(known) + 1)
    return known[order], rank[index]


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
    from scipy.spatial import cKDTree  # takes longer to import than all else that reading an image needs

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


_MAX_LABEL = np.iinfo(np.int32).max


def looks_like_labels(values: npt.NDArray[Any]) -> bool:
    """Guess from its values whether an array holds labels, and no grey image.

    Integers of 32 bits or more are taken for labels: no camera writes them. Others are if there is background (0), and
    most of the other values lie mostly beside themselves, which those of a grey image do not.

    Parameters
    ----------
    values : ndarray
        Any array.
    """
    if values.ndim != 2 or values.dtype.kind not in "uib" or values.size == 0 or values.min() < 0:
        return False
    if values.dtype.itemsize > 2:
        return True
    first = values[:, :-1]
    count = np.bincount(first.ravel())[1:]
    beside = np.bincount(first[first == values[:, 1:]], minlength=count.size + 1)[1:]
    return bool((values == 0).any() and count.any() and np.median(beside[count > 0] / count[count > 0]) >= 0.5)


def check_labels(labels: npt.NDArray[Any], name: str = "The array") -> npt.NDArray[Any]:
    """Make sure that an array is a label image.

    Parameters
    ----------
    labels : array-like
        Anything.
    name : str
        What to call it in the error.

    Returns
    -------
    ndarray of integers, shape (H, W)
        The same values.

    Raises
    ------
    LabelsError
        Unless it has two dimensions, at least one pixel, and integers from 0 to 2**31 - 1.
    """
    values = np.asarray(labels)
    reason = _labels_problem(values)
    if reason:
        raise LabelsError(f"{name} is no label image: {reason}.")
    return values


def _labels_problem(values: npt.NDArray[Any]) -> str | None:
    if values.ndim == 3 and values.shape[-1] in (3, 4):
        return "it holds colours; labels are one integer for each pixel"
    if values.ndim != 2 or 0 in values.shape:
        return f"its shape is {values.shape}, not (height, width)"
    if values.dtype.kind == "b":
        return MASK_ONLY
    if values.dtype.kind not in "ui":
        return f"its values are {values.dtype}; labels are integers, so save it with 16 or 32 bits, as they are"
    if values.min() < 0:
        return f"it holds negative numbers, {values.min()} the lowest; 0 is background, and nuclei have numbers above"
    if values.max() > _MAX_LABEL:
        return f"its largest label is {values.max()}, more than {_MAX_LABEL}; number the nuclei anew"
    return None
