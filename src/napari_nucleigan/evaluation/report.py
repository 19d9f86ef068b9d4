"""What an evaluation found."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from napari_nucleigan.evaluation import tables
from napari_nucleigan.evaluation.groups import Failure, Group, ImageScores
from napari_nucleigan.evaluation.intervals import Bootstrap

if TYPE_CHECKING:
    from napari_nucleigan.evaluation.intervals import Interval
    from napari_nucleigan.metrics import Scores

UNKNOWN = "unknown"
"""The organ of images that ``split.csv`` names none of, where it names that of others."""


@dataclass(frozen=True)
class Report:
    """What an evaluation found.

    Attributes
    ----------
    images : tuple of ImageScores
        Every image that was compared, by name.
    missing, extra : tuple of str
        True labels without a prediction, predictions without true labels. Neither counts in any
        mean.
    failed : tuple of Failure
        Pairs of different size, or that could not be read. They count in no mean either.
    bootstrap : Bootstrap
        How intervals are made.
    iou : float
        What the IoU of a pair had to be above.
    """

    images: tuple[ImageScores, ...]
    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    failed: tuple[Failure, ...] = ()
    bootstrap: Bootstrap = field(default_factory=Bootstrap)
    iou: float = 0.5

    @cached_property
    def overall(self) -> Group:
        """All images."""
        return Group("overall", self.images, self.bootstrap)

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """The images of each organ, by name; those of none last, and no group where no organ is known."""
        known = sorted({image.organ for image in self.images if image.organ})
        groups = [
            Group(organ, tuple(image for image in self.images if image.organ == organ), self.bootstrap)
            for organ in known
        ]
        others = tuple(image for image in self.images if not image.organ)
        if known and others:
            groups.append(Group(UNKNOWN, others, self.bootstrap))
        return tuple(groups)

    @property
    def mean(self) -> dict[str, float | None]:
        """Mean over images of each metric; distances over the images that have them."""
        return self.overall.mean

    @property
    def organs(self) -> dict[str, dict[str, float | None]]:
        """Mean over the images of each organ, by name; empty where no organ is known."""
        return {group.name: group.mean for group in self.groups}

    @property
    def pooled(self) -> Scores:
        """All nuclei of all images as if they lay in one."""
        return self.overall.pooled

    @property
    def incomplete(self) -> bool:
        """Whether anything was left out: missing, extra or failed."""
        return bool(self.missing or self.extra or self.failed)

    def to_json(self) -> dict[str, Any]:
        """Represent the report by dictionaries, lists, numbers and strings.

        Returns
        -------
        dict
            ``images`` (a list), ``mean`` (over images), ``organs`` (the mean over the images of each), ``pooled`` (all
            nuclei as one image), each of the last three with ``intervals``; ``missing``, ``extra``, ``failed``; ``iou``
            and ``bootstrap``, as they were set.
        """
        return {
            "images": [{"name": image.name, "organ": image.organ, **image.scores.to_json()} for image in self.images],
            "mean": _averages(self.overall),
            "organs": {group.name: _averages(group) for group in self.groups},
            "pooled": {**self.pooled.to_json(), "intervals": _plain(self.overall.pooled_intervals)},
            "missing": list(self.missing),
            "extra": list(self.extra),
            "failed": [{"name": bad.name, "reason": bad.reason} for bad in self.failed],
            "iou": self.iou,
            "bootstrap": {"over": "images", **asdict(self.bootstrap)},
        }

    def table(self, by: str = "image") -> tuple[list[str], list[list[str]]]:
        """Lay the scores out as text.

        Parameters
        ----------
        by : {"image", "organ"}
            A row for each image, or for each organ (its mean over images). Two rows follow: the mean over images, and
            all nuclei pooled. Below each average is a row of its intervals, where there are any.

        Returns
        -------
        header : list of str
        rows : list of list of str

        Raises
        ------
        ValueError
            If `by` is neither.
        """
        return tables.text_table(self, by)

    def to_markdown(self, by: str = "organ") -> str:
        """Lay the scores out as a Markdown table; below it how they are averaged, and what was left out."""
        return tables.markdown(self, by)

    def to_csv(self) -> str:
        """Lay everything out as CSV for machines, at full precision.

        Returns
        -------
        str
            A row for each image, for each average of each organ, and for each average of all. The columns: ``level``
            (image, organ, overall), ``name``, ``organ``, ``averaging`` (mean over images, pooled), ``images``; each
            metric with the ends of its interval, ``METRIC_low`` and ``METRIC_high``; counts of nuclei; ``note``, which
            says of images without figures why they were left out.
        """
        text = io.StringIO()
        header, rows = tables.csv_table(self)
        csv.writer(text, lineterminator="\n").writerows([header, *rows])
        return text.getvalue()


def _averages(group: Group) -> dict[str, Any]:
    return {"images": len(group.images), **group.mean, "intervals": _plain(group.mean_intervals)}


def _plain(intervals: dict[str, Interval | None]) -> dict[str, list[float] | None]:
    return {name: None if interval is None else interval.to_json() for name, interval in intervals.items()}
