"""Bootstrap intervals: how far a figure would move with other images of the same kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_nucleigan.labels.runs import Float64Array

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
    """How intervals are made: images are drawn anew with replacement, as many as there are, again and again.

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
            None for fewer than two images, without draws, or where a figure has a value in no draw.
        """
        drawn = figures(self.sums(rows)) if len(rows) > 1 and self.resamples else figures(rows[:0])
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
        None where fewer than two images have a value.
    """
    count = values.shape[1]
    known = np.isfinite(values)

    def means(sums: Float64Array) -> Float64Array:
        there = sums[:, count:]
        means: Float64Array = np.where(there > 0, sums[:, :count] / np.maximum(there, 1), np.nan)
        return means

    rows = np.hstack([np.where(known, values, 0.0), known])
    found = (bootstrap or Bootstrap()).intervals(rows, means)
    return [interval if there > 1 else None for interval, there in zip(found, known.sum(axis=0), strict=True)]
