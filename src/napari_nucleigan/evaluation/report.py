"""Report of an evaluation: figures of images, organs and all; as JSON, text, Markdown and CSV."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from napari_nucleigan.base import tables
from napari_nucleigan.base.text import as_markdown
from napari_nucleigan.evaluation.averages import AVERAGED, Bootstrap, Failure, Group, ImageScores, Interval
from napari_nucleigan.metrics.scores import COUNTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from napari_nucleigan.metrics import Scores

UNKNOWN = "unknown"
"""The organ of images that ``split.csv`` names none of, where it names that of others."""

COLUMNS = (
    ("aji", "AJI"),
    ("aji_plus", "AJI+"),
    ("pq", "PQ"),
    ("f1", "F1"),
    ("dice", "Dice"),
    ("average_hausdorff", "AHD px"),
    ("average_hausdorff_penalised", "AHDp px"),
)
"""Metrics of the tables for people, and their headings."""


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
            "images": [
                {"name": image.name, "organ": image.organ, **image.scores.to_json(), "notes": list(image.notes)}
                for image in self.images
            ],
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
        rows: list[list[str]] = []
        if by == "image":
            for image in self.images:
                scores = image.scores
                rows.append([image.name, *_cells(scores.to_json()), str(scores.n_truth), str(scores.n_pred)])
        elif by == "organ":
            for group in self.groups:
                rows += _group_rows(f"{group.name} ({len(group.images)})", group, group.mean, group.mean_intervals)
        else:
            raise ValueError(f"a table is by 'image' or by 'organ', not by {by!r}")
        overall = self.overall
        rows += _group_rows(f"mean of {len(self.images)}", overall, overall.mean, overall.mean_intervals)
        rows += _group_rows("pooled", overall, overall.pooled.to_json(), overall.pooled_intervals)
        return [by, *(heading for _, heading in COLUMNS), "true", "found"], rows

    def to_markdown(self, by: str = "organ") -> str:
        """Lay the scores out as a Markdown table; below it how they are averaged, and what was left out."""
        header, rows = self.table(by)
        lines = [tables.to_markdown(header, [[as_markdown(name), *cells] for name, *cells in rows]), ""]
        overall, draw = len(self.images), self.bootstrap
        lines.append(
            f"*mean of {overall}*: mean over images, each image weighs the same"
            + (", as in the rows of organs" if by == "organ" and self.groups else "")
            + "; *pooled*: all nuclei as if in one image. Objects are pairs at IoU > "
            + f"{self.iou:g}; distances in pixels."
        )
        if draw.resamples and overall >= draw.least:
            lines.append(
                f"Below each average of {draw.least} images or more its {draw.level:.0%} interval: percentile "
                f"bootstrap over images, {draw.resamples} resamples, seed {draw.seed}.".replace("%", " %")
            )
        elif draw.resamples:
            lines.append(
                f"{overall} images are too few to tell how far their averages can be trusted: no intervals are given "
                f"for fewer than {draw.least}."
            )
        for what, names in (("Without a prediction", self.missing), ("Without true labels", self.extra)):
            if names:
                lines += ["", f"{what}, left out: {', '.join(map(as_markdown, names))}"]
        if self.failed:
            lines += ["", "Could not be compared:", "", *_listed((bad.name, bad.reason) for bad in self.failed)]
        if remarks := [(image.name, note) for image in self.images for note in image.notes]:
            lines += ["", "Odd labels:", "", *_listed(remarks)]
        return "\n".join(lines) + "\n"

    def to_csv(self) -> str:
        """Lay everything out as CSV for machines, at full precision.

        Returns
        -------
        str
            A row for each image, for each average of each organ, and for each average of all. The columns: ``level``
            (image, organ, overall), ``name``, ``organ``, ``averaging`` (mean over images, pooled), ``images``; each
            metric with the ends of its interval, ``METRIC_low`` and ``METRIC_high``; counts of nuclei; ``note``, which
            says what is odd about an image's labels, and of images without figures why they were left out.
        """
        header = ["level", "name", "organ", "averaging", "images"]
        for name in AVERAGED:
            header += [name, f"{name}_low", f"{name}_high"]
        header += [*COUNTS, "note"]
        rows = [
            _csv_row(
                header,
                i.scores.to_json(),
                level="image",
                name=i.name,
                organ=i.organ,
                images=1,
                note=" ".join(i.notes) or None,
            )
            for i in self.images
        ]
        notes = [(name, "no prediction") for name in self.missing]
        notes += [(name, "no true labels") for name in self.extra]
        notes += [(bad.name, bad.reason) for bad in self.failed]
        rows += [_csv_row(header, {}, level="image", name=name, note=note) for name, note in notes]
        for group in (*self.groups, self.overall):
            level = "overall" if group is self.overall else "organ"
            about = {"level": level, "name": group.name, "images": len(group.images)}
            about["organ"] = group.name if level == "organ" else None
            counts = {name: value for name, value in group.pooled.to_json().items() if name in COUNTS}
            mean = {**counts, **group.mean}
            rows.append(_csv_row(header, mean, group.mean_intervals, averaging="mean over images", **about))
            rows.append(_csv_row(header, group.pooled.to_json(), group.pooled_intervals, averaging="pooled", **about))
        return tables.to_csv(header, rows)


def _listed(items: Iterable[tuple[str, str]]) -> list[str]:
    return [f"- {as_markdown(name)}: {as_markdown(text)}" for name, text in items]


def _averages(group: Group) -> dict[str, Any]:
    return {"images": len(group.images), **group.mean, "intervals": _plain(group.mean_intervals)}


def _plain(intervals: dict[str, Interval | None]) -> dict[str, list[float] | None]:
    return {name: None if interval is None else interval.to_json() for name, interval in intervals.items()}


def _group_rows(
    name: str, group: Group, values: Mapping[str, Any], intervals: Mapping[str, Interval | None]
) -> list[list[str]]:
    """Make a row of figures and, where there are any, one of their intervals."""
    rows = [[name, *_cells(values), str(group.n_truth), str(group.n_pred)]]
    if any(intervals.values()):
        ends = [figure_text(key, intervals[key]) for key, _ in COLUMNS]
        rows.append([f"{group.bootstrap.level * 100:g} %", *ends, "", ""])
    return rows


def _cells(values: Mapping[str, Any]) -> list[str]:
    return [figure_text(name, values[name]) for name, _ in COLUMNS]


def figure_text(name: str, value: float | Interval | None) -> str:
    """Write a figure of that name or its interval: metrics with 3 digits, distances with 2; a dash for None."""
    if value is None:
        return "-"
    if isinstance(value, Interval):
        return f"{figure_text(name, value.low)}-{figure_text(name, value.high)}"
    digits = 0 if name.startswith("n_") else 2 if "hausdorff" in name else 3
    return f"{value:.{digits}f}"


def _csv_row(
    header: list[str], values: Mapping[str, Any], intervals: Mapping[str, Interval | None] | None = None, **about: Any
) -> list[Any]:
    cells = {**values, **about}
    for name, interval in (intervals or {}).items():
        if interval is not None:
            cells[f"{name}_low"], cells[f"{name}_high"] = interval.low, interval.high
    return [cells.get(name) for name in header]
