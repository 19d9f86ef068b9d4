"""Errors: where the AJI of a segmenter is lost, by mending one kind of error at a time with the help of the truth.

What is mended is what a better network or a better decoding of that kind could bring at most. The kinds overlap, so
their gains do not add up. `NUCLEIGAN_BENCH_FINAL=1` measures on the test tiles; else it is the patients that may be
chosen by.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from skimage.segmentation import expand_labels

from _table import Row
from _tiles import about, model, settings, tiles
from napari_nucleigan.metrics import aji, overlaps
from napari_nucleigan.segmentation import Segmenter

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Labels = NDArray[np.int32]

HARDLY = 0.1  # IoU below which two nuclei are no partners
REACH = 8  # pixels around a true nucleus that are shared out with it


def measure() -> list[Row]:
    segmenter, scores = Segmenter(model(), settings()), {}
    every = tiles()
    for truth in every:
        found = segmenter.patches([truth.pixels])[0]
        for kind, mend in MENDED.items():
            value = aji(overlaps(truth.labels, mend(truth.labels, found)))
            scores.setdefault((truth.group, kind), []).append(value)
    usual = {group: np.mean(values) for (group, kind), values in scores.items() if kind == AS_FOUND}
    rows = []
    for (group, kind), values in scores.items():
        gain = np.mean(values) - usual[group]
        note = about() if kind == AS_FOUND else f"{gain:+.3f}"
        rows.append(Row(f"mean AJI on {len(values)} tiles of {group}, {kind}", np.mean(values), note=note))
    return rows


def without_false(truth: Labels, found: Labels) -> Labels:
    """Leave out what has no true partner."""
    return np.where(_partner(truth, found)[1][found] >= HARDLY, found, 0)


def with_missed(truth: Labels, found: Labels) -> Labels:
    """Add the true nuclei that have no partner, where nothing else was found."""
    missed = (_partner(truth, found)[0] < HARDLY)[truth] & (truth > 0) & (found == 0)
    return np.where(missed, truth + found.max(), found)


def shared_out(truth: Labels, found: Labels) -> Labels:
    """Keep the foreground, and share it out among the true nuclei that it lies on or beside."""
    near = expand_labels(truth, REACH)
    return np.where(found == 0, 0, np.where(near > 0, near, found + truth.max()))


def outlined(truth: Labels, found: Labels) -> Labels:
    """Give the nuclei that have a true partner the outline of that."""
    best_truth, best_found = _partner(truth, found)
    kept = np.where(best_found[found] > 0.5, 0, found)
    return np.where((best_truth > 0.5)[truth] & (truth > 0), truth + found.max(), kept)


def _partner(truth: Labels, found: Labels) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the IoU of each true and of each found label with its best partner, 0 where it has none."""
    table = overlaps(truth, found)
    best = np.zeros(truth.max() + 1), np.zeros(found.max() + 1)
    for values, ids, index in zip(
        best, (table.truth_ids, table.pred_ids), (table.truth_index, table.pred_index), strict=True
    ):
        np.maximum.at(values, ids[index], table.ious)
    return best


AS_FOUND = "as found"
MENDED: dict[str, Callable[[Labels, Labels], Labels]] = {
    AS_FOUND: lambda _, found: found,
    "nothing false": without_false,
    "nothing missed": with_missed,
    "foreground shared out rightly": shared_out,
    "outlines of true partners right": outlined,
}
"""What is mended, by name."""
