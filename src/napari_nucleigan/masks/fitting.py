"""Learning the statistics of masks from label images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import cKDTree
from scipy.special import ndtri
from scipy.stats import rankdata

from napari_nucleigan.errors import LabelsError
from napari_nucleigan.masks.layout import spacing
from napari_nucleigan.masks.parameters import PolygonMasks, Tissue, means
from napari_nucleigan.masks.statistics import describe, outline

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from napari_nucleigan.masks.statistics import Outlined

QUANTILES = 33
MOST_TISSUES = 24
_REACHES = (5.0, 7.0, 10.0, 14.0, 20.0, 28.0, 40.0)
_RINGS = np.array([4.0, 8, 12, 16, 24, 32, 48, 64, 96])
_EVENNESS = 0.5


@dataclass(frozen=True)
class _Image:
    found: Outlined
    density: float
    count: int
    size: tuple[float, float]

    @property
    def square_um(self) -> float:
        return self.size[0] * self.size[1]


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
        If `mpp` is not above 0.
    """
    images, outlines = [], []
    for each in labels:
        statistics = describe(each, mpp)
        size = each.shape[0] * mpp, each.shape[1] * mpp
        images.append(_Image(outline(each, mpp), statistics.density, statistics.count, size))
    if not images:
        raise LabelsError("There are no label images to learn from.")
    if not any(image.found.whole.any() for image in images):
        raise LabelsError("No label image holds a nucleus that lies wholly inside it; there is nothing to learn from.")
    images.sort(key=lambda image: image.density)
    groups = np.array_split(np.arange(len(images)), min(MOST_TISSUES, len(images)))
    learnt = [_tissue([images[i] for i in group], mpp) for group in groups]
    tissues = tuple(each for each in learnt if each is not None)
    values = {name: float(f"{value:.5g}") for name, value in means(tissues).items()}
    return PolygonMasks(**values, tissues=tissues)


def _tissue(images: Sequence[_Image], mpp: float) -> Tissue | None:
    square_um = sum(image.square_um for image in images)
    whole = [image.found.whole for image in images]
    weight = np.concatenate([_weights(image) for image in images])
    if not weight.size:
        return None

    def values(name: str) -> NDArray[np.float64]:
        return np.concatenate([getattr(image.found, name)[kept] for image, kept in zip(images, whole, strict=True)])

    area, touching = values("area"), values("touching")
    ratio = np.maximum(values("length") / np.maximum(values("width"), mpp), 1)
    gaps = np.concatenate([_gaps(image.found, mpp) for image in images])
    apart = ~touching & np.isfinite(gaps)
    rings = sum(_alike(image) for image in images)
    reach = _reach(rings)
    return Tissue(
        share=round(square_um * 1e-6, 6),
        density=round(sum(image.count for image in images) / square_um * 1e6, 1),
        areas=_table(area, weight),
        elongations=_table(ratio, weight),
        spacings=_table(gaps[apart], weight[apart]) if apart.sum() > 3 else (),
        association=_rounded(np.corrcoef(_scores(area), _scores(ratio))[0, 1]) if len(area) > 9 else 0.0,
        touching=_rounded(np.average(touching, weights=weight)),
        clustering=_rounded(_clustering(images, reach)),
        **_likeness(images, rings),
        reach=reach,
    )


def _weights(image: _Image) -> NDArray[np.float64]:
    # A nucleus of the extent h x w lies wholly inside H x W with a chance that falls with (H - h) (W - w).
    found = image.found
    extent = found.extent[found.whole]
    room = np.maximum(np.asarray(image.size) - extent, 0.05 * np.asarray(image.size))
    return np.asarray(image.square_um / room.prod(1))


def _gaps(found: Outlined, mpp: float) -> NDArray[np.float64]:
    if len(found.ids) < 2:
        return np.full(int(found.whole.sum()), np.inf)
    _, _, distance, contact = spacing(
        found.centres, np.maximum(found.length, mpp), np.maximum(found.width, mpp), found.angle
    )
    return np.asarray((distance / contact).min(1)[found.whole])


def _scores(values: NDArray[np.float64]) -> NDArray[np.float64]:
    # Normal scores: a correlation of them is that of the normal fields the sampler draws with.
    return np.asarray(ndtri((rankdata(values) - 0.5) / max(len(values), 1)))


