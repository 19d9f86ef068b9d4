"""Results of a comparison of label counts: scores by number of labelled images, and what synthetic pairs bring."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nucleigan.evaluation.averages import Bootstrap, Interval

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_nucleigan.comparison.results import Trial

ARMS = {
    "real": "real pairs",
    "synthetic": "real and synthetic pairs",
    "unlabelled": "real and synthetic pairs, the generator trained on the unlabelled images too",
}
"""What a segmenter trains on, and what the report calls it."""

DRAWS = 10_000
"""Resamplings of images and seeds behind an interval."""


@dataclass(frozen=True)
class LabelComparison:
    """Scores by number of labelled images.

    Attributes
    ----------
    trials : dict of (int, str) to tuple of Trial
        By number of labelled images and arm, one for each seed.
    labelled : dict of (int, int) to tuple of str
        The labelled images, by their number and the seed.
    images : tuple of str
        What was tested on.
    split : str
        Name of that split.
    provenance : dict
        Version, date, data and settings; ready for JSON.
    """

    trials: Mapping[tuple[int, str], tuple[Trial, ...]]
    labelled: Mapping[tuple[int, int], tuple[str, ...]]
    images: tuple[str, ...]
    split: str
    provenance: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def counts(self) -> tuple[int, ...]:
        """Numbers of labelled images."""
        return tuple(sorted({count for count, _ in self.trials}))

    @cached_property
    def arms(self) -> tuple[str, ...]:
        """What was compared."""
        return tuple(arm for arm in ARMS if any(arm == each for _, each in self.trials))

    def values(self, count: int, arm: str, metric: str = "aji") -> NDArray[np.float64]:
        """Scores of each test image, (seeds, images)."""
        trials = self.trials[count, arm]
        return np.array([[getattr(trial.images[name], metric) for name in self.images] for trial in trials], np.float64)

    def gain(self, count: int, arm: str, metric: str = "aji") -> NDArray[np.float64]:
        """Differences to real pairs alone of the same seed and image, (seeds, images)."""
        return self.values(count, arm, metric) - self.values(count, "real", metric)

    def to_json(self) -> dict[str, Any]:
        """Represent the comparison by dictionaries, lists, numbers and strings."""
        rows = []
        for count in self.counts:
            for arm in self.arms:
                row: dict[str, Any] = {"labels": count, "arm": arm}
                parts = {"aji": self.values(count, arm), "f1": self.values(count, arm, "f1")}
                if arm != "real":
                    parts["gain_aji"] = self.gain(count, arm)
                for name, values in parts.items():
                    interval = interval_of(values)
                    row[name] = {"mean": float(values.mean()), "interval": interval and interval.to_json()}
                rows.append(row | {"trials": [trial.to_json() for trial in self.trials[count, arm]]})
        return {
            "split": self.split,
            "images": list(self.images),
            "labelled": [
                {"labels": count, "seed": seed, "images": list(names)} for (count, seed), names in self.labelled.items()
            ],
            "provenance": self.provenance,
            "rows": rows,
        }


def interval_of(values: NDArray[np.float64]) -> Interval | None:
    """Make the 95 % interval of a mean over seeds and images, both of which are drawn again.

    Parameters
    ----------
    values : (seeds, images) float array
        Scores, or differences of scores.

    Returns
    -------
    Interval or None
        None for fewer images than `Bootstrap.least`.
    """
    seeds, images = values.shape
    if images < Bootstrap().least:
        return None
    random = np.random.default_rng(0)
    by_seed = random.multinomial(seeds, np.full(seeds, 1 / seeds), DRAWS) / seeds
    by_image = random.multinomial(images, np.full(images, 1 / images), DRAWS) / images
    low, high = np.percentile(np.einsum("ds,si,di->d", by_seed, values, by_image), (2.5, 97.5))
    return Interval(float(low), float(high))
