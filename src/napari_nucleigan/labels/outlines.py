"""Labels to exact outlines along pixel edges, and back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_nucleigan.base.reading import FileFault

Ring = list[list[int]]
"""Corners [x, y] of a closed ring; the first corner is not repeated."""
Polygon = list[Ring]
"""An outer ring, then the rings of its holes."""

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
_BATCH = 4096  # polygons prepared in one pass
_AREA = 2**22  # pixels of their boxes and crossings of their edges that are looked at in one pass
_MOST = 800_000_000  # of these in all, half a minute's work; the nuclei of 400 million pixels are a quarter of it

# Edges of a pixel in the order top, right, bottom, left, walked so that the nucleus is at the same
# hand throughout: rightwards, downwards, leftwards, upwards.
_STEP = np.array([[1, 0], [0, 1], [-1, 0], [0, -1]], dtype=np.int64)
_START = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], dtype=np.int64)
_OUTWARD = np.array([[0, -1], [1, 0], [0, 1], [-1, 0]], dtype=np.int64)


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


@dataclass(frozen=True, eq=False)
class Traced:
    """The outlines of labels as arrays, one ring behind the other.

    Attributes
    ----------
    points : ndarray of int64, shape (n, 2)
        Corners (x, y) of all rings; the first corner of a ring is not repeated.
    ends : ndarray of int64, shape (r,)
        Where each ring ends among the corners.
    labels : ndarray of int64, shape (r,)
        Label of each ring.
    areas : ndarray of float64, shape (r,)
        Area of each in (x, y): positive for outer rings, negative for holes.
    pixels : ndarray of int64, shape (r, 2)
        A pixel (x, y) of the label at the ring.
    """

    points: Ints
    ends: Ints
    labels: Ints
    areas: Floats
    pixels: Ints

    def polygons(self) -> dict[int, list[list[int]]]:
        """Return the rings of each polygon of each label, ascending; of a polygon the outer ring comes first."""
        order = np.argsort(self.labels, kind="stable")
        values, firsts = np.unique(self.labels[order], return_index=True)
        rings = order.tolist()
        ends = [*firsts.tolist(), len(rings)][1:]
        return {
            value: [[rings[first]]] if after - first == 1 else self._grouped(rings[first:after])
            for value, first, after in zip(values.tolist(), firsts.tolist(), ends, strict=True)
        }

    def _grouped(self, rings: list[int]) -> list[list[int]]:
        """Give each hole of a label to the outer ring that it lies in."""
        areas = self.areas[rings].tolist()
        outer = [ring for area, ring in sorted(zip(areas, rings, strict=True)) if area > 0]
        corners = [self.points[self.ends[ring - 1] if ring else 0 : self.ends[ring]].tolist() for ring in outer]
        polygons = [[ring] for ring in outer]
        for area, hole in zip(areas, rings, strict=True):
            if area > 0:
                continue
            x, y = self.pixels[hole].tolist()
            # The pixel at the hole's edge lies in its own part's ring, and in those around that part.
            owner = 0
            while owner < len(outer) - 1 and not _inside(corners[owner], x + 0.5, y + 0.5):
                owner += 1
            polygons[owner].append(hole)
        return polygons


def trace(labels: npt.NDArray[Any]) -> Traced:
    """Trace the outline of every label, as `outlines` does, into arrays.

    Parameters
    ----------
    labels : ndarray of integers, shape (H, W)
        0 is background.

    Returns
    -------
    Traced
    """
    x, y, side, label = _edges(labels)
    corners = np.column_stack([x, y]) + _START[side]
    loops = _simple_loops(_next_edge(labels, x, y, side), corners, label)
    if not loops:
        nothing = np.zeros(0, np.int64)
        return Traced(nothing.reshape(0, 2), nothing, nothing, nothing.astype(np.float64), nothing.reshape(0, 2))
    order = np.fromiter(chain.from_iterable(loops), np.int64)
    lengths = np.fromiter(map(len, loops), np.int64)
    # A corner is kept where the outline turns.
    turns = side[order] != side[order[_rotated(lengths, -1)]]
    points = corners[order[turns]]
    starts = np.cumsum(lengths) - lengths
    ends = np.cumsum(np.add.reduceat(turns, starts))
    x0, y0 = points.T
    x1, y1 = points[_rotated(np.diff(ends, prepend=0), 1)].T
    areas = np.add.reduceat(x0 * y1 - x1 * y0, np.concatenate([[0], ends[:-1]])) / 2
    first = order[starts]
    return Traced(points, ends, label[first], areas, np.column_stack([x[first], y[first]]))


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
        end = begin[_rotated(lengths, 1)]
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


def _rotated(lengths: npt.NDArray[Any], step: int) -> Ints:
    """Index of the member `step` (1 or -1) further in each of several rings that lie end to end."""
    ends = np.cumsum(lengths)
    index = np.arange(ends[-1]) + step
    if step > 0:
        index[ends - 1] = ends - lengths
    else:
        index[ends - lengths] = ends - 1
    return index


def _edges(labels: npt.NDArray[Any]) -> tuple[Ints, Ints, Ints, Ints]:
    """Pixel edges at which a label ends: x and y of the pixel, side and label, sorted by side."""
    found: list[tuple[Ints, ...]] = []
    for number, (dx, dy) in enumerate(_OUTWARD):
        ends = labels != 0
        # Compare with the neighbour; at the border of the image there is none, and the label ends.
        here, there = _overlap(dy, dx)
        ends[here] &= labels[here] != labels[there]
        y, x = np.nonzero(ends)
        found.append((x, y, np.full(len(x), number), labels[y, x].astype(np.int64)))
    x, y, side, label = (np.concatenate(part) for part in zip(*found, strict=True))
    return x, y, side, label


def _overlap(dy: int, dx: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Pixels that have a neighbour at an offset, and these neighbours."""

    def along(step: int) -> tuple[slice, slice]:
        if step > 0:
            return slice(None, -step), slice(step, None)
        return (slice(-step, None), slice(None, step)) if step < 0 else (slice(None), slice(None))

    rows, columns = along(dy), along(dx)
    return (rows[0], columns[0]), (rows[1], columns[1])


