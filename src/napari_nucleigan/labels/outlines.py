"""Labels to exact outlines along pixel edges, and back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_nucleigan.base.reading import FileFault
from napari_nucleigan.labels.tracing import Floats, Ints, rotated, trace

Ring = list[list[int]]
"""Corners [x, y] of a closed ring; the first corner is not repeated."""
Polygon = list[Ring]
"""An outer ring, then the rings of its holes."""

_BATCH = 4096  # polygons prepared in one pass
_AREA = 2**22  # pixels of their boxes and crossings of their edges that are looked at in one pass
_MOST = 800_000_000  # of these in all, half a minute's work; the nuclei of 400 million pixels are a quarter of it


def outlines(labels: npt.NDArray[Any]) -> dict[int, list[Polygon]]:
    """Trace the outline of every label along the edges of its pixels.

    Corners are whole numbers: pixel (row, column) spans x from column to column + 1 and y from row
    to row + 1. Each 4-connected part of a label is one polygon. Rings do not cross or touch
    themselves; a ring that would is cut into an outer ring and holes that meet it in a corner.
    Outer rings have a positive area in (x, y), holes a negative one. After one pass over the
    image, time grows with the length of the outlines only.

    Parameters
    ----------
    labels : ndarray of integers, shape (H, W)
        0 is background.

    Returns
    -------
    dict of int to list of polygons
        By label, ascending.
    """
    found = trace(labels)
    points = found.points.tolist()
    rings = [points[start:end] for start, end in pairwise([0, *found.ends.tolist()])]
    return {
        label: [[rings[ring] for ring in polygon] for polygon in polygons]
        for label, polygons in found.polygons().items()
    }


def draw(labels: npt.NDArray[Any], polygons: Sequence[Sequence[npt.ArrayLike]], values: Sequence[int]) -> None:
    """Give the pixels whose centres lie in polygons, by the even-odd rule, the polygons' values.

    Parameters
    ----------
    labels : ndarray of integers, shape (H, W)
        Drawn upon; what lies outside is cut off, and of overlapping polygons the later one wins.
    polygons : sequence of sequences of array-like, shape (n, 2)
        Rings of corners (x, y): an outer ring and its holes. The first corner may be repeated.
    values : sequence of int
        One for each polygon.
    """
    for row, column, one in pixels(polygons, (labels.shape[0], labels.shape[1])):
        labels[row, column] = np.asarray(values)[one]


def pixels(polygons: Sequence[Sequence[npt.ArrayLike]], shape: tuple[int, int]) -> Iterator[tuple[Ints, Ints, Ints]]:
    """List the pixels whose centres lie in polygons, by the even-odd rule.

    Parameters
    ----------
    polygons : sequence of sequences of array-like, shape (n, 2)
        As for `draw`.
    shape : (int, int)
        Height and width of the canvas; what lies outside is cut off.

    Yields
    ------
    row, column, polygon : ndarray of int64, shape (n,)
        Pixels of some of the polygons, sorted by the index of the polygon; later batches have later polygons, or go on
        with the last one.

    Raises
    ------
    FileFault
        If there are so many pixels or corners that it would take minutes.
    """
    spent = 0
    for start in range(0, len(polygons), _BATCH):
        part = polygons[start : start + _BATCH]
        rings = [np.asarray(ring, dtype=np.float64) for polygon in part for ring in polygon]
        lengths = np.array([len(ring) for ring in rings])
        begin = np.concatenate(rings)
        of = np.repeat(np.repeat(np.arange(len(part)), [len(one) for one in part]), lengths)
        firsts = np.searchsorted(of, np.arange(len(part)))
        # The box of pixels that each polygon can reach; one more column takes what crosses behind it.
        limit = np.array([shape[1], shape[0]])
        low = np.floor(np.minimum.reduceat(begin, firsts)).clip(0, limit).astype(np.int64)
        high = np.ceil(np.maximum.reduceat(begin, firsts)).clip(low, limit).astype(np.int64)
        end = begin[rotated(lengths, 1)]
        # Rows that edges cross, and pixels of boxes; as many are taken together as fit into memory.
        rows = np.ceil(np.abs(np.clip(end[:, 1], 0, shape[0]) - np.clip(begin[:, 1], 0, shape[0]))).astype(np.int64) + 1
        work = 2 * np.add.reduceat(rows, firsts) + np.prod(high - low + 1, axis=1)
        spent += int(work.sum())
        if spent > _MOST:
            raise FileFault("its outlines cover or cross the image too many times over")
        group = np.cumsum(work) // _AREA
        for first, after in pairwise([0, *np.flatnonzero(np.diff(group)) + 1, len(part)]):
            corners = slice(firsts[first], firsts[after] if after < len(part) else None)
            for top, bottom in _bands(low[first:after, 1], high[first:after, 1], int(work[first:after].sum())):
                row, column, one = _filled(
                    begin[corners],
                    end[corners],
                    of[corners] - first,
                    low[first:after].clip([0, top], [limit[0], bottom]),
                    high[first:after].clip([0, top], [limit[0], bottom]),
                )
                yield row, column, one + start + first


def _bands(low: Ints, high: Ints, work: int) -> Iterator[tuple[int, int]]:
    """Rows that are filled in one pass: all of several polygons, some of one that is too large."""
    top, bottom = int(low.min()), int(high.max())
    if len(low) > 1 or work <= 2 * _AREA:
        yield top, bottom
        return
    step = max(1, (bottom - top) * _AREA // work)
    for row in range(top, bottom, step):
        yield row, min(row + step, bottom)


def _filled(begin: Floats, end: Floats, of: Ints, low: Ints, high: Ints) -> tuple[Ints, Ints, Ints]:
    width, height = (high - low).T
    offset = np.concatenate([[0], np.cumsum((width + 1) * height)])
    # An edge crosses the rows whose centre lies at or below its upper end and above its lower end,
    # so a corner that lies exactly on a row's centre counts once.
    rows = np.ceil(np.sort([begin[:, 1], end[:, 1]], axis=0) - 0.5)
    top, bottom = rows.clip(low[of, 1], high[of, 1]).astype(np.int64)
    edge = np.repeat(np.arange(len(of)), bottom - top)
    row = np.arange(len(edge)) + np.repeat(bottom - np.cumsum(bottom - top), bottom - top)
    (x0, y0), (x1, y1), one = begin[edge].T, end[edge].T, of[edge]
    crossing = x0 + (row + 0.5 - y0) * (x1 - x0) / (y1 - y0)
    column = np.ceil(crossing - 0.5).clip(low[one, 0], high[one, 0]).astype(np.int64)
    place = offset[one] + (row - low[one, 1]) * (width[one] + 1) + column - low[one, 0]
    # Rings are closed, so each row is crossed an even number of times and the next starts outside.
    crossings = np.bincount(place, minlength=int(offset[-1]))
    inside = np.flatnonzero(np.cumsum(crossings) % 2)
    one = np.searchsorted(offset, inside, side="right") - 1
    row, column = np.divmod(inside - offset[one], width[one] + 1)
    return row + low[one, 1], column + low[one, 0], one
