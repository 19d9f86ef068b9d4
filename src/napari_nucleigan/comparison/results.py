"""What a comparison found: scores of every method on the same test images, and what they cost."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nucleigan.comparison.paper import published
from napari_nucleigan.evaluation import bootstrap_means

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from napari_nucleigan.comparison.methods import Method
    from napari_nucleigan.evaluation import Interval
    from napari_nucleigan.metrics import Scores

METRICS = (
    "aji",
    "aji_plus",
    "pq",
    "f1",
    "precision",
    "recall",
    "dice",
    "hausdorff",
    "average_hausdorff",
    "average_hausdorff_penalised",
)
"""Metrics of which means are given."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What a training cost.

    Attributes
    ----------
    epochs, steps, crops : int
        Epochs, updates of the generator, and crops that these saw.
    seconds : float
        Time of the updates by the clock, without validations and pauses.
    training, validation, synthetic : int
        Images that trained, images that validated, and synthetic pairs.
    where : str
        Device and arithmetic, as the run tells.
    """

    epochs: int
    steps: int
    crops: int
    seconds: float
    training: int
    validation: int
    synthetic: int = 0
    where: str = ""

    def to_json(self) -> dict[str, Any]:
        """Represent the budget by numbers and strings."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True)
class Trial:
    """One training of a method, and its scores.

    Attributes
    ----------
    seed : int
        Seed of the training.
    images : dict of str to Scores
        Scores of each test image.
    pooled : Scores
        Of all their nuclei as if they lay in one image.
    budget : Budget
        What it cost.
    parameters : int
        Parameters of the network that segments.
    sha256 : str
        Checksum of its tensors.
    decoding : dict
        How its field was cut into nuclei.
    validation : dict
        Scores on the validation images, as on the model's card.
    differences : dict
        Fields of the recipe that are not what the comparison asks for: value here, value asked for.
    """

    seed: int
    images: Mapping[str, Scores]
    pooled: Scores
    budget: Budget
    parameters: int
    sha256: str
    decoding: dict[str, Any] = field(default_factory=dict)
    validation: dict[str, Any] = field(default_factory=dict)
    differences: dict[str, tuple[Any, Any]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Represent the trial by dictionaries, lists, numbers and strings."""
        return {
            "seed": self.seed,
            "budget": self.budget.to_json(),
            "parameters": self.parameters,
            "sha256": self.sha256,
            "decoding": self.decoding,
            "validation": self.validation,
            "differences": {name: list(pair) for name, pair in self.differences.items()},
            "pooled": self.pooled.to_json(),
            "images": {name: scores.to_json() for name, scores in self.images.items()},
        }


@dataclass(frozen=True)
class Outcome:
    """What became of a method.

    Attributes
    ----------
    method : Method
        The method.
    trials : tuple of Trial
        One for each seed that was trained to the end.
    reason : str
        Why there is none, or not one for each seed; empty where all is there.
    failed : bool
        Whether a training has failed just now.
    """

    method: Method
    trials: tuple[Trial, ...] = ()
    reason: str = ""
    failed: bool = False

    def values(self, metric: str, names: Sequence[str]) -> NDArray[np.float64]:
        """Scores of some images, each a mean over the seeds; nan where an image has none."""
        table = [[getattr(trial.images[name], metric) for name in names] for trial in self.trials]
        means: NDArray[np.float64] = np.array(table, dtype=np.float64).mean(0)
        return means


@dataclass(frozen=True)
class MethodComparison:
    """Methods side by side.

    Attributes
    ----------
    outcomes : tuple of Outcome
        In the order of the report.
    organs : dict of str to str
        Organ of each test image.
    split : str
        Name of the split that was tested on.
    provenance : dict
        Version, date, machine, training and validation images; ready for JSON.
    notes : tuple of str
        What the reader should know.
    """

    outcomes: tuple[Outcome, ...]
    organs: dict[str, str]
    split: str
    provenance: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def run(self) -> tuple[Outcome, ...]:
        """The methods that have scores."""
        return tuple(outcome for outcome in self.outcomes if outcome.trials)

    def names(self, organ: str | None = None) -> list[str]:
        """Test images of an organ, or all of them."""
        return [name for name, where in self.organs.items() if organ in (None, where)]

    def mean(self, outcome: Outcome, metric: str, organ: str | None = None) -> float | None:
        """Mean over the test images of an organ, or over all of them.

        Where a distance is not defined for an image, because nothing was found there, the mean is over the others.
        """
        values = outcome.values(metric, self.names(organ))
        known = values[np.isfinite(values)]
        return float(known.mean()) if known.size else None

    def interval(self, outcome: Outcome, metric: str) -> Interval | None:
        """95 % interval of the mean over images, as `nucleigan evaluate` makes it; None for a single image."""
        return _interval(outcome.values(metric, self.names()))

    def gain(self, outcome: Outcome, base: Outcome, metric: str) -> tuple[float | None, Interval | None]:
        """Mean difference to another method on the same images, and its 95 % interval."""
        names = self.names()
        gaps = outcome.values(metric, names) - base.values(metric, names)
        known = gaps[np.isfinite(gaps)]
        return (float(known.mean()) if known.size else None), _interval(gaps)

    def to_json(self) -> dict[str, Any]:
        """Represent the comparison by dictionaries, lists, numbers and strings."""
        return {
            "split": self.split,
            "images": self.organs,
            "provenance": self.provenance,
            "notes": list(self.notes),
            "methods": {outcome.method.name: self._described(outcome) for outcome in self.outcomes},
        }

    def _described(self, outcome: Outcome) -> dict[str, Any]:
        method = outcome.method
        found: dict[str, Any] = {
            "title": method.title,
            "data": method.data,
            "published": method.published,
            "differences": method.differences,
            "not_run": outcome.reason or None,
        }
        if outcome.trials:
            organs = sorted(set(self.organs.values()))
            found |= {
                "mean": {metric: self.mean(outcome, metric) for metric in METRICS},
                "interval": {metric: _ends(self.interval(outcome, metric)) for metric in METRICS},
                "organs": {organ: {m: self.mean(outcome, m, organ) for m in METRICS} for organ in organs},
                "trials": [trial.to_json() for trial in outcome.trials],
            }
        if method.published:
            keys = ("aji", "average_hausdorff", "f1")
            found["published_overall"] = {key: published(method.published, key) for key in keys}
        return found


def _interval(values: NDArray[np.float64]) -> Interval | None:
    return bootstrap_means(values[:, None])[0]


def _ends(interval: Interval | None) -> list[float] | None:
    return None if interval is None else [interval.low, interval.high]
