"""Statistics of label images: sizes and shapes of nuclei, and how they lie, beside what a tissue has."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import cKDTree

from napari_nucleigan.base.errors import LabelsError, RecipeError
from napari_nucleigan.labels.regions import regions_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt
    from numpy.typing import NDArray

    from napari_nucleigan.masks.sampler.parameters import PolygonMasks

    Floats = npt.NDArray[np.float64]

_STEPS = ((0, 1), (1, 0), (1, 1), (1, -1))

BINS = 24
_NEIGHBOURS = 9


@dataclass(frozen=True)
class Ellipses:
    """Every nucleus of a label image as the ellipse of its second moments, cut ones too.

    Attributes
    ----------
    ids : (n,) array of int
        Labels, ascending.
    centres : (n, 2) array of float
        Centroids, row and column in µm.
    area : (n,) array of float
        µm².
    length, width : (n,) array of float
        Axes of the ellipse of the same second moments in µm, as scikit-image defines them.
    angle : (n,) array of float
        Direction of the long axis in radians, from the column axis towards higher rows, in (-pi/2, pi/2].
    extent : (n, 2) array of float
        Height and width of the box around the nucleus in µm.
    whole : (n,) array of bool
        Whether the nucleus stays clear of the border of the image.
    touching : (n,) array of bool
        Whether a pixel of another nucleus is among the 8 neighbours of one of its own.
    """

    ids: NDArray[np.int64]
    centres: NDArray[np.float64]
    area: NDArray[np.float64]
    length: NDArray[np.float64]
    width: NDArray[np.float64]
    angle: NDArray[np.float64]
    extent: NDArray[np.float64]
    whole: NDArray[np.bool_]
    touching: NDArray[np.bool_]


@dataclass(frozen=True)
class LayoutStatistics:
    """What `describe` finds. Nuclei that the border cuts count for the density and as neighbours only.

    Attributes
    ----------
    area : (n,) array of float
        Areas in µm².
    eccentricity : (n,) array of float
        0 for a circle, towards 1 for a line.
    solidity : (n,) array of float
        Area over that of the convex hull; empty unless asked for.
    elongation : (n,) array of float
        Length over width of the ellipse of the same second moments, 1 or more.
    fullness : (n,) array of float
        Area over that of this ellipse: 1 for an ellipse, less the more the outline departs from one.
    angle : (n,) array of float
        Directions of the long axes in radians, in (-pi/2, pi/2].
    neighbour_distance : (n,) array of float
        From centroid to the nearest other centroid in µm; left out where there is no other nucleus.
    touching : (n,) array of bool
        Whether another nucleus touches this one, corners included.
    count : int
        Nuclei of the image; those cut by the lower or the right border belong to the next image and do not count.
    square_mm : float
        Area of the image in mm².
    """

    area: NDArray[np.float64]
    eccentricity: NDArray[np.float64]
    solidity: NDArray[np.float64]
    elongation: NDArray[np.float64]
    fullness: NDArray[np.float64]
    angle: NDArray[np.float64]
    neighbour_distance: NDArray[np.float64]
    touching: NDArray[np.bool_]
    count: int
    square_mm: float

    @property
    def density(self) -> float:
        """Nuclei per mm²; 0 for an empty image."""
        return self.count / self.square_mm if self.square_mm else 0.0

    @property
    def touching_share(self) -> float:
        """Share of the nuclei that touch another; 0 where there are none."""
        return float(self.touching.mean()) if self.touching.size else 0.0

    @classmethod
    def pooled(cls, parts: Sequence[LayoutStatistics]) -> LayoutStatistics:
        """Join the statistics of several images."""
        joined = {
            field.name: np.concatenate([getattr(part, field.name) for part in parts])
            for field in fields(cls)
            if field.name not in ("count", "square_mm")
        }
        count, square_mm = sum(part.count for part in parts), sum(part.square_mm for part in parts)
        return cls(**joined, count=count, square_mm=square_mm)


def describe(labels: NDArray[np.integer], mpp: float = 0.25, *, solidity: bool = False) -> LayoutStatistics:
    """Measure the nuclei of a label image and how they lie.

    Parameters
    ----------
    labels : (H, W) array of integers
        0 is background, every other value is one nucleus.
    mpp : float
        Microns per pixel.
    solidity : bool
        Measure solidity too.

    Returns
    -------
    LayoutStatistics

    Raises
    ------
    LabelsError
        If `labels` is not a 2-D array of integers.
    RecipeError
        If `mpp` is not above 0.
    """
    found = find_ellipses(labels, mpp)
    distance = np.empty(0)
    if found.ids.size > 1:
        distance = cKDTree(found.centres).query(found.centres, 2)[0][found.whole, 1]
    whole = found.whole
    # A row of pixels has no width; it counts as one of a tenth of a pixel.
    length, width = (np.maximum(axis[whole], 0.1 * mpp) for axis in (found.length, found.width))
    return LayoutStatistics(
        area=found.area[whole],
        eccentricity=np.sqrt(1 - (width / length) ** 2),
        solidity=solidities(labels, found.ids[whole]) if solidity else np.empty(0),
        elongation=length / width,
        fullness=found.area[whole] / (np.pi / 4 * length * width),
        angle=found.angle[whole],
        neighbour_distance=distance,
        touching=found.touching[whole],
        count=_unbiased_count(labels, found.ids.size),
        square_mm=labels.size * mpp**2 * 1e-6,
    )


def find_ellipses(labels: NDArray[np.integer], mpp: float) -> Ellipses:
    """Find the ellipse of every nucleus; parameters and errors as `describe`."""
    if labels.ndim != 2 or not np.issubdtype(labels.dtype, np.integer):
        raise LabelsError(f"Labels are a 2-D array of integers, not {labels.dtype} of shape {labels.shape}.")
    if not mpp > 0:
        raise RecipeError(f"Microns per pixel must be above 0, not {mpp}.")
    ids, regions = regions_of(labels)
    down, right, mixed = regions.second_moments()
    half_sum, half_difference = (down + right) / 2, (right - down) / 2
    spread = np.hypot(half_difference, mixed)
    border = np.concatenate([labels[[0, -1]].ravel(), labels[:, [0, -1]].ravel()]) if labels.size else ids
    return Ellipses(
        ids=ids.astype(np.int64),
        centres=regions.centres * mpp,
        area=regions.areas.astype(float) * mpp**2,
        length=4 * mpp * np.sqrt(half_sum + spread),
        width=4 * mpp * np.sqrt(np.maximum(half_sum - spread, 0)),
        angle=np.arctan2(mixed, half_difference) / 2,
        extent=(regions.boxes[:, 1::2] - regions.boxes[:, ::2]).astype(float) * mpp,
        whole=~np.isin(ids, border),
        touching=np.isin(ids, touching_pairs(labels)),
    )


def neighbouring(labels: NDArray[np.integer]) -> Iterator[tuple[NDArray[np.integer], NDArray[np.integer]]]:
    """Yield, for each of the four directions to a neighbouring pixel, two views: the pixels, and their neighbours."""
    height, width = labels.shape
    for down, right in _STEPS:
        first = labels[: height - down, max(-right, 0) : width - max(right, 0)]
        yield first, labels[down:, max(right, 0) : width - max(-right, 0)]


def touching_pairs(labels: NDArray[np.integer]) -> NDArray[np.integer]:
    """Find the pairs of labels of which pixels are 8-neighbours, as an (n, 2) array, each pair once."""
    found = []
    for first, second in neighbouring(labels):
        meet = (first != second) & (first > 0) & (second > 0)
        found.append(np.stack([first[meet], second[meet]], 1))
    pairs: NDArray[np.integer] = np.unique(np.sort(np.concatenate(found), 1), axis=0)
    return pairs


def _unbiased_count(labels: NDArray[np.integer], total: int) -> int:
    # Of two opposite borders one belongs to the image: images side by side then count every nucleus once.
    if not labels.size:
        return 0
    beyond = np.unique(np.concatenate([labels[-1], labels[:, -1]]))
    return total - int(np.count_nonzero(beyond))


def solidities(labels: NDArray[np.integer], ids: NDArray[np.integer]) -> NDArray[np.float64]:
    """Measure area over that of the convex hull of the nuclei `ids` (ascending); (n,)."""
    values, regions = regions_of(labels)
    return (regions.areas / regions.hull_areas())[np.searchsorted(values, ids)]


@dataclass(frozen=True)
class Sizes:
    """Number and sizes of nuclei.

    Attributes
    ----------
    count : int or None
        Nuclei; None for a tissue.
    density : float
        Nuclei per mm².
    median : float
        Median area in µm²; NaN where there are none.
    areas, cumulative : ndarray of float
        Areas in µm², ascending, and the share of nuclei up to each.
    """

    count: int | None
    density: float
    median: float
    areas: Floats
    cumulative: Floats

    def histogram(self, edges: Floats) -> Floats:
        """Share of the nuclei between edges of area in µm²; the last bin holds all larger ones too."""
        if not self.areas.size:
            return np.zeros(len(edges) - 1)
        below = np.interp(edges, self.areas, self.cumulative, left=0.0, right=1.0)
        below[-1] = 1.0
        shares: Floats = np.diff(below)
        return shares


def mask_sizes(areas: npt.NDArray[np.integer], shape: tuple[int, int], mpp: float) -> Sizes:
    """Figures of a mask.

    Parameters
    ----------
    areas : ndarray of int
        Pixels of each nucleus.
    shape : (int, int)
        Height and width of the canvas in pixels.
    mpp : float
        Microns per pixel.

    Returns
    -------
    Sizes
    """
    microns = np.sort(areas) * mpp**2
    median = float(np.median(microns)) if microns.size else float("nan")
    density = len(microns) / (shape[0] * shape[1] * mpp**2 * 1e-6)
    return Sizes(len(microns), density, median, microns, np.arange(1, len(microns) + 1) / max(len(microns), 1))


def tissue_sizes(statistics: PolygonMasks) -> Sizes | None:
    """Figures of what statistics were fitted to; None where they were not fitted."""
    if not statistics.tissues:
        return None
    areas = np.concatenate([tissue.areas for tissue in statistics.tissues])
    weights = np.concatenate(
        [np.full(len(tissue.areas), tissue.share * tissue.density / len(tissue.areas)) for tissue in statistics.tissues]
    )
    order = np.argsort(areas)
    cumulative = np.cumsum(weights[order])
    cumulative = (cumulative - weights[order] / 2) / cumulative[-1]
    areas = areas[order]
    return Sizes(None, statistics.density, float(np.interp(0.5, cumulative, areas)), areas, cumulative)


def bin_edges(*sizes: Sizes | None) -> Floats:
    """Edges of `BINS` bins of area in µm², from 0 to beyond nearly all nuclei."""
    ends = [np.interp(0.98, each.cumulative, each.areas) for each in sizes if each is not None and each.areas.size]
    return np.linspace(0, max([*ends, 1.0]), BINS + 1)


def spacing(
    centres: NDArray[np.float64], length: NDArray[np.float64], width: NDArray[np.float64], angle: NDArray[np.float64]
) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Find the neighbours of each ellipse and how near they are.

    Returns
    -------
    index : (n, k) array of int
        Neighbours.
    toward : (n, k, 2) array of float
        Unit vectors to them.
    distance : (n, k) array of float
        From centre to centre.
    contact : (n, k) array of float
        About the distance between the centres at which the two would touch.
    """
    k = min(_NEIGHBOURS, len(centres))
    distance, index = cKDTree(centres).query(centres, k)
    distance, index = distance.reshape(-1, k)[:, 1:], index.reshape(-1, k)[:, 1:]
    toward = centres[index] - centres[:, None]
    toward /= np.maximum(distance, 1e-9)[..., None]
    axes = np.stack([length, width, np.cos(angle), np.sin(angle)], -1)
    contact = _radius(axes[:, None], toward) + _radius(axes[index], toward)
    return index, toward, distance, contact


def _radius(axes: NDArray[np.float64], toward: NDArray[np.float64]) -> NDArray[np.float64]:
    # Of two ellipses the radii on the line between the centres sum to no more than the distance of contact, the
    # extents along it (to the tangents across it) to no less: their mean is near it.
    length, width, east, north = (axes[..., i] for i in range(4))
    forward = toward[..., 1] * east + toward[..., 0] * north
    sideways = toward[..., 0] * east - toward[..., 1] * north
    radius = length * width / np.hypot(width * forward, length * sideways)
    extent: NDArray[np.float64] = np.hypot(length * forward, width * sideways)
    return (radius + extent) / 4
