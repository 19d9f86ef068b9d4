"""Closed random polygons by an angular walk, all of a mask at once."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from napari_nucleigan.labels.outlines import draw

_POINTS_PER_SIDE = 4
_UNEVEN = 0.5
_LONGEST = 0.45
# Corners are rounded to this part of a pixel: the last bits of a processor's arithmetic then change nothing.
_GRID = 2.0**-12


def walk(
    random: np.random.Generator,
    count: int,
    vertices: int = 10,
    irregularity: float = 0.2,
    spikiness: float = 0.2,
    smoothed: bool = True,
) -> NDArray[np.float64]:
    """Walk around the origin: a step of angle, a radius, a step of angle, ...

    Each polygon then is stretched so that its area is 1 and its second moments are alike in all directions, as those
    of a circle are. Stretched to the axes of an ellipse later, it has the area and the eccentricity of that exactly.

    Parameters
    ----------
    random : numpy.random.Generator
        Source of chance.
    count : int
        How many polygons.
    vertices : int
        Corners of each, 3 at least.
    irregularity : float
        In [0, 1]: steps of angle are between ``1 - irregularity`` and ``1 + irregularity`` of an even one before they
        are made to sum to a full turn.
    spikiness : float
        In [0, 1]: standard deviation of the logarithm of the radii, in the mean over polygons.
    smoothed : bool
        Round the polygon off by the periodic cubic B-spline whose control points are the corners.

    Returns
    -------
    (count, points, 2) array of float
        Row and column of the points around the centroid.
    """
    steps = np.maximum(1 + irregularity * random.uniform(-1, 1, (count, vertices)), 0.05)
    steps /= steps.sum(1, keepdims=True)
    # Steps of half a turn would leave the centre outside.
    beyond = (_LONGEST - 1 / vertices) / np.maximum(steps.max(1, keepdims=True, initial=0) - 1 / vertices, 1e-9)
    steps = 1 / vertices + (steps - 1 / vertices) * np.minimum(beyond, 1)
    angles = 2 * np.pi * (np.cumsum(steps, 1) + random.uniform(size=(count, 1)))
    # Most nuclei are smooth and a few are lobed: each has its own share of the spikiness.
    own = spikiness * np.exp(_UNEVEN * np.clip(random.standard_normal((count, 1)), -2, 2) - _UNEVEN**2 / 2)
    radii = np.exp(np.clip(own * random.standard_normal((count, vertices)), -1.5, 1.5))
    points = radii[..., None] * np.stack([np.sin(angles), np.cos(angles)], -1)
    if smoothed:
        points = _spline(vertices) @ points
    return _normalised(points)


@lru_cache(maxsize=64)
def _spline(vertices: int) -> NDArray[np.float64]:
    # A spline is linear in its corners: one matrix serves every polygon. That of B-splines is positive, and a line
    # meets the curve no more often than the polygon: what is seen from its centre as a whole stays so.
    per_side = max(_POINTS_PER_SIDE, -(-24 // vertices))
    t = np.arange(per_side)[:, None] / per_side
    weights = np.concatenate([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3], 1) / 6
    points = np.zeros((vertices, per_side, vertices))
    for side in range(vertices):
        for corner in range(4):
            points[side, :, (side + corner - 1) % vertices] += weights[:, corner]
    return points.reshape(-1, vertices)


def _normalised(points: NDArray[np.float64]) -> NDArray[np.float64]:
    _, centre, moments = polygon_moments(points)
    points = points - centre[:, None]
    # The inverse square root of the covariance; of the many, the symmetric one turns nothing. For 2 x 2 matrices
    # sqrt(M) = (M + sqrt(det M)) / sqrt(trace M + 2 sqrt(det M)), and the inverse swaps the diagonal.
    root = np.sqrt(np.maximum(moments[:, 0, 0] * moments[:, 1, 1] - moments[:, 0, 1] ** 2, 1e-18))
    down, right, mixed = moments[:, 0, 0] + root, moments[:, 1, 1] + root, moments[:, 0, 1]
    rows = right[:, None] * points[..., 0] - mixed[:, None] * points[..., 1]
    columns = down[:, None] * points[..., 1] - mixed[:, None] * points[..., 0]
    points = np.stack([rows, columns], -1)
    area = polygon_moments(points)[0]
    return points / np.sqrt(np.maximum(area, 1e-18))[:, None, None]


def polygon_moments(
    points: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Measure polygons by Green's theorem.

    Parameters
    ----------
    points : (n, points, 2) array of float
        Closed polygons; the last point joins the first.

    Returns
    -------
    area : (n,) array of float
        Unsigned.
    centre : (n, 2) array of float
        Centroids.
    moments : (n, 2, 2) array of float
        Central second moments over the area: the covariance of a point within.
    """
    first, second = points, np.roll(points, -1, 1)
    cross = first[..., 0] * second[..., 1] - second[..., 0] * first[..., 1]
    signed = cross.sum(1) / 2
    safe = np.where(np.abs(signed) > 1e-12, signed, 1e-12)
    centre = ((first + second) * cross[..., None]).sum(1) / (6 * safe[:, None])
    both = first + second
    raw = (
        np.einsum("npi,npj,np->nij", both, both, cross)
        + np.einsum("npi,npj,np->nij", first, first, cross)
        + np.einsum("npi,npj,np->nij", second, second, cross)
    ) / (24 * safe[:, None, None])
    moments = raw - centre[:, :, None] * centre[:, None, :]
    return np.abs(signed), centre, moments


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
    corners = np.round(points[::-1, None, :, ::-1] / _GRID) * _GRID + 0.5
    draw(canvas, list(corners), range(len(points), 0, -1))
    return canvas
