"""Results of a comparison: scores of every method on the same test images, their costs, and the published figures."""

from __future__ import annotations

import csv
import math
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_nucleigan.evaluation import AVERAGED, bootstrap_means

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from napari_nucleigan.comparison.methods import Method
    from napari_nucleigan.evaluation import Interval
    from napari_nucleigan.metrics import Scores

METRICS = tuple(name for name in AVERAGED if name not in ("dq", "sq"))
"""Metrics of which means are given."""

SOURCE = (
    "F. Mahmood et al., Deep Adversarial Training for Multi-Organ Nuclei Segmentation in Histopathology Images, "
    "IEEE Transactions on Medical Imaging 39(11):3257-3267, 2020, doi:10.1109/TMI.2019.2927182"
)
"""Where the published figures come from."""

OVERALL = "overall"
"""The row of the published table over all of its organs."""

_SAME = {"colon": "colorectal"}  # what data sets call the organs of the published table


@dataclass(frozen=True, slots=True)
class Column:
    """A metric of the report.

    Attributes
    ----------
    metric : str
        Our figure.
    title : str
        What it is called.
    digits : int
        Digits after the point.
    published : str or None
        The figure of the published table that stands beside it.
    lower : bool
        Whether less is better.
    """

    metric: str
    title: str
    digits: int = 3
    published: str | None = None
    lower: bool = False

    @property
    def better(self) -> str:
        """Which way is better, in words."""
        return f"{'less' if self.lower else 'more'} is better"


COLUMNS = (
    Column("aji", "AJI", published="aji"),
    Column("average_hausdorff_penalised", "average Hausdorff distance (px)", 2, "average_hausdorff", lower=True),
    Column("f1", "F1", published="f1"),
)
"""The metrics of the paper's table: ours, and what the paper calls the same."""


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

    def mean(self, metric: str) -> float | None:
        """Mean over the test images, of those that have a value."""
        return _mean(np.array([getattr(scores, metric) for scores in self.images.values()], dtype=np.float64))

    def to_json(self) -> dict[str, Any]:
        """Represent the trial by dictionaries, lists, numbers and strings."""
        return {
            "seed": self.seed,
            "budget": asdict(self.budget),
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

    @property
    def groups(self) -> list[str | None]:
        """The organs by name, and None for all images."""
        return [*sorted(set(self.organs.values())), None]

    def names(self, organ: str | None = None) -> list[str]:
        """Test images of an organ, or all of them."""
        return [name for name, where in self.organs.items() if organ in (None, where)]

    def mean(self, outcome: Outcome, metric: str, organ: str | None = None) -> float | None:
        """Mean over the test images of an organ, or over all of them.

        Where a distance is not defined for an image, because nothing was found there, the mean is over the others.
        """
        return _mean(outcome.values(metric, self.names(organ)))

    def interval(self, outcome: Outcome, metric: str) -> Interval | None:
        """95 % interval of the mean over images, as `nucleigan evaluate` makes it; None for a single image."""
        return _interval(outcome.values(metric, self.names()))

    def gain(self, outcome: Outcome, base: Outcome, metric: str) -> tuple[float | None, Interval | None]:
        """Mean difference to another method on the same images, and its 95 % interval."""
        names = self.names()
        gaps = outcome.values(metric, names) - base.values(metric, names)
        return _mean(gaps), _interval(gaps)

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
            found |= {
                "mean": {metric: self.mean(outcome, metric) for metric in METRICS},
                "interval": {metric: (ends := self.interval(outcome, metric)) and ends.to_json() for metric in METRICS},
                "organs": {organ: {m: self.mean(outcome, m, organ) for m in METRICS} for organ in self.groups if organ},
                "trials": [trial.to_json() for trial in outcome.trials],
            }
        if method.published:
            keys = ("aji", "average_hausdorff", "f1")
            found["published_overall"] = {key: published(method.published, key) for key in keys}
        return found


def _mean(values: NDArray[np.float64]) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else None


def _interval(values: NDArray[np.float64]) -> Interval | None:
    return bootstrap_means(values[:, None])[0]


@cache
def _table() -> dict[tuple[str, str], dict[str, float]]:
    text = (files("napari_nucleigan.comparison") / "published.csv").read_text("utf-8")
    table: dict[tuple[str, str], dict[str, float]] = {}
    for row in csv.DictReader(text.splitlines()):
        key = row.pop("method"), row.pop("organ")
        table[key] = {metric: float(value) for metric, value in row.items()}
    return table


def published(method: str | None, metric: str | None, organ: str = OVERALL) -> float | None:
    """Look a published figure up.

    Parameters
    ----------
    method : str or None
        Name of a method in the published table: ``"FCN"``, ``"U-Net"``, ``"Mask R-CNN"``, ``"proposed cGAN"``.
    metric : str or None
        ``"aji"``, ``"average_hausdorff"`` (in pixels; the paper does not define it) or ``"f1"``.
    organ : str
        An organ, or `OVERALL`.

    Returns
    -------
    float or None
        None where the table has no such figure.
    """
    return _table().get((method or "", _SAME.get(organ, organ)), {}).get(metric or "")


def number(value: float | None, digits: int, sign: str = "") -> str:
    """Write a figure, with ``"+"`` as `sign` also where it is positive; a dash where there is none."""
    return "-" if value is None or not math.isfinite(value) else f"{value:{sign}.{digits}f}"


def best(values: list[float | None], lower: bool) -> float | None:
    """Return the best of some figures."""
    known = [value for value in values if value is not None]
    return (min if lower else max)(known, default=None)


def ends(interval: Interval | None, digits: int, sign: str = "") -> str:
    """Write an interval in brackets; nothing where there is none."""
    return "" if interval is None else f" [{number(interval.low, digits, sign)}, {number(interval.high, digits, sign)}]"


def effect(interval: Interval | None) -> Literal["helps", "harms", "unclear"]:
    """Tell what the interval of a gain shows; none, or one that holds 0, shows nothing."""
    if interval is None or interval.low <= 0 <= interval.high:
        return "unclear"
    return "harms" if interval.high < 0 else "helps"


def summary(comparison: MethodComparison) -> tuple[list[str], list[list[str]]]:
    """Lay the means over all test images out as text.

    Returns
    -------
    header : list of str
    rows : list of list of str
        One for each method; published figures stand behind ours.
    """
    header = ["method", "AJI", "95 %", "paper", "AHDp px", "paper", "F1", "paper"]
    rows = []
    for outcome in comparison.outcomes:
        if not outcome.trials:
            rows.append([outcome.method.title, "not run", *[""] * (len(header) - 2)])
            continue
        cells = []
        for column in COLUMNS:
            cells.append(number(comparison.mean(outcome, column.metric), column.digits))
            if column.metric == "aji":
                cells.append(ends(comparison.interval(outcome, "aji"), column.digits).strip())
            cells.append(number(published(outcome.method.published, column.published), column.digits))
        rows.append([outcome.method.title, *cells])
    return header, rows
