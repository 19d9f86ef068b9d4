"""Tracing of labels along the edges of their pixels, into arrays."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

# Edges of a pixel in the order top, right, bottom, left, walked so that the nucleus is at the same
# hand throughout: rightwards, downwards, leftwards, upwards.
_STEP = np.array([[1, 0], [0, 1], [-1, 0], [0, -1]], dtype=np.int64)
_START = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], dtype=np.int64)
_OUTWARD = np.array([[0, -1], [1, 0], [0, 1], [-1, 0]], dtype=np.int64)


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
    row, first, after, label = _runs(labels)
    if not len(label):
        return _walk(np.zeros((0, 0), np.int64))
    starts = np.flatnonzero(np.diff(label, prepend=label[0] - 1))
    counts = np.diff(starts, append=len(label))
    # A label that has one run in each row, which meets the next, has one ring, down its right side and up its left one.
    within = np.ones(len(label), bool)
    within[starts] = False
    meets = np.zeros(len(label), bool)
    meets[1:] = (np.diff(row) == 1) & (first[1:] < after[:-1]) & (first[:-1] < after[1:])
    plain = np.add.reduceat(within & ~meets, starts) == 0
    every = np.repeat(plain, counts)
    straight = _straight(row[every], first[every], after[every], label[every])
    if plain.all():
        return straight
    return _joined(straight, _packed(row[~every], first[~every], after[~every], label[~every]))


def _runs(labels: npt.NDArray[Any]) -> tuple[Ints, Ints, Ints, Ints]:
    """Return runs of equal labels within rows: row, first column, last column + 1 and label; by label, then place."""
    change = np.ones((labels.shape[0], labels.shape[1] + 1), bool)
    np.not_equal(labels[:, 1:], labels[:, :-1], out=change[:, 1:-1])
    row, column = np.nonzero(change)
    # Each row ends with a change behind its last pixel, where no run begins.
    begins = np.flatnonzero(column[:-1] < labels.shape[1]) if len(column) else np.zeros(0, np.int64)
    value = labels[row[begins], column[begins]].astype(np.int64)
    begins, value = begins[value != 0], value[value != 0]
    order = np.argsort(value, kind="stable")
    begins = begins[order]
    return row[begins], column[begins], column[begins + 1], value[order]


def _straight(row: Ints, first: Ints, after: Ints, label: Ints) -> Traced:
    """Outline labels that have one run in each of their rows."""
    if not len(label):
        return _walk(np.zeros((0, 0), np.int64))
    starts = np.flatnonzero(np.diff(label, prepend=label[0] - 1))
    counts = np.diff(starts, append=len(label))
    of = np.repeat(np.arange(len(starts)), counts)
    place, base, around = np.arange(len(label)) - starts[of], 4 * starts[of], 4 * counts[of]
    points = np.empty((4 * len(label), 2), np.int64)
    kept = np.ones(4 * len(label), bool)
    last = place == counts[of] - 1
    for side, lower, local in (
        (after, 0, 2 * place),
        (after, 1, 2 * place + 1),
        (first, 1, around - 2 - 2 * place),
        (first, 0, around - 1 - 2 * place),
    ):
        # The ring begins where the first run does, which is the end of the way up.
        spot = base + (local + 1) % around
        points[spot, 0], points[spot, 1] = side, row + lower
        # Where the side goes straight on into the next row there is no corner.
        other = np.roll(side, -1 if lower else 1)
        kept[spot] = (last if lower else place == 0) | (side != other)
    areas = np.add.reduceat(after - first, starts).astype(np.float64)
    ends = np.cumsum(np.add.reduceat(kept, 4 * starts))
    return Traced(points[kept], ends, label[starts], areas, np.column_stack([first[starts], row[starts]]))


def _packed(row: Ints, first: Ints, after: Ints, label: Ints) -> Traced:
    """Outline labels of any form: they are put below each other, as close as can be, and walked around."""
    starts = np.flatnonzero(np.diff(label, prepend=label[0] - 1))
    of = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(label)))
    top, left = row[starts], np.minimum.reduceat(first, starts)
    heights = np.maximum.reduceat(row, starts) - top + 1
    offset = np.cumsum(heights) - heights
    width = int((after - left[of]).max())
    steps = np.zeros((int(heights.sum()), width + 1), np.int64)
    down = row - top[of] + offset[of]
    np.add.at(steps, (down, first - left[of]), of + 1)
    np.add.at(steps, (down, after - left[of]), -of - 1)
    found = _walk(np.cumsum(steps, axis=1)[:, :width])
    one = found.labels - 1
    shift = np.column_stack([left, top - offset])
    points = found.points + np.repeat(shift[one], np.diff(found.ends, prepend=0), axis=0)
    return Traced(points, found.ends, label[starts][one], found.areas, found.pixels + shift[one])


def _joined(one: Traced, other: Traced) -> Traced:
    ends = np.concatenate([one.ends, other.ends + len(one.points)])
    return Traced(
        np.concatenate([one.points, other.points]),
        ends,
        np.concatenate([one.labels, other.labels]),
        np.concatenate([one.areas, other.areas]),
        np.concatenate([one.pixels, other.pixels]),
    )


def _walk(labels: npt.NDArray[Any]) -> Traced:
    """Outline labels of any form, edge by edge."""
    x, y, side, label = _edges(labels)
    corners = np.column_stack([x, y]) + _START[side]
    loops = _simple_loops(_next_edge(labels, x, y, side), corners, label)
    if not loops:
        nothing = np.zeros(0, np.int64)
        return Traced(nothing.reshape(0, 2), nothing, nothing, nothing.astype(np.float64), nothing.reshape(0, 2))
    order = np.fromiter(chain.from_iterable(loops), np.int64)
    lengths = np.fromiter(map(len, loops), np.int64)
    # A corner is kept where the outline turns.
    turns = side[order] != side[order[rotated(lengths, -1)]]
    points = corners[order[turns]]
    starts = np.cumsum(lengths) - lengths
    ends = np.cumsum(np.add.reduceat(turns, starts))
    x0, y0 = points.T
    x1, y1 = points[rotated(np.diff(ends, prepend=0), 1)].T
    areas = np.add.reduceat(x0 * y1 - x1 * y0, np.concatenate([[0], ends[:-1]])) / 2
    first = order[starts]
    return Traced(points, ends, label[first], areas, np.column_stack([x[first], y[first]]))


def rotated(lengths: npt.NDArray[Any], step: int) -> Ints:
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


def _inside(ring: list[list[int]], x: float, y: float) -> bool:
    inside = False
    for (x0, y0), (_, y1) in zip(ring, [*ring[1:], ring[0]], strict=True):
        # Edges run along the axes; only upright ones cross the ray to the right.
        inside ^= (y0 > y) != (y1 > y) and x0 > x
    return inside
