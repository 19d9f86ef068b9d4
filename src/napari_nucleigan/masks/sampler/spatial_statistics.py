"""How nuclei lie on label images: what `fit` learns of their neighbours, crowds and directions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import cKDTree
from scipy.special import ndtri
from scipy.stats import rankdata

from napari_nucleigan.masks.sampler.layout import spacing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_nucleigan.masks.sampler.statistics import Outlined

_FEWEST = 10
_REACHES = (7.0, 10.0, 14.0, 20.0, 28.0, 40.0)
_UNKNOWN_REACH = 15.0
_RINGS = np.array([4.0, 8, 12, 16, 24, 32, 48, 64, 96])
_FAR = 48.0
_PAIRS_FOR_REACH = 500
_PAIRS_FOR_ALIGNMENT = 5000
_STRENGTHS = np.linspace(0, 0.8, 17)
_UNKNOWN_STRENGTH = 0.3
# Variance over mean of the counts of nuclei that the sampler spreads without crowds; measured.
_EVENNESS = 0.42


@dataclass(frozen=True)
class ObservedMask:
    """A label image of which only the ellipses are kept.

    Attributes
    ----------
    found : Outlined
        Its nuclei.
    count : int
        As `LayoutStatistics.count`.
    size : (float, float)
        Height and width in µm.
    """

    found: Outlined
    count: int
    size: tuple[float, float]

    @property
    def square_um(self) -> float:
        """Area of the image in µm²."""
        return self.size[0] * self.size[1]

    @property
    def enough(self) -> bool:
        """Whether there are whole nuclei enough to compare neighbours."""
        return int(self.found.whole.sum()) >= _FEWEST


def scores(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Replace values by normal scores, the correlations of which are those of the fields that a sampler draws; (n,)."""
    return np.asarray(ndtri((rankdata(values) - 0.5) / max(len(values), 1)))


def gaps(found: Outlined, mpp: float) -> NDArray[np.float64]:
    """Measure how far the nearest other is from each whole nucleus, over the distance of contact; infinite if alone."""
    if len(found.ids) < 2:
        return np.full(int(found.whole.sum()), np.inf)
    axes = np.maximum(found.length, mpp), np.maximum(found.width, mpp)
    _, _, distance, contact = spacing(found.centres, *axes, found.angle)
    return np.asarray((distance / contact).min(1)[found.whole])


def likeness(images: Sequence[ObservedMask]) -> dict[str, float]:
    """Measure how alike neighbours are, how far that reaches, and whether all nuclei point one way.

    Returns
    -------
    dict of str to float
        The fields `similarity`, `shape_similarity`, `coherence`, `alignment` and `reach` of a tissue.
    """
    nearest = np.concatenate([_nearest(image) for image in images if image.enough] or [np.zeros((1, 3))])
    rings = np.sum([_rings(image) for image in images if image.enough] or [np.zeros((4, len(_RINGS)))], axis=0)
    turned, pairs = rings[2:, _RINGS > _FAR].sum(1)
    alignment = np.sqrt(max(turned / pairs, 0)) if pairs > _PAIRS_FOR_ALIGNMENT else 0.0
    values = np.clip([*nearest.mean(0), alignment], 0, 1)
    names = ("similarity", "shape_similarity", "coherence", "alignment")
    return {**dict(zip(names, values.tolist(), strict=True)), "reach": _reach(rings)}


def _alike(image: ObservedMask, first: NDArray[np.intp], second: NDArray[np.intp]) -> NDArray[np.float64]:
    # Of pairs of whole nuclei: the products of the scores of area and of elongation, and the cosine of twice the
    # difference of direction.
    found, whole = image.found, image.found.whole
    size = scores(found.area[whole])
    shape = scores(found.length[whole] / np.maximum(found.width[whole], 1e-9))
    turn = found.angle[whole][first] - found.angle[whole][second]
    return np.stack([size[first] * size[second], shape[first] * shape[second], np.cos(2 * turn)], 1)


