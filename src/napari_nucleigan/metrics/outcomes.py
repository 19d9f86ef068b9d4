"""What became of each nucleus: matched, missed, spurious, split or merged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_nucleigan.labels.regions import Int64Array
    from napari_nucleigan.metrics.table import Overlaps

OUTCOMES = ("matched", "missed", "spurious", "split", "merged")
"""What can become of a nucleus."""

MATCHED, MISSED, SPURIOUS, SPLIT, MERGED = range(len(OUTCOMES))


@dataclass(frozen=True, eq=False)
class Events:
    """The nuclei of two images in rows: each nucleus belongs to one row.

    Rows are numbered from 0 in the order of their first true nucleus; those without any follow, in the order of
    their first prediction.

    Attributes
    ----------
    outcomes : ndarray of int8, shape (n,)
        Index into `OUTCOMES`.
    hosts : ndarray of int64, shape (n,)
        Row of the matched nucleus that those of the row are part of; -1 where there is none.
    truth_rows, pred_rows : ndarray of int64
        Row of each true nucleus and of each prediction.
    """

    outcomes: npt.NDArray[np.int8]
    hosts: Int64Array
    truth_rows: Int64Array
    pred_rows: Int64Array


def events(table: Overlaps, matched: Int64Array) -> Events:
    """Sort nuclei into rows and tell their outcomes; the documentation defines them.

    Parameters
    ----------
    table : Overlaps
        From `overlaps`.
    matched : ndarray of int64
        Its pairs that count as matched, one to one.

    Returns
    -------
    Events
    """
    n, m = table.n_truth, table.n_pred
    truths, preds = table.truth_index, table.pred_index
    partners = np.full(n + m, -1)  # of true nuclei, then of predictions; so are all lists of nuclei here
    partners[truths[matched]], partners[n + preds[matched]] = n + preds[matched], truths[matched]
    # A nucleus lies in another where more than half of its pixels do, so it lies in one at most.
    twice = 2 * table.intersections
    swallowed = np.flatnonzero((twice > table.truth_areas[truths]) & (partners[truths] < 0))
    fragments = np.flatnonzero((twice > table.pred_areas[preds]) & (partners[n + preds] < 0))

    # Each nucleus starts as a row of its own; rows are named by one of their nuclei.
    names = np.arange(n + m)
    names[n + preds[matched]] = truths[matched]
    outcomes = np.repeat(np.array([MISSED, SPURIOUS], np.int8), [n, m])
    outcomes[truths[matched]] = MATCHED
    hosts = np.full(n + m, -1)
    merged = np.zeros(n + m, np.bool_)
    for outcome, pairs, inner, outer in (
        (MERGED, swallowed, truths, n + preds),
        (SPLIT, fragments, n + preds, truths),
    ):
        # What is part of a merger is not part of a split, too.
        free = pairs[~merged[inner[pairs]] & ~merged[outer[pairs]]]
        for whole, parts in _grouped(inner[free], outer[free]).items():
            if partners[whole] >= 0:
                hosts[parts[0]] = whole
            elif len(parts) > 1:
                parts.append(whole)
            else:
                continue
            names[parts] = parts[0]
            outcomes[parts[0]] = outcome
            merged[parts] = outcome == MERGED
    return _numbered(n, names, outcomes, hosts)


def _grouped(inner: Int64Array, outer: Int64Array) -> dict[int, list[int]]:
    """For each of the outer nuclei, those that lie in it."""
    groups: dict[int, list[int]] = {}
    for part, whole in zip(inner.tolist(), outer.tolist(), strict=True):
        groups.setdefault(whole, []).append(part)
    return groups


def _numbered(n: int, names: Int64Array, outcomes: npt.NDArray[np.int8], hosts: Int64Array) -> Events:
    """Give rows that are named by any nucleus their numbers, in the order of the first nucleus."""
    used, first, rows = np.unique(names, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.argsort(order)
    rows, used = rank[rows], used[order]
    hosts = hosts[used]
    hosts[hosts >= 0] = rows[hosts[hosts >= 0]]
    return Events(outcomes[used], hosts, rows[:n], rows[n:])


def joined(found: Events, into: Int64Array) -> tuple[Events, Int64Array]:
    """Join rows with others.

    Parameters
    ----------
    found : Events
        The rows.
    into : ndarray of int64, shape (n,)
        For each row the one that it becomes part of, or itself. What comes out is called merged where at least as many
        true nuclei as predictions are in it, else split.

    Returns
    -------
    Events
    rows : ndarray of int64, shape (n,)
        What has become of each row.
    """
    n = len(found.truth_rows)
    names = into[np.concatenate([found.truth_rows, found.pred_rows])]
    size = len(found.outcomes)
    truths, preds = np.bincount(names[:n], minlength=size), np.bincount(names[n:], minlength=size)
    outcomes = found.outcomes.copy()
    grown = np.unique(into[into != np.arange(size)])
    outcomes[grown] = np.where(truths[grown] >= preds[grown], MERGED, SPLIT)
    after = _numbered(n, names, outcomes, found.hosts)
    rows = np.zeros(size, np.int64)
    rows[names] = np.concatenate([after.truth_rows, after.pred_rows])
    return after, rows
