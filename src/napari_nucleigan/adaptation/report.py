"""Report of an adaptation: whether it helped, on labelled images where there are any, and what can be said without."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nucleigan.base.files import refuse_foreign_report, write_text
from napari_nucleigan.base.tables import to_markdown
from napari_nucleigan.base.text import as_markdown
from napari_nucleigan.evaluation import bootstrap_means

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_nucleigan.evaluation import Interval
    from napari_nucleigan.metrics import Scores

_FILES = ("adaptation.json", "adaptation.md")
REPORT = "adaptation.md", _FILES
"""The text of a report, and all its files."""


@dataclass(frozen=True)
class Adaptation:
    """What became of an adaptation.

    Attributes
    ----------
    runs : dict of str to str
        The fine-tuned model of each method: a run's folder, which is used as a model.
    scores : dict of str to dict of str to Scores
        Of ``"start"`` and each method, image by image; empty without labelled images.
    agreement : dict of str to dict of str to float
        Of the same: ``mirror_aji`` between an image and its mirror image, and the mean ``confidence`` where a model
        tells it. They tell of agreement, not of accuracy.
    provenance : dict
        What was adapted to what; ready for JSON.
    """

    runs: Mapping[str, str]
    scores: Mapping[str, Mapping[str, Scores]]
    agreement: Mapping[str, Mapping[str, float]]
    provenance: dict[str, Any] = field(default_factory=dict)

    def values(self, name: str, metric: str = "aji") -> NDArray[np.float64]:
        """Scores of each labelled image."""
        return np.array([getattr(each, metric) for each in self.scores[name].values()], np.float64)

    def gain(self, name: str, base: str = "start", metric: str = "aji") -> tuple[float, Interval | None]:
        """Mean difference to another model on the same images, and its 95 % interval."""
        gaps = self.values(name, metric) - self.values(base, metric)
        return float(gaps.mean()), bootstrap_means(gaps[:, None])[0]

    @property
    def verdict(self) -> str:
        """Whether it helped, in a sentence or two."""
        if not self.scores:
            return (
                "Nobody can tell from unlabelled images alone whether this helped: the figures below tell how far each "
                "model agrees with itself, not whether it is right. Look at what it finds, or give a few labelled "
                "images to measure with."
            )
        said = []
        for name in self.runs:
            mean, interval = self.gain(name)
            ends = "" if interval is None else f" [{interval.low:+.3f}, {interval.high:+.3f}]"
            way = "changes nothing that this test could show"
            if interval is not None and interval.low > 0:
                way = "helps"
            elif interval is not None and interval.high < 0:
                way = "harms"
            said.append(f"{name} {way}: {mean:+.3f}{ends} AJI")
        return f"On {len(self.values('start'))} labelled images, {'; '.join(said)}."

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Lay the figures out as text, a row for each model."""
        header = ["model"] + (["AJI", "F1", "AJI gained"] if self.scores else [])
        rows = []
        for name, agreement in self.agreement.items():
            row = [name]
            if self.scores:
                row += [f"{self.values(name).mean():.3f}", f"{self.values(name, 'f1').mean():.3f}"]
                row += ["" if name == "start" else f"{self.gain(name)[0]:+.3f}"]
            confidence = agreement.get("confidence")
            rows.append([*row, f"{agreement['mirror_aji']:.3f}", "-" if confidence is None else f"{confidence:.3f}"])
        return [*header, "AJI with its mirror image", "mean confidence"], rows

    def to_json(self) -> dict[str, Any]:
        """Represent the adaptation by dictionaries, lists, numbers and strings."""
        return {
            "verdict": self.verdict,
            "runs": dict(self.runs),
            "scores": {name: {key: each.to_json() for key, each in rows.items()} for name, rows in self.scores.items()},
            "agreement": {name: dict(rows) for name, rows in self.agreement.items()},
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
    write_text(folder / _FILES[0], json.dumps(adaptation.to_json(), indent=2) + "\n")
    real = "what the model is sure of in these images" if made["real"] is None else f"`{as_markdown(made['real'])}`"
    text = (
        f"# {as_markdown(made['start'])}, adapted to {as_markdown(made['images'])}\n\n{adaptation.verdict}\n\n"
        f"{to_markdown(*adaptation.table())}\n\n"
        f"Adapted to {made['count']} unlabelled images. *Self-training* learns from what the model finds in them and "
        f"is sure of. *Synthetic* learns from {made['pairs']} pairs that a generator of their look "
        f"({made['generator']}) painted, beside {real}. Agreement (AJI between what is found in an image and in its "
        "mirror image, mean confidence) needs no labels and is not accuracy.\n\n"
        f"napari-nucleigan {made['version']}.\n"
    )
    write_text(folder / _FILES[1], text)
    return folder / _FILES[1]
