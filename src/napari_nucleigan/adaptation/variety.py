"""Variety: of many synthetic pairs, the few that cover most of what there is.

What a segmenter gains from synthetic pairs follows their variety more than how real each looks, and two pairs that are
alike teach little more than one. So more pairs are painted than are learnt from, and those are taken that lie farthest
apart: the greedy farthest-first traversal, whose largest gap is at most twice the smallest one possible [1]_.

References
----------
.. [1] Gonzalez, "Clustering to minimize the maximum intercluster distance", Theoretical Computer Science 38 (1985).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nucleigan.base.events import Progress
from napari_nucleigan.evaluation.synthetic.appearance import lab_of, mean_colours

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_nucleigan.base.events import Job
    from napari_nucleigan.data.datasets.dataset import Dataset


def pair_features(pixels: NDArray[np.uint8], labels: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
    """Describe a pair by its stains and its nuclei.

    Parameters
    ----------
    pixels : (H, W, 3) uint8 array
        H&E.
    labels : (H, W) int array
        Its nuclei.

    Returns
    -------
    (12,) float64 array
        Mean CIELAB colour within and outside the nuclei, and its standard deviation outside; share of the picture that
        is nuclei, logarithm of their number and of their median area. Nan where there are no nuclei.
    """
    lab, inside = lab_of(pixels), labels > 0
    areas = np.bincount(labels.ravel())[1:]
    areas = areas[areas > 0]
    spread = lab[~inside].std(0, dtype=np.float64) if not inside.all() else np.full(3, np.nan)
    median = np.log(np.median(areas)) if areas.size else np.nan
    return np.concatenate([mean_colours(lab, inside).ravel(), spread, [inside.mean(), np.log1p(areas.size), median]])


def spread_out(features: NDArray[np.float64], count: int) -> list[int]:
    """Choose rows that cover the others: first the one in the middle, then always that farthest from all chosen.

    Parameters
    ----------
    features : (n, d) float64 array
        A row for each candidate. Columns are brought to one scale; a value that is not known counts as the mean.
    count : int
        How many to choose.

    Returns
    -------
    list of int
        `count` rows, or all where there are no more, in the order of the choice. The same features give the same
        choice; of rows that are equally far, the first is taken.
    """
    known = np.ma.masked_invalid(np.asarray(features, np.float64))
    spread = np.maximum(known.std(0).filled(0.0), 1e-9)
    points = ((known - known.mean(0)) / spread).filled(0.0)
    chosen: list[int] = []
    gaps = np.full(len(points), np.inf)
    following = int(np.argmin((points**2).sum(1))) if len(points) else 0
    for _ in range(min(count, len(points))):
        chosen.append(following)
        gaps = np.minimum(gaps, ((points - points[following]) ** 2).sum(1))
        gaps[following] = -1.0  # never twice, also where others are the same
        following = int(np.argmax(gaps))
    return chosen


def most_varied(pairs: Dataset, count: int) -> Job[Dataset]:
    """Choose the pairs of a data set that cover most of it.

    Parameters
    ----------
    pairs : Dataset
        The candidates.
    count : int
        How many to choose; all where there are no more.

    Returns
    -------
    Dataset
    """
    if len(pairs) <= count:
        return pairs
    rows = []
    for number, name in enumerate(pairs.names):
        yield Progress(number, len(pairs), "choosing varied pairs")
        image, labels = pairs.pair(name)
        rows.append(pair_features(image.pixels, labels))
    return pairs.only(pairs.names[index] for index in spread_out(np.array(rows), count))