def _alike(image: _Image) -> NDArray[np.float64]:
    # Sums over the pairs in each ring of distance: of the products of scores of size and of elongation, of the cosine of
    # twice the difference of direction, and of one.
    found, whole = image.found, image.found.whole
    sums = np.zeros((4, len(_RINGS)))
    if whole.sum() < 10:
        return sums
    centres, angle = found.centres[whole], found.angle[whole]
    size = _scores(found.area[whole])
    shape = _scores(found.length[whole] / np.maximum(found.width[whole], 1e-9))
    pairs = cKDTree(centres).query_pairs(_RINGS[-1], output_type="ndarray")
    first, second = pairs.T
    ring = np.searchsorted(_RINGS, np.linalg.norm(centres[first] - centres[second], axis=1))
    alike = (size[first] * size[second], shape[first] * shape[second], np.cos(2 * (angle[first] - angle[second])))
    for row, value in enumerate((*alike, np.ones(len(pairs)))):
        sums[row] = np.bincount(ring, value, len(_RINGS))[: len(_RINGS)]
    return sums


def _reach(rings: NDArray[np.float64]) -> float:
    # Least squares of a * exp(-distance / reach) on the likeness of sizes and directions, rings weighted by their pairs.
    middles = np.concatenate([[3.0], (_RINGS[1:] + _RINGS[:-1]) / 2])
    pairs = rings[3]
    if pairs.sum() < 500:
        return 15.0
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


def _likeness(images: Sequence[_Image], rings: NDArray[np.float64]) -> dict[str, float]:
    pairs = []
    for image in images:
        found, whole = image.found, image.found.whole
        if whole.sum() < 10:
            continue
        nearest = cKDTree(found.centres[whole]).query(found.centres[whole], 2)[1][:, 1]
        scores = [_scores(found.area[whole]), _scores(found.length[whole] / np.maximum(found.width[whole], 1e-9))]
        angle = found.angle[whole]
        pairs.append([*(each * each[nearest] for each in scores), np.cos(2 * (angle - angle[nearest]))])
    if not pairs:
        return {"similarity": 0.0, "shape_similarity": 0.0, "coherence": 0.0, "alignment": 0.0}
    similarity, shape, coherence = (float(np.concatenate(each).mean()) for each in zip(*pairs, strict=True))
    far = rings[:, _RINGS > 48].sum(1)
    alignment = np.sqrt(max(far[2] / far[3], 0)) if far[3] > 5000 else 0.0
    names = ("similarity", "shape_similarity", "coherence", "alignment")
    values = (similarity, shape, coherence, float(alignment))
    return {name: _rounded(np.clip(value, 0, 1)) for name, value in zip(names, values, strict=True)}


def _clustering(images: Sequence[_Image], reach: float) -> float:
    # The variance of the counts in the quarters, sixteenths, ... of an image, beyond what evenly spread nuclei show, tells
    # that of the intensity: for a log-normal field, the mean of exp(strength² correlation) - 1 over pairs of points.
    strengths = np.linspace(0, 1.2, 25)
    excess, model = [], []
    for image in images:
        for cells in (2, 4, 8):
            counts = _counts(image, cells)
            if counts.mean() < 4:
                continue
            excess.append((counts.var(ddof=1) - _EVENNESS * counts.mean()) / counts.mean() ** 2)
            model.append(_intensity_variance(image.size, cells, reach, strengths))
    if not excess:
        return 0.3
    return float(strengths[np.abs(np.mean(excess) - np.mean(model, 0)).argmin()])


def _counts(image: _Image, cells: int) -> NDArray[np.float64]:
    place = np.minimum(image.found.centres / np.asarray(image.size) * cells, cells - 1e-9).astype(int)
    return np.bincount(place[:, 0] * cells + place[:, 1], minlength=cells**2).astype(float)


def _intensity_variance(
    size: tuple[float, float], cells: int, reach: float, strengths: NDArray[np.float64]
) -> NDArray[np.float64]:
    even = (np.arange(1, 33)[:, None] * [0.7548776662466927, 0.5698402909980532]) % 1

    def within(scale: float) -> NDArray[np.float64]:
        points = even * np.asarray(size) * scale
        distance = np.linalg.norm(points[:, None] - points, axis=-1)
        return np.asarray((np.exp(strengths[:, None, None] ** 2 * np.exp(-distance / reach)) - 1).mean((1, 2)))

    # What all cells of the image share does not show.
    return within(1 / cells) - within(1)


def _table(values: NDArray[np.float64], weight: NDArray[np.float64]) -> tuple[float, ...]:
    order = np.argsort(values, kind="stable")
    share = np.cumsum(weight[order]) - weight[order] / 2
    levels = (np.arange(QUANTILES) + 0.5) / QUANTILES * weight.sum()
    return tuple(float(f"{value:.4g}") for value in np.interp(levels, share, values[order]))


def _rounded(value: float | np.floating) -> float:
    return round(float(np.nan_to_num(value)), 4)
