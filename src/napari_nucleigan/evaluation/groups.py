"""Groups of images and their averages: means over images, and all nuclei pooled."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from napari_nucleigan.evaluation.intervals import bootstrap_means
from napari_nucleigan.metrics.pooling import pool, pooled_figures

if TYPE_CHECKING:
    from napari_nucleigan.evaluation.intervals import Bootstrap, Interval
    from napari_nucleigan.labels.regions import Float64Array
    from napari_nucleigan.metrics import Scores, Tally

AVERAGED = (
    "aji",
    "aji_plus",
    "dq",
    "sq",
    "pq",
    "f1",
    "precision",
    "recall",
    "dice",
    "hausdorff",
    "average_hausdorff",
    "average_hausdorff_penalised",
)
"""The metrics of which a mean over images is given."""


@dataclass(frozen=True, slots=True)
class ImageScores:
    """The scores of one image; its organ where ``split.csv`` names it, and what it adds to pooled figures."""

    name: str
    organ: str | None
    scores: Scores
    tally: Tally = field(repr=False)


@dataclass(frozen=True, slots=True)
class Failure:
    """An image that could not be compared, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Group:
    """Images that are averaged: those of one organ, or all.

    Attributes
    ----------
    name : str
        The organ; ``"overall"`` for all images.
    images : tuple of ImageScores
    bootstrap : Bootstrap
        How intervals are made.
    """

    name: str
    images: tuple[ImageScores, ...]
    bootstrap: Bootstrap

    @property
    def n_truth(self) -> int:
        """Number of true nuclei."""
        return sum(image.scores.n_truth for image in self.images)

    @property
    def n_pred(self) -> int:
        """Number of predicted nuclei."""
        return sum(image.scores.n_pred for image in self.images)

    @cached_property
    def mean(self) -> dict[str, float | None]:
        """Mean over images of each metric; distances over the images that have them."""
        known = [column[np.isfinite(column)] for column in self._values.T]
        means = (float(column.mean()) if len(column) else None for column in known)
        return dict(zip(AVERAGED, means, strict=True))

    @cached_property
    def mean_intervals(self) -> dict[str, Interval | None]:
        """The interval of each mean; None where fewer than two images have a value."""
        return dict(zip(AVERAGED, bootstrap_means(self._values, self.bootstrap), strict=True))

    @cached_property
    def pooled(self) -> Scores:
        """All nuclei of these images as if they lay in one."""
        return pool([image.tally for image in self.images])

    @cached_property
    def pooled_intervals(self) -> dict[str, Interval | None]:
        """The interval of each pooled figure; None for fewer than two images."""
        rows = np.array([image.tally.sums for image in self.images])

        def figures(sums: Float64Array) -> Float64Array:
            found = pooled_figures(sums)
            return np.stack([found[name] for name in AVERAGED], axis=1)

        return dict(zip(AVERAGED, self.bootstrap.intervals(rows, figures), strict=True))

    @cached_property
    def _values(self) -> Float64Array:
        """The metrics of each image, shape (images, metrics), NaN where there is none."""
        rows = [[getattr(image.scores, name) for name in AVERAGED] for image in self.images]
        return np.array(rows, dtype=np.float64).reshape(len(rows), len(AVERAGED))
