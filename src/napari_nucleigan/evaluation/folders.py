"""Evaluation of two folders: which predicted file belongs to which true one, and how they compare."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_nucleigan import metrics
from napari_nucleigan.base.devices import usable_cores
from napari_nucleigan.base.errors import DatasetError, listing
from napari_nucleigan.base.events import Note, Progress
from napari_nucleigan.base.text import printable, same_name
from napari_nucleigan.data.datasets.dataset import labels_by_name, read_nuclei
from napari_nucleigan.data.datasets.splits import SplitTable, name_of, plain_name, read_split, split_name
from napari_nucleigan.evaluation.averages import Bootstrap, Failure, ImageScores
from napari_nucleigan.evaluation.processes import CannotStart, FilePair, PairTask, in_processes
from napari_nucleigan.evaluation.report import Report

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from napari_nucleigan.base.events import Job
    from napari_nucleigan.evaluation.processes import Found
    from napari_nucleigan.metrics import Scores

_WORTHWHILE = 3.0  # seconds of work from which on processes, which take a second to start, save time


@dataclass(frozen=True, slots=True)
class Pairing:
    """The files of two folders, by name.

    Attributes
    ----------
    pairs : tuple of FilePair
        What is to be compared, by name.
    missing, extra : tuple of str
        True labels without a prediction, predictions without true labels.
    """

    pairs: tuple[FilePair, ...]
    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()


def evaluate_pair(*, truth: str | Path, pred: str | Path, hausdorff: bool = True, iou: float = 0.5) -> Scores:
    """Compare two label files.

    Parameters
    ----------
    truth, pred : str or Path
        Label images, TIFF or PNG.
    hausdorff : bool
        Whether to measure the distances.
    iou : float
        What the IoU of a pair of nuclei has to be above, at least 0 and below 1.

    Returns
    -------
    Scores

    Raises
    ------
    LabelsError
        If a file cannot be read as labels, or the two differ in size.
    """
    return metrics.evaluate(read_nuclei(truth), read_nuclei(pred), hausdorff, iou=iou)


def evaluate_folders(
    pred: str | Path,
    truth: str | Path,
    *,
    split: str | None = None,
    split_csv: str | Path | None = None,
    names: Iterable[str] | None = None,
    hausdorff: bool = True,
    iou: float = 0.5,
    bootstrap: Bootstrap | None = None,
    workers: int | None = None,
) -> Job[Report]:
    """Compare predicted label files with true ones of the same name.

    Parameters
    ----------
    pred, truth : str or Path
        Folders of label images (TIFF or PNG; names count without their suffix), data-set folders
        that hold ``labels/``, or files. Two files may differ in name; one file is compared with
        its namesake in the other's folder. Where a true data set has ``regions/``, only what lies within is compared.
    split : str, optional
        Compare only the images of this split, as ``split.csv`` names it.
    split_csv : str or Path, optional
        Table with the columns ``name,organ,split``; looked for in the true folder and beside it
        where it is not given.
    names : iterable of str, optional
        Compare only these images.
    hausdorff : bool
        Whether to measure the distances, which cost most of the time.
    iou : float
        What the IoU of a pair of nuclei has to be above, at least 0 and below 1; F1, precision, recall and panoptic
        quality depend on it.
    bootstrap : Bootstrap, optional
        How intervals are made.
    workers : int or None
        Number of processes; 0 to stay in this one, None for as many as there are cores if there is enough to do.

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
    ValueError
        If `iou` or `workers` is out of range.
    """
    if not 0 <= iou < 1:
        raise ValueError(f"the IoU threshold must be at least 0 and below 1, not {iou}")
    if workers is not None and workers < 0:
        raise ValueError(f"the number of processes must be 0 or more, not {workers}")
    pairing = yield from pair_files(Path(pred), Path(truth), split, split_csv, names)
    found = yield from _compare_all([PairTask(pair, hausdorff, iou) for pair in pairing.pairs], workers)
    images = tuple(item for item in found if isinstance(item, ImageScores))
    failed = tuple(item for item in found if isinstance(item, Failure))
    for image in images:
        for note in image.notes:
            yield Note(f"{printable(image.name)}: {note}", "warning")
    if not images:
        raise DatasetError(
            f"None of {len(failed)} predictions could be compared. The first, {failed[0].name}: {failed[0].reason}"
        )
    return Report(images, pairing.missing, pairing.extra, failed, bootstrap or Bootstrap(), iou)


def _compare_all(comparisons: Sequence[PairTask], workers: int | None) -> Job[list[Found]]:
    """Compare every pair, in this process or in several; what is found comes in the order of the pairs."""
    total, start = len(comparisons), time.monotonic()
    found: dict[int, Found] = {}

    def left() -> float | None:
        return (time.monotonic() - start) / len(found) * (total - len(found)) if found else None

    cores = usable_cores()
    for index, comparison in enumerate(comparisons):
        if workers or (workers is None and cores > 1 and (left() or 0) > _WORTHWHILE):
            break
        yield Progress(index, total, f"Comparing {comparison.pair.name}", left())
        found[index] = comparison()
    rest = range(len(found), total)
    if rest:
        yield Progress(len(found), total, f"Comparing {total} images", left())
    try:
        with closing(in_processes([comparisons[index] for index in rest], workers or cores)) as outcomes:
            for outcome in outcomes:
                if outcome is not None:
                    found[rest[outcome[0]]] = outcome[1]
                yield Progress(len(found), total, f"{len(found)} of {total} images compared", left())
    except CannotStart:
        yield Note("No processes can be started here; the images are compared one after the other.", "warning")
        for index in rest:
            if index not in found:
                yield Progress(len(found), total, f"Comparing {comparisons[index].pair.name}", left())
                found[index] = comparisons[index]()
    yield Progress(total, total, "Compared", 0.0)
    return [found[index] for index in range(total)]


def pair_files(
    pred: Path,
    truth: Path,
    split: str | None = None,
    split_csv: str | Path | None = None,
    names: Iterable[str] | None = None,
) -> Job[Pairing]:
    """Pair files as `evaluate_folders` says; takes and raises what that does."""
    true_files = yield from _label_files(truth)
    pred_files = yield from _label_files(pred)
    if truth.is_file() and pred.is_file():
        pred_files = dict(zip(true_files, pred_files.values(), strict=True))
    elif truth.is_file() or pred.is_file():
        one = true_files.keys() & pred_files.keys()
        true_files = {name: true_files[name] for name in one}
        pred_files = {name: pred_files[name] for name in one}
    rows = split_rows(truth, split_csv)
    extra = pred_files.keys() - true_files.keys()
    wanted = set(true_files) if names is None else set(map(same_name, names))
    if split is not None:
        meant = split_name(split)
        listed = {name for name in true_files if rows.get(name, {}).get("split") == meant}
        # Predictions of other splits are passed over by choice; what no split knows is extra all the same.
        extra = {name for name in extra if rows.get(name, {"split": meant}).get("split") == meant}
        wanted &= listed
        if not wanted:
            raise DatasetError(f"No true labels of {truth} are of the split {split!r}; {_known_splits(rows)}")
        named = {name for name, row in rows.items() if row.get("split") == meant}
        if unlabelled := sorted(named - {plain_name(name) for name in true_files}):
            yield Note(
                f"split.csv names images of the split {split!r} without labels: {_shown(unlabelled)}.", "warning"
            )
    if names is not None:
        if unknown := sorted(wanted - true_files.keys()):
            raise DatasetError(f"{truth} holds no labels of {_shown(unknown)}; check the names.")
        extra &= wanted
    chosen = sorted(wanted & true_files.keys() & pred_files.keys())
    if not chosen:
        raise DatasetError(
            f"No prediction of {pred} has the name of a label image of {truth}; let"
            " PRED/NAME.tif answer to TRUTH/NAME.tif."
        )
    known = _known_files(truth)
    if partly := [name for name in chosen if name in known]:
        yield Note(f"Only what lies within its regions/ is compared in {len(partly)} of {len(chosen)} images.")
    return Pairing(
        tuple(
            FilePair(name, true_files[name], pred_files[name], rows.get(name, {}).get("organ") or None, known.get(name))
            for name in chosen
        ),
        tuple(sorted((wanted & true_files.keys()) - pred_files.keys())),
        tuple(sorted(extra)),
    )


def split_rows(truth: Path, given: str | Path | None = None) -> SplitTable:
    """Read the table of splits that is given, else that in the true folder or beside it.

    Raises
    ------
    DatasetError
        If the given one is not there, or a table cannot be understood.
    """
    if given is not None:
        if not Path(given).is_file():
            raise DatasetError(f"There is no table of splits at {given}.")
        return read_split(Path(given))
    folder = truth.parent if truth.is_file() else truth
    for place in (folder, folder.parent):
        if rows := read_split(place / "split.csv"):
            return rows
    return SplitTable({})


def _shown(names: Iterable[str]) -> str:
    return listing(map(printable, names))


def _known_splits(rows: SplitTable) -> str:
    known = sorted({split for row in rows.values() if (split := row.get("split"))})
    return f"split.csv names {_shown(known)}." if known else "no split.csv names any split."


def _known_files(truth: Path) -> dict[str, Path]:
    """Images of where true labels are known, by name: of the data set that `truth` is, or lies in."""
    folder = (truth.parent if truth.is_file() else truth).absolute()
    return labels_by_name((folder.parent if folder.name == "labels" else folder) / "regions")[0]


def _label_files(path: Path) -> Job[dict[str, Path]]:
    """Label images by name, of a folder, of its ``labels/``, or the one file."""
    if path.is_file():
        return {name_of(path): path}
    folder = path / "labels" if (path / "labels").is_dir() else path
    if not folder.is_dir():
        raise DatasetError(f"{path} is neither a label image nor a folder of them.")
    files, others = labels_by_name(folder)
    for file in others:
        kept = files[name_of(file)].name
        yield Note(f"{printable(file)} is passed over: {printable(kept)} has the same name.", "warning")
    if not files:
        raise DatasetError(f"{folder} holds no label images (TIFF or PNG).")
    return files
