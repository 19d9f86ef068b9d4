"""The evaluation of two folders, as a job."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_nucleigan import metrics
from napari_nucleigan.data.images import read_labels
from napari_nucleigan.devices import usable_cores
from napari_nucleigan.errors import DatasetError, LabelsError
from napari_nucleigan.evaluation.groups import ImageScores
from napari_nucleigan.evaluation.intervals import Bootstrap
from napari_nucleigan.evaluation.pairing import Pair, pair_files
from napari_nucleigan.evaluation.processes import CannotStart, Crashed, in_processes
from napari_nucleigan.evaluation.report import Failure, Report
from napari_nucleigan.events import Note, Progress

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence

    from napari_nucleigan.events import Job
    from napari_nucleigan.metrics import Scores

_WORTHWHILE = 3.0  # seconds of work from which on processes, which take a second to start, save time

_Found = ImageScores | Failure


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
    return metrics.evaluate(read_labels(truth), read_labels(pred), hausdorff, iou=iou)


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
    workers: int | None = 0,
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
        Number of processes; 0 to stay in this one, None for as many as there are cores if there is enough to do. A
        script that asks for processes must be guarded by ``if __name__ == "__main__":``.

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
    found = yield from _compare_all([_Task(pair, hausdorff, iou) for pair in pairing.pairs], workers)
    images = tuple(item for item in found if isinstance(item, ImageScores))
    failed = tuple(item for item in found if isinstance(item, Failure))
    if not images:
        raise DatasetError(
            f"None of {len(failed)} predictions could be compared. The first, {failed[0].name}: {failed[0].reason}"
        )
    return Report(images, pairing.missing, pairing.extra, failed, bootstrap or Bootstrap(), iou)


@dataclass(frozen=True, slots=True)
class _Task:
    pair: Pair
    hausdorff: bool
    iou: float


def _compare(task: _Task) -> _Found:
    pair = task.pair
    try:
        truth, pred = read_labels(pair.truth), read_labels(pair.pred)
        table = metrics.overlaps(truth, pred)
        scores = metrics.evaluate(truth, pred, task.hausdorff, table, task.iou)
    except LabelsError as error:
        return Failure(pair.name, str(error))
    except MemoryError:
        return Failure(pair.name, "It is too large for the memory of this machine; cut it into tiles.")
    return ImageScores(pair.name, pair.organ, scores, metrics.tally(table, scores))


def _compare_all(tasks: Sequence[_Task], workers: int | None) -> Job[list[_Found]]:
    """Compare every pair, in their order, in this process or in several."""
    clock = _Clock(len(tasks))
    found: dict[int, _Found] = {}
    cores = usable_cores()
    for index, task in enumerate(tasks):
        if workers or (workers is None and cores > 1 and clock.left(index) > _WORTHWHILE):
            break
        yield clock.progress(index, task.pair.name)
        found[index] = _compare(task)
    else:
        yield clock.progress(len(tasks))
        return [found[index] for index in range(len(tasks))]
    rest = range(len(found), len(tasks))
    try:
        yield from _spread([tasks[index] for index in rest], rest, workers or cores, found, clock)
    except CannotStart:
        yield Note("No processes can be started here; the images are compared one after the other.", "warning")
        for index in rest:
            if index not in found:
                yield clock.progress(len(found), tasks[index].pair.name)
                found[index] = _compare(tasks[index])
    yield clock.progress(len(tasks))
    return [found[index] for index in range(len(tasks))]


def _spread(
    tasks: Sequence[_Task], places: Sequence[int], workers: int, found: dict[int, _Found], clock: _Clock
) -> Generator[Progress, None, None]:
    """Compare pairs in several processes; what is found is put into its place."""
    name = ""
    yield clock.progress(len(found), f"in {workers} processes")
    for outcome in in_processes(_compare, tasks, workers):
        if outcome is not None:
            index, result = outcome
            name = tasks[index].pair.name
            if isinstance(result, Crashed):
                result = Failure(name, "The process that compared it was ended, perhaps for lack of memory.")
            found[places[index]] = result
        yield clock.progress(len(found), name)


class _Clock:
    """Tells how far the comparisons have come, and how long the rest will take."""

    def __init__(self, total: int) -> None:
        self._total, self._start = total, time.monotonic()

    def left(self, done: int) -> float:
        """Seconds to the end at the pace so far; 0 where there is none yet."""
        return (time.monotonic() - self._start) / done * (self._total - done) if done else 0.0

    def progress(self, done: int, name: str = "") -> Progress:
        if done == self._total:
            return Progress(done, done, "Compared", 0.0)
        return Progress(done, self._total, f"Comparing {name}".rstrip(), self.left(done) if done else None)
