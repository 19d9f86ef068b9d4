"""Random masks of closed polygons, laid out like the nuclei of a tissue.

`fit` learns from label images, `sample` draws a mask, `preset` gives what was learnt from an organ.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np
from skimage.measure import label

from napari_nucleigan.base.errors import RecipeError
from napari_nucleigan.masks.sampler.fit import fit
from napari_nucleigan.masks.sampler.layout import lay_out
from napari_nucleigan.masks.sampler.parameters import PolygonMasks, tissue_of
from napari_nucleigan.masks.sampler.random_outlines import fill, walk
from napari_nucleigan.masks.sampler.statistics import LayoutStatistics, describe, neighbouring

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_nucleigan.masks.sampler.layout import Layout

__all__ = ["PRESETS", "LayoutStatistics", "PolygonMasks", "describe", "fit", "preset", "sample"]

PRESETS = ("all", "breast", "kidney", "liver", "prostate")
"""Names of what was learnt from the training tiles of the Kumar data set, by organ; "all" from all of them."""

# 2**32 over the golden ratio: its multiples fill the circle evenly, however many are taken.
_GOLDEN = 2654435769


def sample(statistics: PolygonMasks, shape: tuple[int, int], mpp: float = 0.25, seed: int = 0) -> NDArray[np.int32]:
    """Draw a random mask.

    The same arguments give the same mask. Seeds that follow one another go evenly through the tissues of a fit.

    Parameters
    ----------
    statistics : PolygonMasks
        What it shall look like.
    shape : (int, int)
        Height and width in pixels.
    mpp : float
        Microns per pixel.
    seed : int
        0 or more.

    Returns
    -------
    (H, W) array of int32
        0 is background; nuclei are numbered 1, 2, ... without gaps, each of one piece (of pixels that share a side).

    Raises
    ------
    RecipeError
        If the shape, `mpp` or the seed cannot be used.
    """
    height, width = shape
    if height < 1 or width < 1:
        raise RecipeError(f"A mask has at least one pixel each way, not {height} x {width}.")
    if not (mpp > 0 and np.isfinite(mpp)):
        raise RecipeError(f"Microns per pixel must be above 0, not {mpp}.")
    if seed < 0:
        raise RecipeError(f"The seed must be 0 or more, not {seed}.")
    random = np.random.Generator(np.random.PCG64(seed))
    tissue = tissue_of(statistics, seed * _GOLDEN % 2**32 / 2**32)
    layout = lay_out(random, tissue, (height * mpp, width * mpp), mpp)
    count = len(layout.centres)
    outlines = walk(
        random, count, statistics.vertices, statistics.irregularity, statistics.spikiness, statistics.smoothed
    )
    labels = fill(_turned(outlines, layout) / mpp - 0.5, (height, width))
    return _whole(_parted(labels, layout))


def _turned(outlines: NDArray[np.float64], layout: Layout) -> NDArray[np.float64]:
    # A circle of area 1 has the diameter 2 / sqrt(pi).
    along = outlines[..., 1] * (layout.length * np.sqrt(np.pi) / 2)[:, None]
    across = outlines[..., 0] * (layout.width * np.sqrt(np.pi) / 2)[:, None]
    cosine, sine = np.cos(layout.angle)[:, None], np.sin(layout.angle)[:, None]
    turned = np.stack([along * sine + across * cosine, along * cosine - across * sine], -1)
    return np.asarray(turned + layout.centres[:, None])


def _parted(labels: NDArray[np.int32], layout: Layout) -> NDArray[np.int32]:
    # Nuclei that shall not touch but do, for the corners of their outlines, lose the pixels of contact: the larger one.
    area = np.concatenate([[0], layout.length * layout.width])
    meets = np.concatenate([[False], layout.meets])
    for first, second in neighbouring(labels):
        near = np.flatnonzero((first != second).ravel() & (first.ravel() > 0) & (second.ravel() > 0))
        one, other = first.ravel()[near], second.ravel()[near]
        wrong = ~(meets[one] & meets[other])
        near, larger = near[wrong], (area[one] >= area[other])[wrong]
        for side, chosen in ((first, near[larger]), (second, near[~larger])):
            side[np.unravel_index(chosen, side.shape)] = 0
    return labels


def _whole(labels: NDArray[np.int32]) -> NDArray[np.int32]:
    # What another nucleus or the border has cut in pieces keeps the largest; then number without gaps.
    pieces, count = label(labels, background=0, connectivity=1, return_num=True)
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)
    owner = np.zeros(count + 1, np.int64)
    owner[pieces.ravel()] = labels.ravel()
    order = np.lexsort((np.arange(count + 1), -sizes, owner))
    first = np.ones(count + 1, bool)
    first[1:] = owner[order][1:] != owner[order][:-1]
    kept = order[first]
    kept = kept[owner[kept] > 0]
    numbers = np.zeros(count + 1, np.int32)
    numbers[kept] = np.arange(1, len(kept) + 1)
    return np.asarray(numbers[pieces])


@cache
def preset(name: str) -> PolygonMasks:
    """Return what was learnt from an organ.

    Raises
    ------
    RecipeError
        If there is no such preset.
    """
    if name not in PRESETS:
        raise RecipeError(f"There is no mask preset {name!r}; there are {', '.join(PRESETS)}.")
    text = (files("napari_nucleigan.masks.sampler") / "organs" / f"{name}.json").read_text("utf-8")
    return PolygonMasks.model_validate_json(text)
