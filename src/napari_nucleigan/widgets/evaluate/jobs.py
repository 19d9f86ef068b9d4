"""What the Evaluate widget does in a thread: read two layers, bring them onto one grid, compare them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nucleigan.base.events import Progress
from napari_nucleigan.metrics import OUTCOMES, Inspection, inspect

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_nucleigan.base.events import Job
    from napari_nucleigan.labels.alignment import Alignment, Grid

    Reader = Callable[[], np.ndarray[Any, Any]]

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
    order : CompareRequest
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

    order: CompareRequest
    inspection: Inspection
    painted: np.ndarray[Any, Any]
    outlines: np.ndarray[Any, Any]
    features: dict[str, np.ndarray[Any, Any]]
    seconds: float

    @property
    def grid(self) -> Grid:
        """The common grid."""
        return self.order.alignment.grid


def compare(order: CompareRequest, before: LayerComparison | None = None) -> Job[LayerComparison]:
    """Compare two layers.

    Parameters
    ----------
    order : CompareRequest
        What to compare.
    before : LayerComparison, optional
        The comparison of a moment ago, of which what has not changed is kept.

    Yields
    ------
    Progress

    Returns
    -------
    LayerComparison
        `before` itself where nothing at all has changed.
    """
    start = time.monotonic()
    yield Progress(0, 2, "reading the layers")
    truth, pred = order.alignment.truth(order.truth()), order.alignment.pred(order.pred())
    if before is not None and _unchanged(order, truth, pred, before):
        return before
    yield Progress(1, 2, "comparing")
    found = inspect(truth, pred, order.iou, order.mpp, previous=before.inspection if before else None)
    numbers = codes(found)
    return LayerComparison(
        order=order,
        inspection=found,
        painted=np.concatenate([np.zeros(1, np.int32), numbers])[found.picture],
        outlines=(found.contours > 0).view(np.uint8),
        features=_features(found, numbers),
        seconds=time.monotonic() - start,
    )


def codes(found: Inspection) -> np.ndarray[Any, Any]:
    """Numbers for the nuclei of an inspection that tell their colours.

    Numbers that are equal modulo `CODES` are of one outcome and, in `STEPS` steps, of one IoU. So two fixed colour
    tables that repeat after `CODES` colours serve every picture, and no table need be made anew with every edit.

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
    order: CompareRequest, truth: np.ndarray[Any, Any], pred: np.ndarray[Any, Any], before: LayerComparison
) -> bool:
    past = before.order
    return (
        (order.iou, order.mpp, order.truth_name, order.pred_name, order.alignment.notes)
        == (past.iou, past.mpp, past.truth_name, past.pred_name, past.alignment.notes)
        and np.array_equal(order.alignment.grid.matrix, past.alignment.grid.matrix)
        and np.array_equal(truth, before.inspection.truth)
        and np.array_equal(pred, before.inspection.pred)
    )
