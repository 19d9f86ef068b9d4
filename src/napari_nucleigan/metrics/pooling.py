"""Several images as one: sums that add up, and the figures that follow from them.

Unlike in a mean over images, each nucleus weighs the same in a pooled figure (in the pixel metrics: each pixel).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_nucleigan.metrics.agreement import aji_parts, aji_plus_parts, dice_parts
from napari_nucleigan.metrics.scores import Scores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_nucleigan.labels.regions import Float64Array
    from napari_nucleigan.metrics.table import Overlaps

_COUNTS = ("n_truth", "n_pred", "tp", "fp", "fn", "matched", "missed", "spurious")
_SUMS = (
    *_COUNTS,
    "iou",
    *("aji_shared", "aji_covered", "aji_plus_shared", "aji_plus_covered", "dice_shared", "dice_covered"),
    *("hausdorff", "average_hausdorff", "average_hausdorff_penalised"),
)


@dataclass(frozen=True, eq=False, slots=True)
class Tally:
    """What one image adds to the figures of a set of images.

    Attributes
    ----------
    sums : ndarray of float64, shape (k,)
        Counts of nuclei and of pixels, and sums of IoU and of distances over the nuclei. Tallies are added by
        adding these. NaN stands for distances that were not measured.
    """

    sums: Float64Array


def tally(table: Overlaps, scores: Scores) -> Tally:
    """Take what an image adds to pooled figures.

    Parameters
    ----------
    table : Overlaps
        Of the image.
    scores : Scores
        What `evaluate` found in it.

    Returns
    -------
    Tally
    """
    sums: dict[str, float | None] = {name: getattr(scores, name) for name in _COUNTS}
    sums["iou"] = scores.sq * scores.tp
    for name, parts in (("aji", aji_parts), ("aji_plus", aji_plus_parts), ("dice", dice_parts)):
        sums[f"{name}_shared"], sums[f"{name}_covered"] = parts(table)
    if scores.matched is not None and scores.spurious is not None:
        for name in ("hausdorff", "average_hausdorff"):
            sums[name] = (getattr(scores, name) or 0.0) * scores.matched
        charged = scores.n_truth + scores.spurious
        sums["average_hausdorff_penalised"] = (scores.average_hausdorff_penalised or 0.0) * charged
    values = (sums.get(name) for name in _SUMS)
    return Tally(np.array([np.nan if value is None else value for value in values], dtype=np.float64))


def pool(tallies: Sequence[Tally]) -> Scores:
    """Score the nuclei of several images as if they lay in one.

    Parameters
    ----------
    tallies : sequence of Tally
        One of each image.

    Returns
    -------
    Scores
        Its distances are None where those of any image are not measured.
    """
    sums = np.sum([item.sums for item in tallies], axis=0) if tallies else np.zeros(len(_SUMS))
    counts = {name: None if np.isnan(value) else int(value) for name, value in zip(_SUMS, sums, strict=True)}
    figures = {name: None if np.isnan(value) else float(value) for name, value in pooled_figures(sums).items()}
    return Scores(**figures, **{name: counts[name] for name in _COUNTS})  # type: ignore[arg-type]


def pooled_figures(sums: Float64Array) -> dict[str, Float64Array]:
    """Compute pooled figures of any number of sets of images at once.

    Parameters
    ----------
    sums : ndarray of float64, shape (..., k)
        Added `Tally.sums`.

    Returns
    -------
    dict of str to ndarray of float64, shape (...)
        The figures of `Scores`, without the counts. NaN where a distance has no value.
    """
    part = dict(zip(_SUMS, np.moveaxis(np.asarray(sums), -1, 0), strict=True))
    nuclei = part["n_truth"] + part["n_pred"]
    nothing = nuclei == 0
    dq = _ratio(2 * part["tp"], nuclei, 1.0)
    sq = np.where(nothing, 1.0, _ratio(part["iou"], part["tp"], 0.0))
    # Without a matched nucleus there is no distance, unless there are no nuclei at all.
    none = np.where(nothing, 0.0, np.nan)
    return {
        "aji": _ratio(part["aji_shared"], part["aji_covered"], 1.0),
        "aji_plus": _ratio(part["aji_plus_shared"], part["aji_plus_covered"], 1.0),
        "dq": dq,
        "sq": sq,
        "pq": dq * sq,
        "f1": dq,
        "precision": np.where(nothing, 1.0, _ratio(part["tp"], part["n_pred"], 0.0)),
        "recall": np.where(nothing, 1.0, _ratio(part["tp"], part["n_truth"], 0.0)),
        "dice": _ratio(part["dice_shared"], part["dice_covered"], 1.0),
        "hausdorff": _ratio(part["hausdorff"], part["matched"], none),
        "average_hausdorff": _ratio(part["average_hausdorff"], part["matched"], none),
        "average_hausdorff_penalised": _ratio(
            part["average_hausdorff_penalised"], part["n_truth"] + part["spurious"], 0.0
        ),
    }


def _ratio(part: Float64Array, whole: Float64Array, otherwise: npt.ArrayLike) -> Float64Array:
    """Divide; where the whole is 0, the answer is another. NaN stays."""
    divided = part / np.where(whole == 0, 1.0, whole)
    return np.where(whole == 0, otherwise, divided)
