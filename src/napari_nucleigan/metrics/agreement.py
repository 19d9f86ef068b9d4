"""Metrics of overlap, from one table of intersections: AJI, AJI+, panoptic quality, object F1, pixel Dice.

Two empty images agree perfectly: every metric is 1. If only one is empty, every metric is 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_nucleigan.labels.regions import Float64Array, Int64Array, LabelArray, Runs, runs
from napari_nucleigan.metrics.assignment import assign

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


@dataclass(frozen=True, slots=True)
class PanopticQuality:
    """Panoptic quality and the counts that it is made of.

    Attributes
    ----------
    dq, sq, pq : float
        Detection quality (the object F1), segmentation quality (the mean IoU of the pairs) and
        their product, 0 to 1.
    precision, recall : float
        Parts of the predictions and of the true nuclei that are paired, 0 to 1.
    tp, fp, fn : int
        Pairs, spurious predictions, missed nuclei.
    """

    dq: float
    sq: float
    pq: float
    precision: float
    recall: float
    tp: int
    fp: int
    fn: int


def aji(table: Overlaps) -> float:
    r"""Compute the aggregated Jaccard index (AJI), as MoNuSeg defines it.

    Each true nucleus takes the prediction of best IoU; several may take the same one. With the
    predictions :math:`U` that none takes, and the true nuclei :math:`M` that no prediction meets,

    .. math:: \mathrm{AJI} = \frac{\sum_i |G_i \cap S_{j(i)}|}
        {\sum_i |G_i \cup S_{j(i)}| + \sum_{M} |G_i| + \sum_{U} |S_j|}.

    Of two predictions of equal IoU the one with the larger intersection is taken, then the one that
    comes first in the image.

    Parameters
    ----------
    table : Overlaps
        From `overlaps`.

    Returns
    -------
    float
        0 to 1. It is not symmetric in truth and prediction.
    """
    return _ratio(*aji_parts(table))


def aji_parts(table: Overlaps) -> tuple[int, int]:
    """Return the numerator and the denominator of `aji`, in pixels."""
    pairs = table.best(table.ious, table.intersections)
    covered = int(table.unions[pairs].sum())
    covered += _area_of_others(table.truth_areas, table.truth_index[pairs])
    covered += _area_of_others(table.pred_areas, table.pred_index[pairs])
    return int(table.intersections[pairs].sum()), covered


def aji_plus(table: Overlaps) -> float:
    """Compute the aggregated Jaccard index with pairs one to one (AJI+).

    The pairs are those of the largest sum of IoU; of several such sets, that of the largest
    intersection. Else as `aji`.

    Parameters
    ----------
    table : Overlaps
        From `overlaps`.

    Returns
    -------
    float
        0 to 1; symmetric.
    """
    return _ratio(*aji_plus_parts(table))


def aji_plus_parts(table: Overlaps) -> tuple[int, int]:
    """Return the numerator and the denominator of `aji_plus`, in pixels."""
    shared = int(table.intersections[_assign(table)].sum())
    # Each nucleus lies in just one union, or outside all: the unions follow from the areas.
    return shared, int(table.truth_areas.sum() + table.pred_areas.sum()) - shared


def panoptic_quality(table: Overlaps, threshold: float = 0.5) -> PanopticQuality:
    r"""Compute panoptic quality, and with it object F1, precision and recall.

    A true nucleus and a prediction are a pair where their IoU is *above* the threshold; for 0.5 and
    more, that is one to one by itself, below it the pairs are those of `pairs_above`.

    .. math:: \mathrm{DQ} = \mathrm{F_1} = \frac{2 TP}{2 TP + FP + FN}, \qquad
        \mathrm{SQ} = \frac{1}{TP} \sum_{TP} \mathrm{IoU}, \qquad
        \mathrm{PQ} = \mathrm{DQ} \cdot \mathrm{SQ}.

    Parameters
    ----------
    table : Overlaps
        From `overlaps`.
    threshold : float
        At least 0 and below 1.

    Returns
    -------
    PanopticQuality
        SQ is 0 where there is no pair.

    Raises
    ------
    ValueError
        If the threshold is out of range.
    """
    ious = table.ious[pairs_above(table, threshold)]
    tp, n_truth, n_pred = len(ious), table.n_truth, table.n_pred
    dq = _ratio(2 * tp, n_truth + n_pred)
    nothing = n_truth + n_pred == 0
    sq = 1.0 if nothing else float(ious.mean()) if tp else 0.0
    return PanopticQuality(
        dq=dq,
        sq=sq,
        pq=dq * sq,
        precision=1.0 if nothing else tp / max(n_pred, 1),
        recall=1.0 if nothing else tp / max(n_truth, 1),
        tp=tp,
        fp=n_pred - tp,
        fn=n_truth - tp,
    )


def pairs_above(table: Overlaps, threshold: float) -> Int64Array:
    """Pair true nuclei and predictions, one to one, whose IoU is above a threshold.

    From 0.5 on no nucleus can have two such partners. Below, as many pairs are made as can be; of
    several such sets the one with the largest sum of IoU is taken.

    Parameters
    ----------
    table : Overlaps
        From `overlaps`.
    threshold : float
        At least 0 and below 1.

    Returns
    -------
    ndarray of int64
        Indices into the pairs of the table, rising.

    Raises
    ------
    ValueError
        If the threshold is out of range.
    """
    if not 0 <= threshold < 1:
        raise ValueError(f"the IoU threshold must be at least 0 and below 1, not {threshold}")
    above = np.flatnonzero(table.ious > threshold)
    # A pair more outweighs what all others can gain in IoU.
    return above if threshold >= 0.5 else np.sort(_assign(table, above, reward=min(table.n_truth, table.n_pred) + 1.0))


def dice(table: Overlaps) -> float:
    """Compute the Dice coefficient of the pixels: twice the shared foreground over the sum of both.

    Parameters
    ----------
    table : Overlaps
        From `overlaps`.

    Returns
    -------
    float
        0 to 1; symmetric.
    """
    return _ratio(*dice_parts(table))


def dice_parts(table: Overlaps) -> tuple[int, int]:
    """Return the numerator and the denominator of `dice`, in pixels."""
    return 2 * int(table.intersections.sum()), int(table.truth_areas.sum() + table.pred_areas.sum())


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else 1.0


def _area_of_others(areas: Int64Array, chosen: Int64Array) -> int:
    other = np.ones(len(areas), dtype=np.bool_)
    other[chosen] = False
    return int(areas[other].sum())


def _assign(table: Overlaps, among: Int64Array | None = None, reward: float = 0.0) -> Int64Array:
    """Pairs of the one-to-one assignment of largest total IoU, as indices into the pairs.

    Only pairs of `among` are taken; `reward` is what a pair is worth beside its IoU.
    """
    among = np.arange(len(table.intersections)) if among is None else among
    rows, columns = table.truth_index[among], table.pred_index[among]
    sizes = (table.n_truth, table.n_pred)
    return among[assign(rows, columns, sizes, reward + table.ious[among], table.intersections[among])]
