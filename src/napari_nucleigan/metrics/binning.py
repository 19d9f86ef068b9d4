"""Scores of nuclei by something that is known of each: their size, how crowded they lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from napari_nucleigan.labels.regions import Float64Array, Int64Array

    Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Bins:
    """Scores of the nuclei in each bin.

    Attributes
    ----------
    low, high : ndarray of float64, shape (b,)
        From, and up to but not including; the last bin includes its end.
    n_truth, n_pred : ndarray of int64, shape (b,)
        True nuclei and predictions in the bin, each by its own value.
    recall, precision : ndarray of float64, shape (b,)
        Matched part of the true nuclei, and of the predictions; NaN where there are none.
    f1 : ndarray of float64, shape (b,)
        Harmonic mean of both; NaN where either is.
    mean_iou : ndarray of float64, shape (b,)
        Of the matched true nuclei; NaN where there are none.
    """

    low: Float64Array
    high: Float64Array
    n_truth: Int64Array
    n_pred: Int64Array
    recall: Float64Array
    precision: Float64Array
    f1: Float64Array
    mean_iou: Float64Array


def binned(
    truth: Float64Array | Int64Array,
    pred: Float64Array | Int64Array,
    truth_matched: Flags,
    pred_matched: Flags,
    ious: Float64Array,
    edges: int | Sequence[float],
) -> Bins:
    """Sort nuclei into bins and score each bin.

    Parameters
    ----------
    truth, pred : ndarray, shapes (n,) and (m,)
        By what to sort.
    truth_matched, pred_matched : ndarray of bool, shapes (n,) and (m,)
        Which are matched.
    ious : ndarray of float64, shape (n,)
        IoU of the matched true nuclei.
    edges : int or sequence of float
        Rising borders; or how many bins, of about equally many true nuclei: from the smallest value of all nuclei to
        the largest, and fewer where many values are equal.

    Returns
    -------
    Bins

    Raises
    ------
    ValueError
        If the borders do not rise, or are fewer than two.
    """
    borders = _borders(truth, pred, edges)
    count = len(borders) - 1
    first, second = _places(truth, borders), _places(pred, borders)
    n_truth, n_pred = (np.bincount(places[places >= 0], minlength=count) for places in (first, second))
    hits = first[truth_matched & (first >= 0)]
    right = second[pred_matched & (second >= 0)]
    shared = np.bincount(hits, ious[truth_matched & (first >= 0)], count)
    with np.errstate(invalid="ignore"):  # nothing of nothing is not a number
        recall = np.bincount(hits, minlength=count) / n_truth
        precision = np.bincount(right, minlength=count) / n_pred
        both = recall + precision
        f1 = np.where(both == 0, 0.0, 2 * recall * precision / both)
        mean_iou = shared / np.bincount(hits, minlength=count)
    return Bins(borders[:-1], borders[1:], n_truth, n_pred, recall, precision, f1, mean_iou)


def _borders(
    truth: Float64Array | Int64Array, pred: Float64Array | Int64Array, edges: int | Sequence[float]
) -> Float64Array:
    if not isinstance(edges, int):
        borders = np.asarray(edges, dtype=np.float64)
        if len(borders) < 2 or not (np.diff(borders) > 0).all():
            raise ValueError("the borders of the bins must be at least two, and rise")
        return borders
    if edges < 1:
        raise ValueError(f"there must be at least one bin, not {edges}")
    values = np.concatenate([truth, pred])
    if not len(values):
        return np.array([0.0, 1.0])
    inner = np.quantile(truth if len(truth) else values, np.arange(1, edges) / edges)
    borders = np.unique(np.concatenate([[values.min()], inner, [values.max()]]).astype(np.float64))
    return borders if len(borders) > 1 else np.array([borders[0], borders[0] + 1])


def _places(values: Float64Array | Int64Array, borders: Float64Array) -> Int64Array:
    """Bin of each value; -1 where it is in none."""
    places = np.searchsorted(borders, values, side="right") - 1
    places[values == borders[-1]] = len(borders) - 2
    places[values > borders[-1]] = -1
    return places
