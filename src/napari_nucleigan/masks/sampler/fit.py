"""Learning the statistics of masks from label images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_nucleigan.base.errors import LabelsError
from napari_nucleigan.masks.sampler.parameters import PolygonMasks, TissueStatistics
from napari_nucleigan.masks.sampler.random_outlines import fill, walk
from napari_nucleigan.masks.sampler.spatial_statistics import ObservedMask, clustering, crowding, gaps, likeness, scores
from napari_nucleigan.masks.sampler.statistics import describe, outline, solidities
from napari_nucleigan.masks.sampler.tissues import means

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

QUANTILES = 33
MOST_TISSUES = 24
_SOLIDITIES = 100
_SPIKINESS = (0.0, 0.06, 0.12, 0.2, 0.3, 0.42, 0.6)
_TRIALS = 120
_TRIAL_PIXELS = 40.0
_FEWEST = 4


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
        found = outline(each, mpp)
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
    weight = np.concatenate([_weights(image) for image in images])

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
    if apart.sum() >= _FEWEST and meets.sum() >= _FEWEST:
        learnt["touching_sizes"] = float(size[meets].mean() - size[apart].mean())
    if meets.sum() >= _FEWEST:
        tables["contacts"] = _table(gap[meets], weight[meets])
    return TissueStatistics(
        areas=_table(area, weight),
        elongations=_table(ratio, weight),
        spacings=_table(gap[apart], weight[apart]) if apart.sum() >= _FEWEST else (),
        **own,
        **tables,
        **{name: round(value, 4) for name, value in learnt.items()},
    )


def _weights(image: ObservedMask) -> NDArray[np.float64]:
    # A nucleus of the extent h x w lies wholly inside H x W with a chance in proportion to (H - h) (W - w).
    size = np.asarray(image.size)
    room = np.maximum(size - image.found.extent[image.found.whole], 0.05 * size)
    return np.asarray(image.square_um / room.prod(1))


def _table(values: NDArray[np.float64], weight: NDArray[np.float64]) -> tuple[float, ...]:
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
