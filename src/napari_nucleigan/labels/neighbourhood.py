"""Neighbourhood of nuclei: how near others are, and how many."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Iterator

Places = npt.NDArray[np.intp]
Floats = npt.NDArray[np.float64]

RADII = (10, 25, 50)
"""Distances between centres, in microns, within which nuclei are counted."""

COLUMNS = ("nearest_um", *(f"neighbours_{radius}um" for radius in RADII), "density_per_mm2")
"""Names of what is measured."""

_SAMPLES = 512
_PAIRS = 10_000_000  # of them that are held at once, about
_MANY = 20_000  # nuclei whose neighbours are looked for at once


def neighbourhood(centres: Floats, extent: tuple[float, float] | None = None) -> dict[str, npt.NDArray[np.float64]]:
    r"""Measure how near the neighbours of each nucleus are, and how many.

    Parameters
    ----------
    centres : ndarray of float64, shape (n, 2)
        Rows and columns of the centroids in microns, from the image's upper left corner.
    extent : (float, float), optional
        Height and width of the image in microns: of a disc that reaches beyond it only what lies inside counts for the
        density. Without it the whole disc does.

    Returns
    -------
    dict of str to ndarray of float64, shape (n,)
        ``nearest_um``
            Distance to the nearest other centroid; NaN where there is no other.
        ``neighbours_10um``, ``neighbours_25um``, ``neighbours_50um``
            Number of other nuclei whose centroid is at most so far away.
        ``density_per_mm2``
            Nuclei within 50 microns, itself too, per square millimetre of the disc's part inside of the image.
    """
    from scipy.spatial import cKDTree

    count = len(centres)
    nearest, counts = np.full(count, np.nan), np.zeros((len(RADII), count))
    if count > 1:
        nearest = cKDTree(centres).query(centres, 2)[0][:, 1]
    for one, other, distance in _pairs(centres, RADII[-1]):
        for row, radius in zip(counts, RADII, strict=True):
            near = distance <= radius
            row += np.bincount(one[near], minlength=count) + np.bincount(other[near], minlength=count)
    found: dict[str, Floats] = {"nearest_um": nearest}
    found |= {f"neighbours_{radius}um": row for radius, row in zip(RADII, counts, strict=True)}
    area = np.pi * RADII[-1] ** 2 * _share_inside(centres, RADII[-1], extent)
    found["density_per_mm2"] = (counts[-1] + 1) / area * 1e6
    return found


def _pairs(centres: Floats, reach: float) -> Iterator[tuple[Places, Places, Floats]]:
    """List the pairs of points that are at most `reach` apart, with their distance; band by band, to spare memory."""
    from scipy.spatial import cKDTree

    if not len(centres):
        return
    order = np.argsort(centres[:, 0], kind="stable")
    ordered = centres[order]
    # Where what should be nuclei is noise, each has thousands of neighbours.
    crowd = len(centres) * np.pi * reach**2 / max(float(np.prod(np.ptp(centres, axis=0))), np.pi * reach**2)
    many = max(1, min(_MANY, int(_PAIRS / crowd)))
    for start in range(0, len(ordered), many):
        stop = min(start + many, len(ordered))
        # A pair belongs to the band of its upper point.
        end = int(np.searchsorted(ordered[:, 0], ordered[stop - 1, 0] + reach, "right"))
        some = ordered[start:end]
        tree = cKDTree(some)
        found = cKDTree(some[: stop - start]).sparse_distance_matrix(tree, reach, output_type="coo_matrix")
        below = found.col > found.row
        yield order[found.row[below] + start], order[found.col[below] + start], found.data[below]


def _share_inside(centres: Floats, radius: float, extent: tuple[float, float] | None) -> Floats:
    """Tell which part of the disc around each centre lies in the image, by points that are spread evenly over it."""
    share = np.ones(len(centres))
    if extent is None:
        return share
    size = np.array(extent)
    near = np.flatnonzero(((centres < radius) | (centres > size - radius)).any(axis=1))
    turn = np.arange(_SAMPLES) * np.pi * (3 - 5**0.5)
    spread = radius * np.sqrt((np.arange(_SAMPLES) + 0.5) / _SAMPLES)
    points = np.stack([spread * np.sin(turn), spread * np.cos(turn)], axis=1)
    for start in range(0, len(near), _MANY // 10):
        some = near[start : start + _MANY // 10]
        at = centres[some, None] + points
        share[some] = np.maximum(((at >= 0) & (at <= size)).all(axis=2).mean(axis=1), 1 / _SAMPLES)
    return share
