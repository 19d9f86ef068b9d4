"""Report of an adaptation: whether it helped, on labelled images where there are any, and what can be said without."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nucleigan.adaptation.settings import REPORT
from napari_nucleigan.base.files import refuse_foreign_report, write_text
from napari_nucleigan.base.tables import to_markdown
from napari_nucleigan.base.text import as_markdown
from napari_nucleigan.evaluation import bootstrap_means

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_nucleigan.adaptation.measure import Measurements
    from napari_nucleigan.evaluation import Interval

START = "start"
"""What the model that adaptation starts from is called beside the ways to adapt."""

_AGREEMENT = {"mirror_aji": "AJI with its mirror image", "confidence": "confidence"}


@dataclass(frozen=True)
class Adaptation:
    """What became of an adaptation.

    Attributes
    ----------
    runs : dict of str to str
        The fine-tuned model of each way: a run's folder, which is used as a model.
    measured : dict of str to Measurements
        Of `START` and each way.
    provenance : dict
        What was adapted to what; ready for JSON.
    """

    runs: Mapping[str, str]
    measured: Mapping[str, Measurements]
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def judged(self) -> bool:
        """Whether there were labelled images to measure with."""
        return bool(self.measured[START].scores)

    def values(self, name: str, metric: str = "aji") -> NDArray[np.float64]:
        """Scores of each labelled image."""
        return np.array([getattr(each, metric) for each in self.measured[name].scores.values()], np.float64)

    def agreement(self, name: str, measure: str = "mirror_aji") -> NDArray[np.float64]:
        """Agreement with itself on each unlabelled image that was asked about; nan where it is not known."""
        rows = self.measured[name].agreement.values()
        return np.array([row.get(measure, np.nan) for row in rows], np.float64)

    def gain(self, name: str, base: str = START, metric: str = "aji") -> tuple[float, Interval | None]:
        """Mean difference to another model on the same labelled images, and its 95 % interval."""
        return _difference(self.values(name, metric), self.values(base, metric))

    @property
    def chosen(self) -> str:
        """The new model: the best on labelled images, be it the old one; without these, that of self-training."""
        if self.judged:
            return max((START, *self.runs), key=lambda name: float(self.values(name).mean()))
        # Where both were measured, on breast (docs/guide/adapt.md), synthetic pairs did harm.
        return "self-training" if "self-training" in self.runs else next(iter(self.runs))

    @property
    def verdict(self) -> str:
        """Whether it helped, in some sentences."""
        return self._judgement() if self.judged else self._without_labels()

    def _judgement(self) -> str:
        lines = [f"Measured on {_count(len(self.values(START)), 'labelled image')}, as differences in AJI:"]
        for name in self.runs:
            mean, interval = self.gain(name)
            way = "changes nothing that this test can show" if interval else "cannot be judged by so few images"
            if interval is not None and interval.low > 0:
                way = "helps"
            elif interval is not None and interval.high < 0:
                way = "harms"
            lines.append(f"- {name} {way}: {_signed(mean, interval)}")
        if len(self.runs) > 1:
            lines.append(f"- synthetic beside self-training: {_signed(*self.gain('synthetic', 'self-training'))}")
        lines.append("")
        if self.chosen == START:
            lines.append(
                f"On these nothing was better than {as_markdown(self.provenance['start'])}; go on with that one."
            )
        else:
            lines.append(
                f"The new model is the {self.chosen} one. These very images chose it, so its own figure may flatter."
            )
        return "\n".join(lines)

    def _without_labels(self) -> str:
        lines = [
            "Nobody can tell from unlabelled images alone whether this helped. Agreement can be measured, which is not "
            f"accuracy; on {_count(len(self.agreement(START)), 'image')}, as differences to the model at the start:"
        ]
        for name in self.runs:
            told = []
            for measure, title in _AGREEMENT.items():
                difference, interval = _difference(self.agreement(name, measure), self.agreement(START, measure))
                if np.isfinite(difference):
                    told.append(f"{title} {_signed(difference, interval)}")
            lines.append(f"- {name}: {', '.join(told)}")
        lines += [
            "",
            f"The new model is the {self.chosen} one. Look at what it finds, or give a few labelled images to "
            "measure with.",
        ]
        return "\n".join(lines)

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Lay the figures out as text, a column for each model."""
        rows = []
        if self.judged:
            for title, metric in (("AJI", "aji"), ("F1", "f1")):
                rows.append([title, *(_figure(self.values(name, metric)) for name in self.measured)])
            rows.append(["AJI gained [95 %]", "", *(_signed(*self.gain(name)) for name in self.runs)])
        for measure, title in _AGREEMENT.items():
            rows.append([title, *(_figure(self.agreement(name, measure)) for name in self.measured)])
        return ["", *self.measured], rows

    def to_json(self) -> dict[str, Any]:
        """Represent the adaptation by dictionaries, lists, numbers and strings."""
        parts = self.measured.items()
        gains: dict[str, Any] = {}
        for name in self.runs if self.judged else ():
            mean, interval = self.gain(name)
            gains[name] = {"mean": mean, "interval": interval and interval.to_json()}
        return {
            "verdict": self.verdict,
            "chosen": self.chosen,
            "gain_aji": gains,
            "runs": dict(self.runs),
            "scores": {name: {key: each.to_json() for key, each in part.scores.items()} for name, part in parts},
            "agreement": {name: part.agreement for name, part in parts},
            "provenance": self.provenance,
        }


