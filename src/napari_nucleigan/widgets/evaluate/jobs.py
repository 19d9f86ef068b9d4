"""Jobs of the Evaluate dock: two layers compared, once or live, what was found saved; two folders looked into."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Signal

from napari_nucleigan.base.errors import LabelsError
from napari_nucleigan.base.events import Note, Progress
from napari_nucleigan.base.files import write_text
from napari_nucleigan.base.tables import write_csv
from napari_nucleigan.base.version import __version__
from napari_nucleigan.contributions.layers import LayerData, image_layer, labels_layer
from napari_nucleigan.data.datasets.dataset import only_known, read_known
from napari_nucleigan.data.datasets.splits import name_of
from napari_nucleigan.data.images.files import list_images, read_image, read_labels, read_mpp
from napari_nucleigan.evaluation.folders import pair_files, split_rows
from napari_nucleigan.labels.numbering import check_nuclei, remarks_on
from napari_nucleigan.metrics import OUTCOMES, Inspection, inspect
from napari_nucleigan.widgets.base.layers import METADATA_KEY
from napari_nucleigan.widgets.base.mask_layers import LiveUpdater

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from qtpy.QtCore import QObject

    from napari_nucleigan.base.errors import NucleiganError
    from napari_nucleigan.base.events import Job
    from napari_nucleigan.evaluation.folders import Pairing
    from napari_nucleigan.evaluation.processes import FilePair
    from napari_nucleigan.labels.alignment import Alignment, Grid
    from napari_nucleigan.widgets.base.mask_layers import MaskLayer, Reader

_GATHER_MS = 15  # one stroke of a brush raises several events
_MOVES = ("scale", "translate", "rotate", "shear", "affine", "units", "name")
QUALITY = ("aji", "aji_plus", "pq", "dq", "sq", "f1", "precision", "recall", "dice")
DISTANCES = ("average_hausdorff", "average_hausdorff_penalised", "hausdorff")
COUNTS = ("n_truth", "n_pred", "tp", "fp", "fn")
STEPS = 25
"""Steps of IoU that are coloured differently."""

CODES = len(OUTCOMES) * STEPS


@dataclass(frozen=True, eq=False)
class CompareRequest:
    """Two layers to compare.

    Attributes
    ----------
    truth, pred : callable
        Read the labels, (H, W).
    alignment : Alignment
        Brings them onto one grid.
    iou : float
        IoU above which two nuclei are a pair.
    truth_name, pred_name : str
        Names of the layers.
    mpp : float or None
        Microns per pixel of the common grid.
    """

    truth: Reader
    pred: Reader
    alignment: Alignment
    iou: float
    truth_name: str
    pred_name: str
    mpp: float | None


@dataclass(frozen=True, eq=False)
class LayerComparison:
    """Two layers that were compared.

    Attributes
    ----------
    request : CompareRequest
        What was asked for.
    inspection : Inspection
        What was found.
    painted : ndarray of int32, shape (H, W)
        The picture in which the number of each nucleus tells its colour; see `codes`.
    outlines : ndarray of uint8, shape (H, W)
        1 where the border of a true nucleus is.
    features : dict of str to ndarray, shape (n,)
        A value for each nucleus of the picture, for the layer that shows it.
    seconds : float
        How long it took.
    """

    request: CompareRequest
    inspection: Inspection
    painted: np.ndarray[Any, Any]
    outlines: np.ndarray[Any, Any]
    features: dict[str, np.ndarray[Any, Any]]
    seconds: float

    @property
    def grid(self) -> Grid:
        """The common grid."""
        return self.request.alignment.grid


def compare(request: CompareRequest, before: LayerComparison | None = None) -> Job[LayerComparison]:
    """Compare two layers.

    Parameters
    ----------
    request : CompareRequest
        What to compare.
    before : LayerComparison, optional
        The comparison of a moment ago, of which what has not changed is kept.

    Yields
    ------
    Progress, Note

    Returns
    -------
    LayerComparison
        `before` itself where nothing at all has changed.

    Raises
    ------
    LabelsError
        If a layer only tells nuclei from background.
    """
    start = time.monotonic()
    yield Progress(0, 2, "reading the layers")
    truth, pred = request.alignment.truth(request.truth()), request.alignment.pred(request.pred())
    if before is not None and _unchanged(request, truth, pred, before):
        return before
    if before is None:
        for labels, name in ((truth, request.truth_name), (pred, request.pred_name)):
            check_nuclei(labels, name)
            for remark in remarks_on(labels):
                yield Note(f"{name}: {remark}", "warning")
    yield Progress(1, 2, "comparing")
    found = inspect(truth, pred, request.iou, request.mpp, previous=before.inspection if before else None)
    numbers = codes(found)
    return LayerComparison(
        request=request,
        inspection=found,
        painted=np.concatenate([np.zeros(1, np.int32), numbers])[found.picture],
        outlines=(found.contours > 0).view(np.uint8),
        features=_features(found, numbers),
        seconds=time.monotonic() - start,
    )


def codes(found: Inspection) -> np.ndarray[Any, Any]:
    """Numbers for the nuclei of an inspection that tell their colours.

    Numbers that are equal modulo `CODES` are of one outcome and, in `STEPS` steps, of one IoU. So two fixed colour
    tables that repeat after `CODES` colours serve every picture, and no table need be made again with every edit.

    Returns
    -------
    ndarray of int32, shape (n,)
        Above 0, each different.
    """
    steps = np.clip((found.nuclei.iou * STEPS).astype(np.int32), 0, STEPS - 1)
    outcomes = found.nuclei.outcome.astype(np.int32)
    numbers: np.ndarray[Any, Any] = (found.nuclei.id.astype(np.int32) - 1) * CODES + outcomes * STEPS + steps + 1
    return numbers


def _features(found: Inspection, numbers: np.ndarray[Any, Any]) -> dict[str, np.ndarray[Any, Any]]:
    nuclei = found.nuclei
    # napari finds the row of a label by a column of the name "index".
    return {
        "index": numbers,
        "outcome": nuclei.names,
        "iou": np.round(nuclei.iou, 3),
        "hausdorff_px": np.round(nuclei.hausdorff, 2),
        "average_hausdorff_px": np.round(nuclei.average_hausdorff, 2),
        "area_px": nuclei.area,
    }


def _unchanged(
    request: CompareRequest, truth: np.ndarray[Any, Any], pred: np.ndarray[Any, Any], before: LayerComparison
) -> bool:
    past = before.request
    return (
        (request.iou, request.mpp, request.truth_name, request.pred_name, request.alignment.notes)
        == (past.iou, past.mpp, past.truth_name, past.pred_name, past.alignment.notes)
        and np.array_equal(request.alignment.grid.matrix, past.alignment.grid.matrix)
        and np.array_equal(truth, before.inspection.truth)
        and np.array_equal(pred, before.inspection.pred)
    )


@dataclass(frozen=True, slots=True)
class FolderPair:
    """Two folders that can be compared.

    Attributes
    ----------
    pred, truth : Path
        The folders.
    split : str or None
        The part of them that is meant.
    pairing : Pairing
        What answers to what.
    splits : tuple of str
        The splits that ``split.csv`` names.
    """

    pred: Path
    truth: Path
    split: str | None
    pairing: Pairing
    splits: tuple[str, ...]

    @property
    def text(self) -> str:
        """What is in them, for people."""
        pairing = self.pairing
        organs = {pair.organ for pair in pairing.pairs if pair.organ}
        parts = [
            f"{len(pairing.pairs)} pair{'' if len(pairing.pairs) == 1 else 's'}",
            f"{len(organs)} organ{'' if len(organs) == 1 else 's'}" if organs else "",
            f"{len(pairing.missing)} without a prediction" if pairing.missing else "",
            f"{len(pairing.extra)} without true labels" if pairing.extra else "",
        ]
        return " · ".join(filter(None, parts))


def look_into(pred: Path, truth: Path, split: str | None) -> Job[FolderPair]:
    """Find what answers to what in two folders.

    Raises
    ------
    DatasetError
        If they cannot be compared.
    """
    rows = split_rows(truth)
    splits = tuple(sorted({name for row in rows.values() if (name := row.get("split"))}))
    split = split if split in splits else None
    pairing = yield from pair_files(pred, truth, split)
    return FolderPair(pred, truth, split, pairing, splits)


def read_pair(pair: FilePair) -> Job[list[LayerData]]:
    """Read the layers of one image: the image, if the data set of the true labels has it, the truth, the prediction.

    Raises
    ------
    ImageError, LabelsError
        If a file cannot be read.
    """
    yield Progress(0, 1, f"reading {pair.name}")
    layers: list[LayerData] = []
    mpp = None
    known = None if pair.known is None else read_known(pair.known)
    if (source := _image_of(pair)) is not None:
        image = read_image(source)
        mpp = image.mpp
        layers.append(image_layer(image))
    for path, what in ((pair.truth, "truth"), (pair.pred, "prediction")):
        # As the row of the table has it: what lies beyond the known regions is not compared.
        labels = only_known(read_labels(path), known)
        data, arguments, kind = labels_layer(labels, mpp or read_mpp(path), f"{pair.name} ({what})")
        layers.append((data, arguments | {"metadata": {METADATA_KEY: {"path": str(path)}}}, kind))
    return layers


def _image_of(pair: FilePair) -> Path | None:
    """Image of a data set that its labels belong to."""
    folder = pair.truth.parent.parent / "images"
    if pair.truth.parent.name != "labels" or not folder.is_dir():
        return None
    return next((path for path in list_images(folder) if name_of(path) == pair.name), None)


def figures(comparison: LayerComparison) -> dict[str, float | int | None]:
    """All figures of a comparison by name: scores, then the counts of the picture."""
    found = comparison.inspection
    scores = found.scores.to_json()
    return {**{key: scores[key] for key in (*QUALITY, *DISTANCES, *COUNTS)}, **found.counts}


def rows_of(comparison: LayerComparison) -> list[tuple[str, float | int | None]]:
    """Names and values, as they are exported: what was compared first."""
    request = comparison.request
    asked = [("prediction", request.pred_name), ("truth", request.truth_name), ("iou_threshold", request.iou)]
    return [*asked, ("microns_per_pixel", request.mpp), *figures(comparison).items()]  # type: ignore[list-item]


def save_csv(path: Path, comparison: LayerComparison) -> None:
    """Write the figures as a table of names and values; raises `OutputError` if it cannot be written."""
    write_csv(path, ["figure", "value"], rows_of(comparison))


def save_json(path: Path, comparison: LayerComparison) -> None:
    """Write the figures, and every nucleus of the picture; raises `OutputError` if it cannot be written."""
    content = {
        **dict(rows_of(comparison)),
        "notes": list(comparison.request.alignment.notes),
        "version": __version__,
        "nuclei": comparison.inspection.nuclei.records(),
    }
    write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def save_nuclei(path: Path, comparison: LayerComparison) -> None:
    """Write a table with a row for every nucleus of the picture; raises `OutputError` if it cannot be written."""
    records = comparison.inspection.nuclei.records()
    header = list(records[0]) if records else ["id"]
    write_csv(path, header, ([_cell(record[name]) for name in header] for record in records))


def _cell(value: Any) -> Any:
    return " ".join(map(str, value)) if isinstance(value, (list, tuple)) else value


class LiveComparison(LiveUpdater):
    """Compares two layers again whenever one of them has changed.

    Parameters
    ----------
    request : callable
        Gives what is to be compared now; raises `LabelsError` where that cannot be.
    parent : QObject
        The widget that owns it.
    """

    compared = Signal(object)
    """A new `LayerComparison`."""
    refused = Signal(str)
    """The layers cannot be compared as they are now, and why."""

    def __init__(self, request: Callable[[], CompareRequest], parent: QObject) -> None:
        super().__init__("comparing what was edited", parent, _GATHER_MS)
        self._request = request
        self._before: LayerComparison | None = None

    def watch(self, layers: Sequence[MaskLayer], moves: Sequence[str] = _MOVES) -> None:
        """Watch layers instead of those before; none to stop."""
        super().watch(layers, moves)
        self._before = None

    def begin(self, comparison: LayerComparison) -> None:
        """Take a comparison that was made elsewhere for what is shown now."""
        self._before = comparison

    def _job(self) -> Job[LayerComparison] | None:
        try:
            return compare(self._request(), self._before)
        except LabelsError as error:
            self._before = None
            self.refused.emit(str(error))
            return None

    def _finished(self, comparison: LayerComparison) -> None:
        if comparison is not self._before:
            self._before = comparison
            self.compared.emit(comparison)
        self._tell_followed()
        self._next()

    def _failed(self, error: NucleiganError) -> None:
        self._before = None
        self.failed.emit(error)
        self._next()
