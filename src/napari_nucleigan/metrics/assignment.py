"""Assignment: pairs of nuclei, one to one, that are worth most in all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

if TYPE_CHECKING:
    from napari_nucleigan.labels.regions import Float64Array, Int64Array


def assign(
    rows: Int64Array,
    columns: Int64Array,
    sizes: tuple[int, int],
    gain: Float64Array,
    between: npt.NDArray[Any] | None = None,
) -> Int64Array:
    """Choose pairs, one to one, whose gain is the largest in all.

    What meets in no chain of pairs cannot compete, so each connected group is solved alone; most have one pair and need
    no solving.

    Parameters
    ----------
    rows, columns : ndarray of int64, shape (k,)
        The two partners of each pair that can be made.
    sizes : (int, int)
        How many there are on each side.
    gain : ndarray of float64, shape (k,)
        What each pair is worth, above 0.
    between : ndarray, shape (k,), optional
        What decides between choices of equal gain: the larger, the better.

    Returns
    -------
    ndarray of int64
        Indices into the pairs.
    """
    nodes = (rows, sizes[0] + columns)
    graph = coo_array((np.ones(len(rows), dtype=np.int8), nodes), shape=(sum(sizes),) * 2)
    _, group = connected_components(graph, directed=False)
    group = group[nodes[0]]
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    lengths = np.diff(starts, append=len(rows))
    chosen = [order[starts[lengths == 1]]]
    for start, length in zip(starts[lengths > 1], lengths[lengths > 1], strict=True):
        pairs = order[start : start + length]
        worth = gain[pairs] if between is None else gain[pairs] + 1e-9 * between[pairs] / between[pairs].max()
        chosen.append(pairs[_assign_group(rows[pairs], columns[pairs], worth)])
    return np.concatenate(chosen)


def _assign_group(rows: Int64Array, columns: Int64Array, gain: Float64Array) -> Int64Array:
    rows_of, rows = np.unique(rows, return_inverse=True)
    columns_of, columns = np.unique(columns, return_inverse=True)
    if len(rows_of) == 1 or len(columns_of) == 1:
        return np.array([gain.argmax()])
    weights = np.zeros((len(rows_of), len(columns_of)))
    weights[rows, columns] = gain
    place = np.full(weights.shape, -1)
    place[rows, columns] = np.arange(len(gain))
    solved = place[linear_sum_assignment(weights, maximize=True)]
    found: Int64Array = solved[solved >= 0]
    return found
