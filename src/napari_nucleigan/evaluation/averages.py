"""Averages over images, and over all their nuclei, with bootstrap intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from napari_nucleigan.metrics.scores import COUNTS, DEFINITIONS, pool, pooled_figures

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_nucleigan.labels.regions import Float64Array
    from napari_nucleigan.metrics import Scores, Tally

AVERAGED = tuple(name for name in DEFINITIONS if name not in COUNTS)
"""The metrics of which a mean over images is given."""

_CELLS = 1 << 22  # of the table of draws that is held at a time


@dataclass(frozen=True, slots=True)
class Interval:
    """The two ends of an interval."""

    low: float
    high: float

    def to_json(self) -> list[float]:
        """Represent the interval as a list of its ends."""
        return [self.low, self.high]


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """How intervals are made: images are drawn with replacement, as many as there are, again and again.

    The interval holds the middle part of the figures of all draws (percentile bootstrap, Efron 1979). The images are
    what is drawn, not the nuclei: those of one image are alike, and would feign precision.

    Attributes
    ----------
    resamples : int
        How many draws; 0 for no intervals.
    level : float
        Part of the draws within the interval, above 0 and below 1.
    seed : int
        The same seed gives the same intervals.
    """

    resamples: int = 2000
    level: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what makes no interval."""
        if self.resamples < 0:
            raise ValueError(f"the number of resamples must be 0 or more, not {self.resamples}")
        if not 0 < self.level < 1:
            raise ValueError(f"the level of an interval must be above 0 and below 1, not {self.level}")
        if self.seed < 0:
            raise ValueError(f"the seed must be 0 or more, not {self.seed}")

    @property
    def least(self) -> int:
        """Number of images from which on there are intervals.

        Of fewer, not even the range from the lowest figure to the highest would hold the middle one (the median) as
        often as the level says: with n images it does in 1 - 2^(1 - n) of all cases.
        """
        return math.ceil(1 - math.log2(1 - self.level))

    def sums(self, rows: Float64Array) -> Float64Array:
        """Add the rows of each draw.

        Parameters
        ----------
        rows : ndarray of float64, shape (n, k)
            One of each image.

        Returns
        -------
        ndarray of float64, shape (resamples, k)
            The same seed and n draw the same images, whatever the rows hold.
        """
        random, n = np.random.default_rng(self.seed), len(rows)
        sums = np.zeros((self.resamples, rows.shape[1]))
        step = max(1, _CELLS // n)
        for start in range(0, self.resamples, step):
            drawn = random.integers(0, n, (min(step, self.resamples - start), n))
            # How often each image was drawn, times what it adds.
            cells = drawn + n * np.arange(len(drawn))[:, None]
            times = np.bincount(cells.ravel(), minlength=cells.size).reshape(cells.shape)
            sums[start : start + step] = times @ rows
        return sums

    def intervals(self, rows: Float64Array, figures: Callable[[Float64Array], Float64Array]) -> list[Interval | None]:
        """Make the intervals of figures that follow from sums over images.

        Parameters
        ----------
        rows : ndarray of float64, shape (n, k)
            What each image adds to the sums.
        figures : callable
            Makes figures, shape (resamples, m), of sums, shape (resamples, k); NaN where there is none.

        Returns
        -------
        list of Interval or None, length m
            None for fewer images than `least`, without draws, or where a figure has a value in no draw.
        """
        drawn = figures(self.sums(rows)) if len(rows) >= self.least and self.resamples else figures(rows[:0])
        found: list[Interval | None] = []
        for values in drawn.T:
            values = values[np.isfinite(values)]
            tails = [(1 - self.level) / 2, (1 + self.level) / 2]
            found.append(Interval(*map(float, np.quantile(values, tails))) if len(values) else None)
        return found


def bootstrap_means(values: Float64Array, bootstrap: Bootstrap | None = None) -> list[Interval | None]:
    """Make the intervals of means over images.

    For the difference of two methods, give the differences image by image: that interval is narrower than those of the
    two, because hard images are hard for both.

    Parameters
    ----------
    values : ndarray of float64, shape (n, m)
        A row for each image, a column for each figure. NaN where an image has no value; the mean is that of the others.
    bootstrap : Bootstrap, optional
        How to draw.

    Returns
    -------
    list of Interval or None, length m
        None where fewer images than `Bootstrap.least` have a value.
    """
    count = values.shape[1]
    known = np.isfinite(values)

    def means(sums: Float64Array) -> Float64Array:
        there = sums[:, count:]
        means: Float64Array = np.where(there > 0, sums[:, :count] / np.maximum(there, 1), np.nan)
        return means

    rows = np.hstack([np.where(known, values, 0.0), known])
    bootstrap = bootstrap or Bootstrap()
    found = bootstrap.intervals(rows, means)
    return [
        interval if there >= bootstrap.least else None for interval, there in zip(found, known.sum(axis=0), strict=True)
    ]


@dataclass(frozen=True, slots=True)
class ImageScores:
    """The scores of one image.

    Attributes
    ----------
    name : str
    organ : str or None
        Where ``split.csv`` names it.
    scores : Scores
    tally : Tally
        What it adds to pooled figures.
    notes : tuple of str
        What is odd about its labels.
    """

    name: str
    organ: str | None
    scores: Scores
    tally: Tally = field(repr=False)
    notes: tuple[str, ...] = ()


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
        """The interval of each mean; None where fewer images than `Bootstrap.least` have a value."""
        return dict(zip(AVERAGED, bootstrap_means(self._values, self.bootstrap), strict=True))

    @cached_property
    def pooled(self) -> Scores:
        """All nuclei of these images as if they lay in one."""
        return pool([image.tally for image in self.images])

    @cached_property
    def pooled_intervals(self) -> dict[str, Interval | None]:
        """The interval of each pooled figure; None for fewer images than `Bootstrap.least`."""
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