def _next_edge(labels: npt.NDArray[Any], x: Ints, y: Ints, side: Ints) -> Ints:
    """Index of the edge that follows each edge around its label.

    At the end of an edge the outline turns around the same pixel, unless the pixel ahead is of the
    label too; then it goes straight on, unless the pixel outwards of that one is of the label as
    well. So parts that only share a corner stay apart.
    """
    height, width = labels.shape
    value = labels[y, x]

    def same(px: Ints, py: Ints) -> npt.NDArray[np.bool_]:
        within = (px >= 0) & (py >= 0) & (px < width) & (py < height)
        equal: npt.NDArray[np.bool_] = within & (labels[py.clip(0, height - 1), px.clip(0, width - 1)] == value)
        return equal

    ahead_x, ahead_y = x + _STEP[side, 0], y + _STEP[side, 1]
    beyond_x, beyond_y = ahead_x + _OUTWARD[side, 0], ahead_y + _OUTWARD[side, 1]
    ahead = same(ahead_x, ahead_y)
    beyond = ahead & same(beyond_x, beyond_y)
    next_x = np.where(beyond, beyond_x, np.where(ahead, ahead_x, x))
    next_y = np.where(beyond, beyond_y, np.where(ahead, ahead_y, y))
    next_side = (side + np.where(beyond, 3, np.where(ahead, 0, 1))) % 4
    # Edges are sorted by side, row and column, so the key is too.
    key = (side * height + y) * width + x
    found: Ints = np.searchsorted(key, (next_side * height + next_y) * width + next_x)
    return found


def _simple_loops(following: Ints, corners: Ints, label: Ints) -> list[list[int]]:
    """Cut the walk along `following` into loops that visit no corner twice."""
    place = corners[:, 1] * (int(corners[:, 0].max(initial=0)) + 1) + corners[:, 0]
    # Two edges of one label start at a corner only where two of its pixels meet across it.
    order = np.lexsort((label, place))
    twin = (np.diff(place[order]) == 0) & (np.diff(label[order]) == 0)
    meeting = np.zeros(len(place), dtype=bool)
    meeting[order[:-1][twin]] = meeting[order[1:][twin]] = True
    shared = dict(zip(np.flatnonzero(meeting).tolist(), place[meeting].tolist(), strict=True))
    succ = following.tolist()
    seen = bytearray(len(succ))
    loops: list[list[int]] = []
    for first in range(len(succ)):
        if seen[first]:
            continue
        loop: list[int] = []
        at: dict[int, int] = {}
        edge = first
        while not seen[edge]:
            seen[edge] = 1
            if edge in shared:
                corner = shared[edge]
                if corner in at:
                    cut = at[corner]
                    loops.append(loop[cut:])
                    del loop[cut:]
                    at = {where: index for where, index in at.items() if index < cut}
                at[corner] = len(loop)
            loop.append(edge)
            edge = succ[edge]
        loops.append(loop)
    return loops


def _inside(ring: Ring, x: float, y: float) -> bool:
    inside = False
    for (x0, y0), (_, y1) in zip(ring, [*ring[1:], ring[0]], strict=True):
        # Edges run along the axes; only upright ones cross the ray to the right.
        inside ^= (y0 > y) != (y1 > y) and x0 > x
    return inside
