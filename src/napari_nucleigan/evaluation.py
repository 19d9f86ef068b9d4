"""Predicted nuclei against true ones, file by file, with means over images, organs and nuclei."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_nucleigan import metrics
from napari_nucleigan.data.datasets import read_split
from napari_nucleigan.data.images import list_images, read_labels
from napari_nucleigan.errors import DatasetError, ImageError, LabelsError
from napari_nucleigan.events import Note, Progress

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from napari_nucleigan.events import Job
    from napari_nucleigan.metrics import Overlaps, Scores

# Where two files have one name, that of the first of these suffixes is taken.
_SUFFIXES = (".tif", ".tiff", ".png")

AVERAGED = (
    "aji",
    "aji_plus",
    "dq",
    "sq",
    "pq",
    "f1",
    "precision",
    "recall",
    "dice",
    "hausdorff",
    "average_hausdorff",
    "average_hausdorff_penalised",
)
"""The metrics of which a mean over images is given."""

COLUMNS = (
    ("aji", "AJI"),
    ("aji_plus", "AJI+"),
    ("pq", "PQ"),
    ("f1", "F1"),
    ("dice", "Dice"),
    ("average_hausdorff", "AHD px"),
    ("average_hausdorff_penalised", "AHDp px"),
)
"""Metrics of `Report.table`, and their headings."""


@dataclass(frozen=True, slots=True)
class ImageScores:
    """The scores of one image; its organ where ``split.csv`` names it."""

    name: str
    organ: str | None
    scores: Scores


@dataclass(frozen=True, slots=True)
class Failure:
    """An image that could not be compared, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Report:
    """What an evaluation found.

    Attributes
    ----------
    images : tuple of ImageScores
        Every image that was compared, by name.
    pooled : Scores
        All nuclei of these images as if they lay in one.
    missing, extra : tuple of str
        True labels without a prediction, predictions without true labels. Neither counts in any
        mean.
    failed : tuple of Failure
        Pairs of different size, or that could not be read. They count in no mean either.
    """

    images: tuple[ImageScores, ...]
    pooled: Scores
    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    failed: tuple[Failure, ...] = ()

    @property
    def mean(self) -> dict[str, float | None]:
        """Mean over images of each metric; distances over the images that have them."""
        return _mean(image.scores for image in self.images)

    @property
    def organs(self) -> dict[str, dict[str, float | None]]:
        """Mean over the images of each organ, by name; empty where no organ is known."""
        known = sorted({image.organ for image in self.images if image.organ})
        return {organ: _mean(image.scores for image in self.images if image.organ == organ) for organ in known}

    def to_json(self) -> dict[str, Any]:
        """Represent the report by dictionaries, lists, numbers and strings."""
        counts = {organ: sum(i.organ == organ for i in self.images) for organ in self.organs}
        return {
            "images": [{"name": image.name, "organ": image.organ, **image.scores.to_json()} for image in self.images],
            "mean": {"images": len(self.images), **self.mean},
            "organs": {organ: {"images": counts[organ], **mean} for organ, mean in self.organs.items()},
            "pooled": self.pooled.to_json(),
            "missing": list(self.missing),
            "extra": list(self.extra),
            "failed": [{"name": bad.name, "reason": bad.reason} for bad in self.failed],
        }

    def table(self, by: str = "image") -> tuple[list[str], list[list[str]]]:
        """Lay the scores out as text.

        Parameters
        ----------
        by : {"image", "organ"}
            A row for each image, or for each organ. Two rows follow: the mean over images, and all
            nuclei pooled.

        Returns
        -------
        header : list of str
        rows : list of list of str

        Raises
        ------
        ValueError
            If `by` is neither.
        """
        if by not in ("image", "organ"):
            raise ValueError(f"a table is by 'image' or by 'organ', not by {by!r}")
        rows: list[list[str]] = []
        if by == "image":
            for image in self.images:
                scores = image.scores
                rows.append([image.name, *_cells(scores.to_json()), *_counts([scores])])
        else:
            for organ, mean in self.organs.items():
                members = [image.scores for image in self.images if image.organ == organ]
                rows.append([f"{organ} ({len(members)})", *_cells(mean), *_counts(members)])
        all_scores = [image.scores for image in self.images]
        rows.append([f"mean of {len(all_scores)}", *_cells(self.mean), *_counts(all_scores)])
        rows.append(["pooled", *_cells(self.pooled.to_json()), *_counts([self.pooled])])
        return [by, *(heading for _, heading in COLUMNS), "true", "found"], rows


def evaluate_pair(*, truth: str | Path, pred: str | Path, hausdorff: bool = True) -> Scores:
    """Compare two label files.

    Parameters
    ----------
    truth, pred : str or Path
        Label images, TIFF or PNG.
    hausdorff : bool
        Whether to measure the distances.

    Returns
    -------
    Scores

    Raises
    ------
    LabelsError
        If a file cannot be read as labels, or the two differ in size.
    """
    return metrics.evaluate(read_labels(truth), read_labels(pred), hausdorff)


