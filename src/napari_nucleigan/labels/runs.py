"""Runs: stretches of a row along which neither of two label images changes; labels checked and numbered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_nucleigan.base.errors import LabelsError

LabelArray = npt.NDArray[np.integer[Any]]


Int64Array = npt.NDArray[np.int64]


Float64Array = npt.NDArray[np.float64]


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
    checked(truth, pred)
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


def checked(truth: LabelArray, pred: LabelArray) -> None:
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


def renumber(labels: LabelArray, ids: LabelArray) -> npt.NDArray[np.int32]:
    """Give the nucleus of the i-th of `ids` the label i + 1, and 0 to all else."""
    known, places = _compact(labels)
    rank = np.zeros(len(known), dtype=np.int32)
    rank[np.searchsorted(known, ids)] = np.arange(1, len(ids) + 1, dtype=np.int32)
    return rank[places]


def _number(values: LabelArray) -> tuple[LabelArray, Int64Array]:
    """Labels in the order in which they first appear; the place of each value in it, from 1."""
    known, places = _compact(values)
    first = np.full(len(known), -1, dtype=np.int64)
    # Of several writes to one place the last one stays: backwards, that is the first pixel.
    first[places[::-1]] = np.arange(len(places))[::-1]
    first[known == 0] = -1
    present = np.flatnonzero(first >= 0)
    present = present[np.argsort(first[present])]
    rank = np.zeros(len(known), dtype=np.int64)
    rank[present] = np.arange(1, len(present) + 1)
    return known[present], rank[places]


def _compact(values: LabelArray) -> tuple[LabelArray, LabelArray]:
    """Rising labels that include all in use; for each pixel the place of its label among them."""
    largest = int(values.max(initial=0))
    if largest <= 4 * values.size + 65_536:
        return np.arange(largest + 1), values
    known, places = np.unique(values, return_inverse=True)
    return known, places.reshape(values.shape)
