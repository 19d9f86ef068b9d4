"""Outcomes of nuclei: matched, missed, spurious, split or merged; their picture, their scores by size or density."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from napari_nucleigan.labels.regions import Float64Array, Int64Array, Runs
    from napari_nucleigan.metrics.agreement import Overlaps

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


OUTCOMES = ("matched", "missed", "spurious", "split", "merged")
"""What can become of a nucleus."""

MATCHED, MISSED, SPURIOUS, SPLIT, MERGED = range(len(OUTCOMES))


@dataclass(frozen=True, eq=False)
class NucleusOutcomes:
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


def find_outcomes(table: Overlaps, matched: Int64Array) -> NucleusOutcomes:
    """Sort nuclei into rows and tell their outcomes; the documentation defines them.

    Parameters
    ----------
    table : Overlaps
        From `overlaps`.
    matched : ndarray of int64
        Its pairs that count as matched, one to one.

    Returns
    -------
    NucleusOutcomes
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


def _numbered(n: int, names: Int64Array, outcomes: npt.NDArray[np.int8], hosts: Int64Array) -> NucleusOutcomes:
    """Give rows that are named by any nucleus their numbers, in the order of the first nucleus."""
    used, first, rows = np.unique(names, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.argsort(order)
    rows, used = rank[rows], used[order]
    hosts = hosts[used]
    hosts[hosts >= 0] = rows[hosts[hosts >= 0]]
    return NucleusOutcomes(outcomes[used], hosts, rows[:n], rows[n:])


def join_rows(found: NucleusOutcomes, into: Int64Array) -> tuple[NucleusOutcomes, Int64Array]:
    """Join rows with others.

    Parameters
    ----------
    found : NucleusOutcomes
        The rows.
    into : ndarray of int64, shape (n,)
        For each row the one that it becomes part of, or itself. What comes out is called merged where at least as many
        true nuclei as predictions are in it, else split.

    Returns
    -------
    NucleusOutcomes
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


def paint_outcomes(
    cut: Runs, first: Int64Array, second: Int64Array, ranks: Int64Array
) -> tuple[npt.NDArray[np.int32], list[int]]:
    """Paint rows of nuclei so that each can be seen.

    Where a true nucleus of one row meets a prediction of another, the row of higher rank takes what they share. A row
    that this leaves without a pixel takes some back.

    Parameters
    ----------
    cut : Runs
        Of both label images.
    first, second : ndarray of int64, shape (r,)
        Row of the true nucleus and of the prediction of each run, from 1; 0 for background.
    ranks : ndarray of int64, shape (n + 1,)
        Of each row, the background before all; all differ.

    Returns
    -------
    picture : ndarray of int32, shape (H, W)
        Row of each pixel, from 1; 0 for background.
    hidden : list of int
        Rows that are not to be seen. There are such only where chains of nuclei cover fewer pixels than they are many.
    """
    owners = np.where(ranks[first] >= ranks[second], first, second).astype(np.int32)
    counts = np.bincount(owners, cut.lengths, len(ranks)).astype(np.int64)
    picture = np.repeat(owners, cut.lengths)
    empty = (np.flatnonzero(counts[1:] == 0) + 1).tolist()
    hidden = []
    if empty:
        pixels = _pixels_by_row(cut, first, second, len(ranks))
        hidden = [row for row in empty if not _claim(row, picture, counts, pixels)]
    return picture.reshape(cut.shape), hidden


def _pixels_by_row(cut: Runs, first: Int64Array, second: Int64Array, rows: int) -> Callable[[int], Int64Array]:
    """Make a function that lists the pixels which the nuclei of a row cover, counted row by row of the image."""
    other = np.flatnonzero(first != second)
    index = np.concatenate([first, second[other]])
    order = np.concatenate([np.arange(len(first)), other])[np.argsort(index, kind="stable")]
    ends = np.cumsum(np.bincount(index, minlength=rows))

    def pixels(row: int) -> Int64Array:
        runs = order[ends[row - 1] : ends[row]]
        starts, lengths = cut.starts[runs], cut.lengths[runs]
        skipped = starts - np.cumsum(lengths) + lengths
        found: Int64Array = np.arange(lengths.sum()) + np.repeat(skipped, lengths)
        return found

    return pixels


def _claim(row: int, picture: npt.NDArray[np.int32], counts: Int64Array, pixels: Callable[[int], Int64Array]) -> bool:
    """Find pixels for a row that has none, at the cost of rows that keep some; False where nothing can be found.

    A row with one pixel gives it up if it finds another itself: the search goes along such rows.
    """
    came: dict[int, tuple[int, int]] = {row: (0, 0)}
    queue = [row]
    for current in queue:
        mine = pixels(current)
        others, shares = np.unique(picture[mine], return_counts=True)
        for other in others[np.argsort(-shares, kind="stable")].tolist():
            if other == current:
                continue
            shared = mine[picture[mine] == other]
            if counts[other] > 1:
                # All that they share, or half of it where the other has nothing else.
                taken = shared if counts[other] > len(shared) else shared[: len(shared) // 2]
                picture[taken] = current
                counts[other] -= len(taken)
                counts[current] += len(taken)
                while current != row:
                    before, pixel = came[current]
                    picture[pixel] = before
                    counts[current] -= 1
                    counts[before] += 1
                    current = before
                return True
            if other not in came:
                came[other] = current, int(shared[0])
                queue.append(other)
    return False