def evaluate_folders(
    pred: str | Path,
    truth: str | Path,
    *,
    split: str | None = None,
    split_csv: str | Path | None = None,
    hausdorff: bool = True,
) -> Job[Report]:
    """Compare predicted label files with true ones of the same name.

    Parameters
    ----------
    pred, truth : str or Path
        Folders of label images (TIFF or PNG; names count without their suffix), data-set folders
        that hold ``labels/``, or files. Two files may differ in name; one file is compared with
        its namesake in the other's folder.
    split : str, optional
        Compare only the images of this split, as ``split.csv`` names it.
    split_csv : str or Path, optional
        Table with the columns ``name,organ,split``; looked for in the true folder and beside it
        where it is not given.
    hausdorff : bool
        Whether to measure the distances, which cost most of the time.

    Yields
    ------
    Progress, Note
        Images done; files passed over.

    Returns
    -------
    Report

    Raises
    ------
    DatasetError
        If a folder is missing or empty, the split has no images, or nothing could be compared.
    """
    true_files = yield from _label_files(Path(truth))
    pred_files = yield from _label_files(Path(pred))
    if Path(truth).is_file() and Path(pred).is_file():
        pred_files = dict(zip(true_files, pred_files.values(), strict=True))
    elif Path(truth).is_file() or Path(pred).is_file():
        one = true_files.keys() & pred_files.keys()
        true_files = {name: true_files[name] for name in one}
        pred_files = {name: pred_files[name] for name in one}
    rows = _split_rows(Path(truth), split_csv)
    if split is not None:
        wanted = {name for name, row in rows.items() if row.get("split") == split}
        true_files = {name: path for name, path in true_files.items() if name in wanted}
        pred_files = {name: path for name, path in pred_files.items() if name in wanted}
        if not true_files:
            raise DatasetError(
                f"No true labels of {truth} are of the split {split!r}; check the column 'split' of split.csv."
            )
    names = sorted(true_files.keys() & pred_files.keys())
    if not names:
        raise DatasetError(
            f"No prediction of {pred} has the name of a label image of {truth}; let"
            " PRED/NAME.tif answer to TRUTH/NAME.tif."
        )
    images: list[ImageScores] = []
    tables: list[Overlaps] = []
    failed: list[Failure] = []
    start = time.monotonic()
    for done, name in enumerate(names):
        left = (time.monotonic() - start) / done * (len(names) - done) if done else None
        yield Progress(done, len(names), f"Comparing {name}", left)
        try:
            true_labels, found = read_labels(true_files[name]), read_labels(pred_files[name])
            table = metrics.overlaps(true_labels, found)
            scores = metrics.evaluate(true_labels, found, hausdorff, table)
        except LabelsError as error:
            failed.append(Failure(name, str(error)))
            continue
        tables.append(table)
        images.append(ImageScores(name, rows.get(name, {}).get("organ") or None, scores))
    yield Progress(len(names), len(names), "Compared", 0.0)
    if not images:
        raise DatasetError(
            f"None of {len(failed)} predictions could be compared. The first, {failed[0].name}: {failed[0].reason}"
        )
    return Report(
        images=tuple(images),
        pooled=metrics.pool([(t, i.scores) for t, i in zip(tables, images, strict=True)]),
        missing=tuple(sorted(true_files.keys() - pred_files.keys())),
        extra=tuple(sorted(pred_files.keys() - true_files.keys())),
        failed=tuple(failed),
    )


def _label_files(path: Path) -> Job[dict[str, Path]]:
    """Label images by name, of a folder, of its ``labels/``, or the one file."""
    if path.is_file():
        return {path.stem: path}
    folder = path / "labels" if (path / "labels").is_dir() else path
    try:
        found = list_images(folder)
    except ImageError as error:
        raise DatasetError(f"{path} is neither a label image nor a folder of them.") from error
    files: dict[str, Path] = {}
    for suffix in _SUFFIXES:
        for file in found:
            if file.suffix.lower() != suffix:
                continue
            if files.setdefault(file.stem, file) is not file:
                kept = files[file.stem].name
                yield Note(f"{file} is passed over: {kept} has the same name.", "warning")
    if not files:
        raise DatasetError(f"{folder} holds no label images (TIFF or PNG).")
    return files


def _split_rows(truth: Path, given: str | Path | None) -> dict[str, dict[str, str]]:
    if given is not None:
        if not Path(given).is_file():
            raise DatasetError(f"There is no table of splits at {given}.")
        return read_split(Path(given))
    folder = truth.parent if truth.is_file() else truth
    for place in (folder, folder.parent):
        if rows := read_split(place / "split.csv"):
            return rows
    return {}


def _mean(scores: Iterable[Scores]) -> dict[str, float | None]:
    columns = [found.to_json() for found in scores]
    mean: dict[str, float | None] = {}
    for name in AVERAGED:
        values = [value for column in columns if (value := column[name]) is not None]
        mean[name] = sum(values) / len(values) if values else None
    return mean


def _cells(values: dict[str, Any]) -> list[str]:
    texts = []
    for name, _ in COLUMNS:
        value = values[name]
        digits = 2 if "hausdorff" in name else 3
        texts.append("-" if value is None else f"{value:.{digits}f}")
    return texts


def _counts(scores: Sequence[Scores]) -> list[str]:
    return [str(sum(s.n_truth for s in scores)), str(sum(s.n_pred for s in scores))]
