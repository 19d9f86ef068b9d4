"""The evaluation of two folders, as a job."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from napari_nucleigan import metrics
from napari_nucleigan.base.devices import usable_cores
from napari_nucleigan.base.errors import DatasetError
from napari_nucleigan.base.events import Note, Progress
from napari_nucleigan.data.images.files import read_labels
from napari_nucleigan.evaluation.comparing import PairTask
from napari_nucleigan.evaluation.groups import Failure, ImageScores
from napari_nucleigan.evaluation.intervals import Bootstrap
from napari_nucleigan.evaluation.pairing import pair_files
from napari_nucleigan.evaluation.processes import CannotStart, in_processes
from napari_nucleigan.evaluation.report import Report

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from napari_nucleigan.base.events import Job
    from napari_nucleigan.evaluation.comparing import Found
    from napari_nucleigan.metrics import Scores

_WORTHWHILE = 3.0  # seconds of work from which on processes, which take a second to start, save time


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
    workers: int | None = None,
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
