"""Learning the statistics of masks from label images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtri
from scipy.stats import rankdata

from napari_nucleigan.errors import LabelsError
from napari_nucleigan.masks.layout import spacing
from napari_nucleigan.masks.parameters import PolygonMasks, Tissue, means
from napari_nucleigan.masks.statistics import describe, outline

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from napari_nucleigan.masks.statistics import LayoutStatistics, Outlined

QUANTILES = 33
MOST_TISSUES = 24


def fit(labels: Iterable[NDArray[np.integer]], mpp: float = 0.25) -> PolygonMasks:
    """Learn how nuclei look and lie from label images.

    Parameters
    ----------
    labels : iterable of (H, W) arrays of integers
        0 is background. They may differ in size.
    mpp : float
        Microns per pixel.

    Returns
    -------
    PolygonMasks
        With one tissue for each image, or for each group of images of like density where there are many.

    Raises
    ------
    LabelsError
        If there are no images, or no nuclei on them.
    """
    images = [(outline(each, mpp), describe(each, mpp), each.shape) for each in labels]
    if not images:
        raise LabelsError("There are no label images to learn from.")
    if not any(found.whole.any() for found, _, _ in images):
        raise LabelsError("No label image holds a nucleus that lies wholly inside it; there is nothing to learn from.")
    images.sort(key=lambda image: image[1].density)
    groups = np.array_split(np.arange(len(images)), min(MOST_TISSUES, len(images)))
    tissues = [_tissue([images[i] for i in group], mpp) for group in groups]
    kept = tuple(each for each in tissues if each is not None)
    return PolygonMasks(**{name: float(f"{value:.5g}") for name, value in means(kept).items()}, tissues=kept)


def _tissue(images: list[tuple[Outlined, LayoutStatistics, tuple[int, int]]], mpp: float) -> Tissue | None:
    square_mm = sum(found.square_mm for _, found, _ in images)
    area = np.concatenate([found.area[found.whole] for found, _, _ in images])
    if not area.size:
        return None
    ratio = np.concatenate(
        [found.length[found.whole] / np.maximum(found.width[found.whole], mpp) for found, _, _ in images]
    )
    touching = np.concatenate([found.touching[found.whole] for found, _, _ in images])
    gaps, pairs = [], []
    for found, _, _ in images:
        if len(found.ids) > 1:
            index, _, distance, contact = spacing(
                found.centres, np.maximum(found.length, mpp), np.maximum(found.width, mpp), found.angle
            )
            ratio_to = distance / contact
            gaps.append(ratio_to.min(1)[found.whole & ~found.touching])
            nearest = index[np.arange(len(index)), distance.argmin(1)]
            both = found.whole & found.whole[nearest]
            normal = ndtri((rankdata(found.area) - 0.5) / len(found.area))
            pairs.append(
                np.stack([normal[both], normal[nearest][both], np.cos(2 * (found.angle - found.angle[nearest]))[both]])
            )
    gap = np.concatenate(gaps) if gaps else np.empty(0)
    like = np.concatenate(pairs, 1) if pairs else np.empty((3, 0))
    similarity = float(np.corrcoef(like[0], like[1])[0, 1]) if like.shape[1] > 9 else 0.0
    return Tissue(
        share=square_mm,
        density=sum(found.count for _, found, _ in images) / square_mm,
        areas=_table(area),
        elongations=_table(np.maximum(ratio, 1)),
        spacings=_table(gap) if gap.size > 4 else (1.0, 1.0),
        touching=float(touching.mean()),
        clustering=0.35,
        similarity=float(np.clip(np.nan_to_num(similarity) * 1.15, 0, 1)),
        coherence=float(np.clip(like[2].mean() * 1.3, 0, 1)) if like.shape[1] else 0.0,
    )


def _table(values: NDArray[np.float64]) -> tuple[float, ...]:
    levels = (np.arange(QUANTILES) + 0.5) / QUANTILES
    return tuple(float(f"{value:.4g}") for value in np.quantile(values, levels))
