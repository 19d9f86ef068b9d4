"""The table of intersections between true and predicted nuclei."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_nucleigan.labels.regions import Float64Array, Int64Array, LabelArray, Runs, runs

_DENSE_CELLS = 1 << 22  # a table of up to so many cells is counted densely


@dataclass(frozen=True, eq=False)
class Overlaps:
    """Which true nuclei meet which predicted ones, and in how many pixels.

    Nuclei are numbered from 0 in the order of their first pixel, row by row, so that nothing
    depends on the values of the labels.

    Attributes
    ----------
    truth_ids, pred_ids : ndarray of int, shapes (n,) and (m,)
        Label of each nucleus.
    truth_areas, pred_areas : ndarray of int64, shapes (n,) and (m,)
        Pixels of each nucleus.
    truth_index, pred_index : ndarray of int64, shape (k,)
        The two nuclei of each pair that shares a pixel; sorted by the first, then the second.
    intersections : ndarray of int64, shape (k,)
        Pixels that the pair shares.
    """

    truth_ids: LabelArray
    pred_ids: LabelArray
    truth_areas: Int64Array
    pred_areas: Int64Array
    truth_index: Int64Array
    pred_index: Int64Array
    intersections: Int64Array

    @property
    def n_truth(self) -> int:
        """Number of true nuclei."""
        return len(self.truth_ids)

    @property
    def n_pred(self) -> int:
        """Number of predicted nuclei."""
        return len(self.pred_ids)

    @cached_property
    def unions(self) -> Int64Array:
        """Pixels that either nucleus of a pair covers, shape (k,)."""
        areas = self.truth_areas[self.truth_index] + self.pred_areas[self.pred_index]
        return areas - self.intersections

    @cached_property
    def ious(self) -> Float64Array:
        """Intersection over union of each pair, shape (k,), in (0, 1]."""
        return self.intersections / self.unions

    @cached_property
    def closest(self) -> Int64Array:
        """For each true nucleus that meets a prediction, its pair of most shared pixels (then largest IoU)."""
        return self.best(self.intersections, self.ious)

    def best(self, *keys: npt.NDArray[Any]) -> Int64Array:
        """For each true nucleus that meets a prediction, find the best pair.

        Parameters
        ----------
        *keys : ndarray, shape (k,)
            What is to be largest; a later key decides between equals of those before it, and the
            first pixel of the prediction where all are equal.

        Returns
        -------
        ndarray of int64
            Indices into the pairs, by rising true nucleus.
        """
        descending = [-key for key in reversed(keys)]
        order = np.lexsort([self.pred_index, *descending, self.truth_index])
        _, starts = np.unique(self.truth_index[order], return_index=True)
        return order[starts]


def overlaps(truth: LabelArray, pred: LabelArray) -> Overlaps:
    """Count the pixels that each true nucleus shares with each predicted one.

    Parameters
    ----------
    truth, pred : ndarray of int, same shape
        Label images: 0 is background, every other value one nucleus. The values may be as large
        as they like and leave gaps; a nucleus may be in several pieces.

    Returns
    -------
    Overlaps

    Raises
    ------
    LabelsError
        If the shapes differ, or an image is not of integers or holds negative ones.
    """
    return tabulate(runs(truth, pred))


def tabulate(cut: Runs) -> Overlaps:
    """Sum runs to the table of intersections."""
    width = len(cut.pred_ids) + 1
    cells = (len(cut.truth_ids) + 1) * width
    joint = cut.truth * width + cut.pred
    if cells <= _DENSE_CELLS:
        table = _sums(joint, cut.lengths, cells)
        found = np.flatnonzero(table)
        counts = table[found]
    else:
        found, place = np.unique(joint, return_inverse=True)
        counts = _sums(place, cut.lengths, len(found))
    rows, columns = np.divmod(found, width)
    both = (rows > 0) & (columns > 0)
    return Overlaps(
        truth_ids=cut.truth_ids,
        pred_ids=cut.pred_ids,
        truth_areas=_sums(cut.truth, cut.lengths, len(cut.truth_ids) + 1)[1:],
        pred_areas=_sums(cut.pred, cut.lengths, width)[1:],
        truth_index=rows[both] - 1,
        pred_index=columns[both] - 1,
        intersections=counts[both],
    )


def _sums(places: Int64Array, lengths: Int64Array, count: int) -> Int64Array:
    # Sums of pixels are whole numbers far below 2**53, so float64 holds them exactly.
    return np.bincount(places, weights=lengths, minlength=count).astype(np.int64)
