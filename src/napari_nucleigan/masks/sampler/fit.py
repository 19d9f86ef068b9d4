"""Fit of the statistics of masks to label images: sizes, shapes, and how nuclei lie to their neighbours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.special import ndtri

from napari_nucleigan.base.errors import LabelsError
from napari_nucleigan.masks.sampler.adjustment import means
from napari_nucleigan.masks.sampler.parameters import PolygonMasks, TissueStatistics
from napari_nucleigan.masks.sampler.random_outlines import fill, walk
from napari_nucleigan.masks.sampler.statistics import Ellipses, describe, find_ellipses, solidities, spacing

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

QUANTILES = 33
MOST_TISSUES = 24
_SOLIDITIES = 100
_SPIKINESS = (0.0, 0.06, 0.12, 0.2, 0.3, 0.42, 0.6)
_TRIALS = 120
_TRIAL_PIXELS = 40.0
_FEWEST_GAPS = 4


@dataclass(frozen=True)
class ObservedMask:
    """A label image of which only the ellipses are kept.

    Attributes
    ----------
    found : Ellipses
        Its nuclei.
    count : int
        As `LayoutStatistics.count`.
    size : (float, float)
        Height and width in µm.
    """

    found: Ellipses
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
    from scipy.stats import rankdata  # takes longer to import than all else of the sampler

    return np.asarray(ndtri((rankdata(values) - 0.5) / max(len(values), 1)))


def gaps(found: Ellipses, mpp: float) -> NDArray[np.float64]:
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


def fit(labels: Iterable[NDArray[np.integer]], mpp: float = 0.25) -> PolygonMasks:
    """Learn how nuclei look and lie from label images.

    Nuclei that the border of an image cuts give no size or shape; as large ones are cut more often, those that are
    not count the more, the larger they are (Miles and Lantuejoul's correction).

    Parameters
    ----------
    labels : iterable of (H, W) arrays of integers
        0 is background. They may differ in size.
    mpp : float
        Microns per pixel.

    Returns
    -------
    PolygonMasks
        With one tissue for each image or, of more than 24 images, for each of 24 groups of like density.

    Raises
    ------
    LabelsError
        If there are no images, or no whole nuclei on them.
    RecipeError
        If `mpp` is not above 0, or the nuclei are none that the sampler could draw.
    """
    images: list[ObservedMask] = []
    solid: list[NDArray[np.float64]] = []
    for each in labels:
        found = find_ellipses(each, mpp)
        images.append(ObservedMask(found, describe(each, mpp).count, (each.shape[0] * mpp, each.shape[1] * mpp)))
        whole = found.ids[found.whole]
        solid.append(solidities(each, whole[:: len(whole) // _SOLIDITIES + 1]))
    if not images:
        raise LabelsError("There are no label images to learn from.")
    if not any(image.found.whole.any() for image in images):
        raise LabelsError("No label image holds a nucleus that lies wholly inside it; there is nothing to learn from.")
    images.sort(key=lambda image: image.count / image.square_um)
    groups = np.array_split(np.arange(len(images)), min(MOST_TISSUES, len(images)))
    tissues = _tissues([[images[i] for i in group] for group in groups], mpp)
    values = {name: float(f"{value:.5g}") for name, value in means(tissues).items()}
    spikiness = _spikiness(tissues, float(np.concatenate(solid).mean()), mpp)
    return PolygonMasks.checked(**values, spikiness=spikiness, tissues=tissues)


def _tissues(groups: Sequence[Sequence[ObservedMask]], mpp: float) -> tuple[TissueStatistics, ...]:
    learnt: list[TissueStatistics] = []
    thin: list[dict[str, float]] = []
    for images in groups:
        square_um = sum(image.square_um for image in images)
        own = {
            "share": float(f"{square_um * 1e-6:.6g}"),
            "density": round(sum(image.count for image in images) / square_um * 1e6, 1),
        }
        if any(image.found.whole.any() for image in images):
            learnt.append(_tissue(images, mpp, own))
        else:
            thin.append(own)
    # Images with no whole nucleus still say how few there are; what they would look like the thinnest others tell.
    return (*(learnt[0].model_copy(update=own) for own in thin), *learnt)


def _tissue(images: Sequence[ObservedMask], mpp: float, own: dict[str, float]) -> TissueStatistics:
    weight = np.concatenate([weights(image) for image in images])

    def values(name: str) -> NDArray[np.float64]:
        return np.concatenate([getattr(image.found, name)[image.found.whole] for image in images])

    area, touching = values("area"), values("touching").astype(bool)
    ratio = np.maximum(values("length") / np.maximum(values("width"), mpp), 1)
    gap = np.concatenate([gaps(image.found, mpp) for image in images])
    size = scores(area)
    alike = likeness(images)
    learnt = {
        "touching": float(np.average(touching, weights=weight)),
        "clustering": clustering(images, alike["reach"]),
        # A crowd is seen through few nuclei, hence twice the correlation; large ones keep others off by themselves.
        "crowding": float(np.clip(2 * (crowding(images) + 0.08), -0.8, 0.8)),
        "association": float(np.mean(size * scores(ratio))),
        **alike,
    }
    apart, meets = ~touching & np.isfinite(gap), touching & np.isfinite(gap)
    tables = {}
    if apart.sum() >= _FEWEST_GAPS and meets.sum() >= _FEWEST_GAPS:
        learnt["touching_sizes"] = float(size[meets].mean() - size[apart].mean())
    if meets.sum() >= _FEWEST_GAPS:
        tables["contacts"] = quantiles(gap[meets], weight[meets])
    return TissueStatistics(
        areas=quantiles(area, weight),
        elongations=quantiles(ratio, weight),
        spacings=quantiles(gap[apart], weight[apart]) if apart.sum() >= _FEWEST_GAPS else (),
        **own,
        **tables,
        **{name: round(value, 4) for name, value in learnt.items()},
    )


def weights(image: ObservedMask) -> NDArray[np.float64]:
    """Return how much each whole nucleus counts, as the border cuts large ones more often; (n,)."""
    # A nucleus of the extent h x w lies wholly inside H x W with a chance in proportion to (H - h) (W - w).
    size = np.asarray(image.size)
    room = np.maximum(size - image.found.extent[image.found.whole], 0.05 * size)
    return np.asarray(image.square_um / room.prod(1))


def quantiles(values: NDArray[np.float64], weight: NDArray[np.float64]) -> tuple[float, ...]:
    """Return `QUANTILES` quantiles of weighted values."""
    order = np.argsort(values, kind="stable")
    share = np.cumsum(weight[order]) - weight[order] / 2
    levels = (np.arange(QUANTILES) + 0.5) / QUANTILES * weight.sum()
    return tuple(float(f"{value:.4g}") for value in np.interp(levels, share, values[order]))


def _spikiness(tissues: Sequence[TissueStatistics], solidity: float, mpp: float) -> float:
    # Solidity depends on the pixels, too: draw nuclei of these sizes, more and more spiky, and compare.
    area, ratio = (np.concatenate([getattr(each, name) for each in tissues]) for name in ("areas", "elongations"))
    random = np.random.default_rng(0)
    chosen = random.permutation(len(area))[:_TRIALS]
    long, short = (np.sqrt(area[chosen] * stretch)[:, None] / mpp for stretch in (ratio[chosen], 1 / ratio[chosen]))
    shrink = np.minimum(_TRIAL_PIXELS / long, 1)
    turn = random.uniform(0, 2 * np.pi, long.shape)
    side = int(2 * (long * shrink).max()) + 2
    seen = []
    for spikiness in _SPIKINESS:
        shapes = walk(np.random.default_rng(0), len(long), spikiness=spikiness)
        across, along = shapes[..., 0] * short * shrink, shapes[..., 1] * long * shrink
        points = np.stack(
            [along * np.sin(turn) + across * np.cos(turn), along * np.cos(turn) - across * np.sin(turn)], -1
        )
        points += side / 2
        points[..., 0] += side * np.arange(len(points))[:, None]
        labels = fill(points, (side * len(points), side))
        seen.append(float(solidities(labels, np.unique(labels)[1:]).mean()))
    return round(float(np.interp(-solidity, -np.array(seen), _SPIKINESS)), 4)
