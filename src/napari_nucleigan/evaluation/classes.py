"""Evaluation by class: how well nuclei of folders or files got their classes, image by image and in all."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nucleigan.base import tables
from napari_nucleigan.base.errors import DatasetError, NucleiganError, listing
from napari_nucleigan.base.events import Note, Progress
from napari_nucleigan.base.pixels import sides
from napari_nucleigan.base.text import as_markdown, printable
from napari_nucleigan.data.datasets.splits import split_name
from napari_nucleigan.evaluation.averages import Failure
from napari_nucleigan.evaluation.class_files import ClassedNuclei, find_classed
from napari_nucleigan.evaluation.folders import split_rows
from napari_nucleigan.metrics.agreement import overlaps
from napari_nucleigan.metrics.classes import RADIUS, ClassTally, pool_classes, tally_overlaps, tally_points

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_nucleigan.base.events import Job

NO_CLASS = "(none)"
"""How tables call nuclei without a class."""

_FIGURES = ("precision", "recall", "f1", "pq")


@dataclass(frozen=True)
class ClassReport:
    """What an evaluation by class found.

    Attributes
    ----------
    images : tuple of (str, ClassTally)
        Every image that was compared, by name.
    missing, extra : tuple of str
        Images of the truth without a prediction, and the other way round; they count nowhere.
    failed : tuple of Failure
        Images that could not be compared.
    iou : float
        What the IoU of a pair had to be above.
    radius : float
        Microns within which points were a pair.
    """

    images: tuple[tuple[str, ClassTally], ...]
    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    failed: tuple[Failure, ...] = ()
    iou: float = 0.5
    radius: float = RADIUS

    @cached_property
    def pooled(self) -> ClassTally:
        """All nuclei of all images as if they lay in one."""
        return pool_classes(tally for _, tally in self.images)

    @property
    def mpq(self) -> float | None:
        """PanNuke's mPQ: the mean over images of the mean over the classes that each image has."""
        known = [value for _, tally in self.images if (value := tally.mean_pq) is not None]
        return float(np.mean(known)) if known else None

    @property
    def summary(self) -> dict[str, float | None]:
        """The figures of all classes together."""
        pooled = self.pooled
        return {
            "f1_weighted": pooled.weighted_f1,
            "f1_mean": pooled.mean_f1,
            "mpq": self.mpq,
            "mpq_plus": pooled.mean_pq,
            "accuracy": pooled.accuracy,
        }

    def to_json(self) -> dict[str, Any]:
        """Represent the report by dictionaries, lists, numbers and strings."""
        return {
            "classes": _plain(self.pooled),
            "confusion": {"classes": list(self.pooled.names), "counts": self.pooled.confusion.tolist()},
            **self.summary,
            "images": [
                {"name": name, "classes": _plain(tally), "f1_weighted": tally.weighted_f1, "mpq": tally.mean_pq}
                for name, tally in self.images
            ],
            "missing": list(self.missing),
            "extra": list(self.extra),
            "failed": [{"name": bad.name, "reason": bad.reason} for bad in self.failed],
            "iou": self.iou,
            "radius_um": self.radius,
        }

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Lay the figures of each class out as text, over all nuclei of all images."""
        rows = [
            [_shown(each.name), str(each.n_truth), str(each.n_pred), *(_cell(getattr(each, key)) for key in _FIGURES)]
            for each in self.pooled.scores
        ]
        summary = {name: _cell(value) for name, value in self.summary.items()}
        rows += [
            ["mean of classes", "", "", "", "", summary["f1_mean"], summary["mpq_plus"]],
            ["weighted by true nuclei", "", "", "", "", summary["f1_weighted"], ""],
            [f"mean of {len(self.images)} images", "", "", "", "", "", summary["mpq"]],
        ]
        return ["class", "true", "found", "precision", "recall", "F1", "PQ"], rows

    def confusion(self) -> tuple[list[str], list[list[str]]]:
        """Lay the confusion out as text: true classes below each other, predicted ones beside each other."""
        names = [_shown(name) for name in self.pooled.names]
        counts = self.pooled.confusion.tolist()
        rows = [[name, *map(str, row)] for name, row in zip([*names, "spurious"], counts, strict=True)]
        rows[-1][-1] = ""
        return ["true \\ found", *names, "missed"], rows

    def to_markdown(self) -> str:
        """Lay the report out as Markdown."""
        pairs = f"pairs of points at most {self.radius:g} microns apart, or of nuclei at IoU > {self.iou:g}"
        parts = []
        for header, rows in (self.table(), self.confusion()):
            marked = [[as_markdown(name), *cells] for name, *cells in rows]
            parts += [tables.to_markdown([as_markdown(name) for name in header], marked), ""]
        parts.append(
            f"*mean of classes*: each class that the truth has weighs the same. All nuclei of {len(self.images)} "
            f"images as if in one; {pairs}."
        )
        return "\n".join(parts) + "\n"

    def to_csv(self) -> str:
        """Lay everything out as CSV: a row for each class of each image, and of all images as one."""
        header = ["level", "name", "class", "n_truth", "n_pred", "tp", *_FIGURES]
        rows: list[list[Any]] = []
        for level, name, tally in [*(("image", *image) for image in self.images), ("overall", "overall", self.pooled)]:
            rows += [
                [level, name, each.name, each.n_truth, each.n_pred, each.tp, *(getattr(each, key) for key in _FIGURES)]
                for each in tally.scores
            ]
        return tables.to_csv(header, rows)


def evaluate_classes(
    pred: str | Path,
    truth: str | Path,
    *,
    split: str | None = None,
    iou: float = 0.5,
    radius: float = RADIUS,
    mpp: float | None = None,
) -> Job[ClassReport]:
    """Compare nuclei with classes with true ones.

    Where both sides of an image have areas, nuclei are pairs by their IoU; else their centres are pairs within a
    radius.

    Parameters
    ----------
    pred, truth : str or Path
        As `napari_nucleigan.evaluation.class_files.find_classed` takes them. Two that hold one image each need not have
        the same name.
    split : str, optional
        Compare only the images of this split, as ``split.csv`` names it.
    iou : float
        What the IoU of a pair has to be above.
    radius : float
        Largest distance of the centres of a pair in microns.
    mpp : float, optional
        Microns per pixel of images whose files do not say it.

    Yields
    ------
    Progress or Note

    Returns
    -------
    ClassReport

    Raises
    ------
    DatasetError
        If there are no classes, or nothing to compare.
    """
    pred, truth = Path(pred), Path(truth)
    predicted, true = find_classed(pred), find_classed(truth)
    if len(predicted) == len(true) == 1:
        predicted = dict(zip(true, predicted.values(), strict=True))
    names = sorted(true.keys() & predicted.keys())
    wanted = true.keys() | predicted.keys()
    if split is not None:
        rows, meant = split_rows(truth), split_name(split)
        wanted = {name for name in wanted if rows.get(name, {}).get("split") == meant}
        names = [name for name in names if name in wanted]
    if not names:
        raise DatasetError(f"No image of {pred} has the name of one of {truth}; let PRED/NAME answer to TRUTH/NAME.")
    pairs: list[tuple[str, ClassedNuclei, ClassedNuclei]] = []
    failed: list[Failure] = []
    for done, name in enumerate(names):
        yield Progress(done, 2 * len(names), f"Reading {printable(name)}")
        try:
            pairs.append((name, true[name](), predicted[name]()))
        except NucleiganError as error:
            failed.append(Failure(name, str(error)))
    known = (
        {each for _, nuclei, _ in pairs for each in nuclei.classes},
        {each for _, _, nuclei in pairs for each in nuclei.classes},
    )
    if pairs and not (known[0] & known[1]) - {""}:
        yield Note(
            f"No class is on both sides: the truth has {_listed(known[0])}, the predictions {_listed(known[1])}.",
            "warning",
        )
    classes = sorted(known[0] | known[1], key=lambda name: (not name, name))
    images = []
    for done, (name, one, other) in enumerate(pairs):
        yield Progress(len(names) + done, 2 * len(names), f"Comparing {printable(name)}")
        try:
            images.append((name, compare(one, other, classes, iou, radius, mpp)))
        except NucleiganError as error:
            failed.append(Failure(name, str(error)))
    if not images:
        raise DatasetError(f"Nothing could be compared; {printable(failed[0].name)}: {failed[0].reason}")
    missing, extra = ((a.keys() & wanted) - b.keys() for a, b in ((true, predicted), (predicted, true)))
    return ClassReport(tuple(images), tuple(sorted(missing)), tuple(sorted(extra)), tuple(failed), iou, radius)


def compare(
    truth: ClassedNuclei,
    pred: ClassedNuclei,
    classes: Sequence[str],
    iou: float = 0.5,
    radius: float = RADIUS,
    mpp: float | None = None,
) -> ClassTally:
    """Compare the nuclei of one image.

    Raises
    ------
    LabelsError
        If both have areas, but of images of different sizes.
    DatasetError
        If one has points, and the pixel size is not known.
    """
    if truth.labels is not None and pred.labels is not None:
        table = overlaps(*_same_shape(truth, pred))
        return tally_overlaps(table, _ordered(truth, table.truth_ids), _ordered(pred, table.pred_ids), classes, iou)
    size = mpp or truth.mpp or pred.mpp
    if not size:
        raise DatasetError("points are compared in microns, and no file says how long a pixel is; give it by --mpp.")
    lengths = sides(size)[::-1]
    return tally_points(truth.places * lengths, pred.places * lengths, truth.classes, pred.classes, classes, radius)


def _same_shape(truth: ClassedNuclei, pred: ClassedNuclei) -> list[NDArray[np.int32]]:
    """Enlarge labels that reach only as far as their outlines; those of images keep their size."""
    shapes = [each.labels.shape for each in (truth, pred) if each.labels is not None]
    largest = np.max(shapes, axis=0)
    found = []
    for each in (truth, pred):
        assert each.labels is not None
        missing = (0, 0) if each.whole else largest - each.labels.shape
        found.append(np.pad(each.labels, [(0, length) for length in missing]))
    return found


def _ordered(nuclei: ClassedNuclei, ids: NDArray[np.integer[Any]]) -> list[str]:
    """Return the classes of labels in another order."""
    known = dict(zip(nuclei.values.tolist(), nuclei.classes, strict=True))
    return [known[value] for value in ids.tolist()]


def _listed(names: set[str]) -> str:
    return listing(_shown(name) for name in sorted(names)) or "none"


def _plain(tally: ClassTally) -> list[dict[str, Any]]:
    return [
        {"class": each.name, "n_truth": each.n_truth, "n_pred": each.n_pred, "tp": each.tp}
        | {key: getattr(each, key) for key in _FIGURES}
        for each in tally.scores
    ]


def _shown(name: str) -> str:
    return printable(name) if name else NO_CLASS


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
