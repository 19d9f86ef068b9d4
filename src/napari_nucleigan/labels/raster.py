"""Filling many polygons at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Corners are rounded to this part of a pixel: the last bits of a processor's arithmetic then change nothing.
_GRID = 2.0**-12


def fill(points: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.int32]:
    """Fill polygons, the first one on top.

    A pixel belongs to a polygon if its centre does, by the even-odd rule; of two polygons that share a side, exactly
    one has the pixels on it.

    Parameters
    ----------
    points : (n, points, 2) array of float
        Row and column of the corners; whole numbers are centres of pixels. The last corner joins the first.
    shape : (int, int)
        Height and width of the canvas.

    Returns
    -------
    (H, W) array of int32
        1 for the first polygon, 2 for the second, ...; 0 where there is none.
    """
    canvas = np.zeros(shape, np.int32)
    points = np.round(points / _GRID) * _GRID
    owner = np.repeat(np.arange(len(points)), points.shape[1])
    start, end = points.reshape(-1, 2), np.roll(points, -1, 1).reshape(-1, 2)
    upper = np.where((start[:, 0] <= end[:, 0])[:, None], start, end)
    lower = np.where((start[:, 0] <= end[:, 0])[:, None], end, start)
    first = np.clip(np.ceil(upper[:, 0]), 0, shape[0]).astype(np.intp)
    after = np.clip(np.ceil(lower[:, 0]), 0, shape[0]).astype(np.intp)
    side, row = _runs(first, after)
    if not len(side):
        return canvas
    slope = (lower[:, 1] - upper[:, 1]) / np.maximum(lower[:, 0] - upper[:, 0], _GRID)
    column = np.ceil(upper[side, 1] + (row - upper[side, 0]) * slope[side])
    column = np.clip(column, 0, shape[1]).astype(np.intp)
    # Along a row of one polygon the sides are entered and left in turn.
    line = owner[side] * shape[0] + row
    order = np.argsort(line * (shape[1] + 1) + column, kind="stable")
    enter, leave = column[order[::2]], column[order[1::2]]
    span, inside = _runs(enter, leave)
    line = line[order[::2]][span]
    polygon, place = np.divmod(line, shape[0])
    # Of what is written to a pixel several times the last stays.
    canvas[place[::-1], inside[::-1]] = polygon[::-1] + 1
    return canvas


def _runs(first: NDArray[np.intp], after: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    # The whole numbers from `first` to before `after` of each, and whose they are.
    count = np.maximum(after - first, 0)
    whose = np.repeat(np.arange(len(count)), count)
    start = np.cumsum(count) - count
    return whose, np.arange(len(whose)) - start[whose] + first[whose]