def write_adaptation_report(adaptation: Adaptation, folder: Path) -> Path:
    """Write ``adaptation.json`` and ``adaptation.md``; return the second.

    Raises
    ------
    OutputError
        If one cannot be written, or another's is there.
    """
    refuse_foreign_report(folder, *REPORT)
    made = adaptation.provenance
    write_text(folder / REPORT[1][0], json.dumps(adaptation.to_json(), indent=2) + "\n")
    real = "what the model is sure of in these images" if made["real"] is None else f"`{as_markdown(made['real'])}`"
    learnt = {
        "self-training": "what the model finds in the images and is sure of"
        + ("" if made["real"] is None else f", beside {real}"),
        "synthetic": f"the {made['pairs']} most varied of {made['candidates']} consistent pairs that a generator of "
        f"the images' look ({made['generator']}, {made['generator_crops']} crops) painted, beside {real}",
    }
    ways = " ".join(f"*{name.capitalize()}* learns from {learnt[name]}." for name in adaptation.runs)
    text = (
        f"# {as_markdown(made['start'])}, adapted to {as_markdown(made['images'])}\n\n{adaptation.verdict}\n\n"
        f"{to_markdown(*adaptation.table())}\n\n"
        "Intervals hold 95 %: images are drawn again (bootstrap), differences are paired by image. They tell of the "
        "choice of images, not of the seed.\n\n"
        f"Adapted to {_count(made['count'], 'unlabelled image')}. Each way was fine-tuned on {made['crops']} crops. "
        f"{ways} Agreement (AJI between what is found in an image and in its mirror image, mean confidence) needs no "
        "labels and is not accuracy.\n\n"
        f"napari-nucleigan {made['version']}.\n"
    )
    write_text(folder / REPORT[0], text)
    return folder / REPORT[0]


def _difference(values: NDArray[np.float64], base: NDArray[np.float64]) -> tuple[float, Interval | None]:
    gaps = values - base
    return _mean(gaps), bootstrap_means(gaps[:, None])[0] if np.isfinite(gaps).any() else None


def _mean(values: NDArray[np.float64]) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")


def _figure(values: NDArray[np.float64]) -> str:
    mean = _mean(values)
    return "-" if np.isnan(mean) else f"{mean:.3f}"


def _signed(mean: float, interval: Interval | None) -> str:
    return f"{mean:+.3f}" + ("" if interval is None else f" [{interval.low:+.3f}, {interval.high:+.3f}]")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"