def _nearest(image: ObservedMask) -> NDArray[np.float64]:
    centres = image.found.centres[image.found.whole]
    return _alike(image, np.arange(len(centres)), cKDTree(centres).query(centres, 2)[1][:, 1])


def _rings(image: ObservedMask) -> NDArray[np.float64]:
    # Sums over the pairs in each ring of distance of what `_alike` measures, and their number.
    centres = image.found.centres[image.found.whole]
    first, second = cKDTree(centres).query_pairs(_RINGS[-1], output_type="ndarray").T
    ring = np.searchsorted(_RINGS, np.linalg.norm(centres[first] - centres[second], axis=1))
    values = [*_alike(image, first, second).T, np.ones(len(first))]
    return np.stack([np.bincount(ring, value, len(_RINGS))[: len(_RINGS)] for value in values])


def _reach(rings: NDArray[np.float64]) -> float:
    # Least squares of a * exp(-distance / reach) on the likeness of sizes and of directions, rings weighted by pairs.
    middles = (_RINGS + np.concatenate([[2.0], _RINGS[:-1]])) / 2
    pairs = rings[3]
    if pairs.sum() < _PAIRS_FOR_REACH:
        return _UNKNOWN_REACH
    errors = []
    for reach in _REACHES:
        model = np.exp(-middles / reach)
        error = 0.0
        for row in (0, 2):
            seen = rings[row] / np.maximum(pairs, 1)
            height = (pairs * model * seen).sum() / (pairs * model**2).sum()
            error += float((pairs * (seen - max(height, 0) * model) ** 2).sum())
        errors.append(error)
    return _REACHES[int(np.argmin(errors))]


def crowding(images: Sequence[ObservedMask]) -> float:
    """Measure the correlation of area and nearness of the fourth neighbour, in normal scores; in [-1, 1]."""
    products = [np.zeros(1)]
    for image in images:
        found = image.found
        if image.enough:
            distance = cKDTree(found.centres).query(found.centres[found.whole], 5)[0][:, 4]
            products.append(scores(found.area[found.whole]) * scores(-distance))
    return float(np.mean(np.concatenate(products)))


def clustering(images: Sequence[ObservedMask], reach: float) -> float:
    """Find the strength of crowds from how unevenly nuclei are spread.

    The variance of the counts in the quarters, sixteenths and sixty-fourths of an image, beyond what evenly spread
    nuclei show, tells that of the intensity. For the exponential of a Gaussian field that is the mean of
    ``exp(strength² correlation) - 1`` over pairs of points.

    Parameters
    ----------
    images : sequence of ObservedMask
        Of one tissue.
    reach : float
        Distance in µm over which the field's correlation falls by e.

    Returns
    -------
    float
        The field `clustering` of a tissue.
    """
    excess, model = [], []
    for image in images:
        for cells in (2, 4, 8):
            counts = _counts(image, cells)
            if counts.mean() >= 4:
                excess.append((counts.var(ddof=1) - _EVENNESS * counts.mean()) / counts.mean() ** 2)
                model.append(_intensity_variance(image.size, cells, reach))
    if not excess:
        return _UNKNOWN_STRENGTH
    return float(_STRENGTHS[np.abs(np.mean(excess) - np.mean(model, 0)).argmin()])


def _counts(image: ObservedMask, cells: int) -> NDArray[np.float64]:
    place = np.minimum(image.found.centres / np.asarray(image.size) * cells, cells - 1).astype(int)
    return np.bincount(place[:, 0] * cells + place[:, 1], minlength=cells**2).astype(float)


def _intensity_variance(size: tuple[float, float], cells: int, reach: float) -> NDArray[np.float64]:
    even = (np.arange(1, 33)[:, None] * [0.7548776662466927, 0.5698402909980532]) % 1

    def within(scale: float) -> NDArray[np.float64]:
        points = even * np.asarray(size) * scale
        distance = np.linalg.norm(points[:, None] - points, axis=-1)
        return np.asarray((np.exp(_STRENGTHS[:, None, None] ** 2 * np.exp(-distance / reach)) - 1).mean((1, 2)))

    # What all cells of the image share does not show.
    return within(1 / cells) - within(1)
