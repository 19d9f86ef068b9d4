"""Label images to one polygon for each nucleus, and back without loss."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_nucleigan.base.errors import LabelsError
from napari_nucleigan.labels.outlines import draw, outlines
from napari_nucleigan.labels.regions import check_labels, regions_of

Points = npt.NDArray[np.float64]
"""Corners (row, column), shape (n, 2); the centre of the first pixel is (0, 0), as in napari."""

ELLIPSE_CORNERS = 64
"""Corners of the polygon that stands for an ellipse; it lies within 0.2 % of the radius."""

_SLABS = 1000  # that the rows of polygons are cut into at least


def labels_to_polygons(labels: npt.NDArray[Any]) -> tuple[list[Points], npt.NDArray[np.int64]]:
    """Trace every nucleus as one polygon along the edges of its pixels.

    `polygons_to_labels` gives back the same labels exactly. Holes, and the parts of a nucleus that is in several,
    are joined to the rest of its outline by a line that is walked forth and back, so encloses nothing; napari does not
    draw such lines.

    Parameters
    ----------
    labels : ndarray of integers, shape (H, W)
        0 is background.

    Returns
    -------
    polygons : list of ndarray of float, shape (n, 2)
        Corners (row, column). The centre of the first pixel is (0, 0), so that corners lie at halves.
    ids : ndarray of int64
        The label of each polygon, ascending.

    Raises
    ------
    LabelsError
        If the array is no label image.
    """
    traced = outlines(check_labels(labels))
    polygons = [_joined([ring for part in parts for ring in part]) for parts in traced.values()]
    return polygons, np.fromiter(traced, np.int64, len(traced))


def polygons_to_labels(
    polygons: Sequence[npt.ArrayLike],
    shape: tuple[int, int],
    ids: Sequence[int] | npt.NDArray[np.integer] | None = None,
) -> npt.NDArray[np.int32]:
    """Draw polygons as labels.

    A pixel belongs to a polygon that holds its centre (even-odd rule); of overlapping polygons the later one is on
    top, and touching ones stay apart. A polygon too small or too thin to hold the centre of any pixel becomes the one
    pixel at the mean of its corners, on top of all. What lies outside the canvas is cut off.

    Parameters
    ----------
    polygons : sequence of array-like, shape (n, 2)
        Corners (row, column), as from `labels_to_polygons`.
    shape : (int, int)
        Height and width of the canvas.
    ids : sequence of int, optional
        The label of each polygon, above 0; 1, 2, 3... if not given.

    Returns
    -------
    ndarray of int32, shape `shape`

    Raises
    ------
    LabelsError
        If a polygon has less than three corners or corners that are not finite, or if labels are missing, below 1 or
        too large.
    """
    corners = [np.asarray(polygon, np.float64) for polygon in polygons]
    numbers = np.arange(1, len(corners) + 1) if ids is None else np.asarray(ids, np.int64)
    if len(numbers) != len(corners):
        raise LabelsError(f"There are {len(corners)} polygons but {len(numbers)} labels for them; give one for each.")
    if numbers.size and not 0 < numbers.min() <= numbers.max() <= np.iinfo(np.int32).max:
        raise LabelsError("The labels of polygons must be whole numbers from 1 to 2147483647.")
    for number, points in zip(numbers, corners, strict=True):
        if points.ndim != 2 or points.shape[1] != 2 or len(points) < 3 or not np.isfinite(points).all():
            raise LabelsError(f"Polygon {number} is not a list of at least three finite corners (row, column).")
    labels = np.zeros(shape, np.int32)
    if not corners or labels.size == 0:
        return labels
    draw(labels, [[_edges(points)] for points in corners], numbers.tolist())
    missing = np.isin(numbers, labels, invert=True)
    for index in np.flatnonzero(missing):
        if not _holds_a_centre(corners[index]):
            row, column = np.floor(corners[index].mean(axis=0) + 0.5).astype(int)
            if 0 <= row < shape[0] and 0 <= column < shape[1]:
                labels[row, column] = numbers[index]
    return labels


def as_polygon(corners: npt.ArrayLike, kind: str) -> Points:
    """Make a polygon of what can be drawn in a napari Shapes layer.

    Parameters
    ----------
    corners : array-like, shape (n, 2)
        As napari keeps them: an ellipse has the four corners of the box around it, in order.
    kind : str
        ``"polygon"``, ``"rectangle"``, ``"ellipse"``, ``"path"`` (which is closed) or ``"line"``.

    Returns
    -------
    ndarray of float, shape (n, 2)

    Raises
    ------
    LabelsError
        If it encloses nothing: a line, or corners that all lie on one.
    """
    points = np.asarray(corners, np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or len(points) < 3 or not np.isfinite(points).all():
        raise LabelsError(f"A {kind} of {len(points)} corners in 2-D encloses no nucleus; draw a polygon.")
    if np.linalg.matrix_rank(points - points[0], tol=1e-6) < 2:
        raise LabelsError(f"The corners of a {kind} lie on one line and enclose no nucleus; draw a polygon.")
    if kind != "ellipse":
        return points
    angle = 2 * np.pi * np.arange(ELLIPSE_CORNERS)[:, None] / ELLIPSE_CORNERS
    across, down = (points[1] - points[0]) / 2, (points[3] - points[0]) / 2
    curve: Points = points.mean(axis=0) + np.cos(angle) * across + np.sin(angle) * down
    return curve


def inside(points: npt.NDArray[np.float64], polygons: Sequence[Points]) -> npt.NDArray[np.bool_]:
    """Tell which points (n, 2) lie in at least one of some polygons (m, 2), by the even-odd rule."""
    from skimage.measure import points_in_poly

    found = np.zeros(len(points), bool)
    for polygon in polygons:
        found |= points_in_poly(points, polygon)
    return found


def covered_area(polygons: Sequence[Points], shape: tuple[int, int]) -> float:
    """Measure the part of a canvas that lies in at least one of some polygons, by the even-odd rule.

    Parameters
    ----------
    polygons : sequence of ndarray, shape (n, 2)
        Corners (row, column); the centre of the first pixel is (0, 0).
    shape : (int, int)
        Height and width of the canvas in pixels.

    Returns
    -------
    float
        In pixels. Exact where no two edges cross but at the rows of corners; else to about a thousandth.
    """
    if not polygons:
        return 0.0
    begin = np.concatenate(polygons) + 0.5
    end = np.concatenate([np.roll(polygon, -1, axis=0) for polygon in polygons]) + 0.5
    of = np.repeat(np.arange(len(polygons)), [len(polygon) for polygon in polygons])
    rows = np.clip(begin[:, 0], 0, shape[0])
    # Between two cuts an edge is a line, and the length that a row has in the middle is the mean.
    cuts = np.unique(np.concatenate([rows, np.linspace(rows.min(), rows.max(), _SLABS)]))
    middle = (cuts[1:] + cuts[:-1]) / 2
    first, after = np.searchsorted(middle, np.sort([begin[:, 0], end[:, 0]], axis=0))
    edge = np.repeat(np.arange(len(of)), after - first)
    slab = np.arange(len(edge)) + np.repeat(after - np.cumsum(after - first), after - first)
    (y0, x0), (y1, x1) = begin[edge].T, end[edge].T
    crossing = np.clip(x0 + (middle[slab] - y0) * (x1 - x0) / (y1 - y0), 0, shape[1])
    order = np.lexsort((crossing, of[edge], slab))
    # Polygons are closed: each crosses a row an even number of times.
    left, right, slab = crossing[order][::2], crossing[order][1::2], slab[order][::2]
    order = np.lexsort((left, slab))
    # Slabs side by side, so that what is covered already is the furthest end so far.
    shift = slab[order] * (shape[1] + 1.0)
    left, right = left[order] + shift, right[order] + shift
    before = np.concatenate([[0.0], np.maximum.accumulate(right)[:-1]]) if len(right) else right
    lengths = np.maximum(right - np.maximum(left, before), 0)
    return float((lengths * np.diff(cuts)[slab[order]]).sum())


def one_ring(rings: Sequence[npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
    """Join an outer ring and its holes by lines that are walked forth and back, so enclose nothing (even-odd rule).

    Parameters
    ----------
    rings : sequence of ndarray, shape (n, 2)
        Corners; the first one of each ring may be repeated.

    Returns
    -------
    ndarray, shape (m, 2)
    """
    first, *holes = rings
    pieces = [first, first[:1]]
    for hole in holes:
        begin = int(np.argmin(np.abs(hole - first[0]).sum(axis=1)))
        pieces += [hole[begin:], hole[: begin + 1], first[:1]]
    return np.concatenate(pieces)


def boxes_of(
    labels: npt.NDArray[Any], ids: Iterable[int], margin: int = 0
) -> Iterator[tuple[int, tuple[slice, slice]]]:
    """Give the box of each nucleus, by ascending label, widened by a margin but not beyond the canvas."""
    wanted = set(ids)
    values, regions = regions_of(labels)
    for number, (top, bottom, left, right) in zip(values.tolist(), regions.boxes.tolist(), strict=True):
        if number in wanted:
            rows = slice(max(top - margin, 0), min(bottom + margin, labels.shape[0]))
            yield number, (rows, slice(max(left - margin, 0), min(right + margin, labels.shape[1])))


def _edges(points: Points) -> Points:
    """From (row, column) of pixel centres to (x, y) of pixel corners."""
    return points[:, ::-1] + 0.5


def _joined(rings: list[list[list[int]]]) -> Points:
    """Make one ring of several, by lines from the first to each of the others between their nearest corners."""
    first, *others = (np.array(each, np.float64)[:, ::-1] - 0.5 for each in rings)
    detours: dict[int, list[Points]] = {}
    for other in others:
        apart = np.abs(first[:, None] - other[None]).sum(axis=-1)
        here, there = np.unravel_index(np.argmin(apart), apart.shape)
        # Corners are multiples of a half, so both ways along the line are rounded alike: they cancel exactly.
        loop = np.concatenate([other[there:], other[: there + 1], first[here : here + 1]])
        detours.setdefault(int(here), []).append(loop)
    pieces: list[Points] = []
    done = 0
    for corner in sorted(detours):
        pieces += [first[done : corner + 1], *detours[corner]]
        done = corner + 1
    return np.concatenate([*pieces, first[done:]])


def _holds_a_centre(points: Points) -> bool:
    edges = _edges(points)
    origin = np.floor(edges.min(axis=0))
    width, height = (np.ceil(edges.max(axis=0)) - origin).astype(int)
    alone = np.zeros((height, width), np.uint8)
    draw(alone, [[edges - origin]], [1])
    return bool(alone.any())
