"""Scores: all metrics of one image at once, and of several as one; what each of them is in a sentence.

Unlike in a mean over images, each nucleus weighs the same in a pooled figure (in the pixel metrics: each pixel).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from napari_nucleigan.metrics.agreement import (
    aji,
    aji_parts,
    aji_plus,
    aji_plus_parts,
    dice,
    dice_parts,
    overlaps,
    panoptic_quality,
)
from napari_nucleigan.metrics.distances import hausdorff as hausdorff_distances

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_nucleigan.labels.regions import Float64Array, LabelArray
    from napari_nucleigan.metrics.agreement import Overlaps
    from napari_nucleigan.metrics.distances import HausdorffDistances


@dataclass(frozen=True, slots=True)
class Scores:
    """How well the predicted nuclei of one image agree with the true ones.

    Attributes
    ----------
    aji, aji_plus : float
        Aggregated Jaccard index of MoNuSeg, and with pairs one to one; 0 to 1.
    dq, sq, pq : float
        Detection, segmentation and panoptic quality at IoU above the threshold (0.5 where no other
        is asked for); 0 to 1.
    f1, precision, recall : float
        Of objects, at that IoU; F1 is DQ by another name.
    dice : float
        Of pixels; 0 to 1.
    hausdorff, average_hausdorff : float or None
        Means over the matched true nuclei in pixels; None where none is matched, or where the
        distances were not asked for.
    average_hausdorff_penalised : float or None
        The same with missed and spurious nuclei charged; None where not asked for.
    n_truth, n_pred : int
        True and predicted nuclei.
    tp, fp, fn : int
        Pairs, spurious predictions and missed nuclei at that IoU.
    matched, missed, spurious : int or None
        True nuclei that some prediction overlaps or none does, and predictions that are no true
        nucleus's match: what the distances are made of.
    """

    aji: float
    aji_plus: float
    dq: float
    sq: float
    pq: float
    f1: float
    precision: float
    recall: float
    dice: float
    hausdorff: float | None
    average_hausdorff: float | None
    average_hausdorff_penalised: float | None
    n_truth: int
    n_pred: int
    tp: int
    fp: int
    fn: int
    matched: int | None
    missed: int | None
    spurious: int | None

    def to_json(self) -> dict[str, float | int | None]:
        """Represent the scores as a dictionary of numbers."""
        return asdict(self)


def evaluate(
    truth: LabelArray, pred: LabelArray, hausdorff: bool = True, table: Overlaps | None = None, iou: float = 0.5
) -> Scores:
    """Measure everything.

    Parameters
    ----------
    truth, pred : ndarray of int, same shape (H, W)
        Label images: 0 is background, every other value one nucleus.
    hausdorff : bool
        Whether to measure the distances, which cost most of the time.
    table : Overlaps, optional
        Their overlaps, where they are known already.
    iou : float
        What the IoU of a pair has to be above, at least 0 and below 1.

    Returns
    -------
    Scores

    Raises
    ------
    LabelsError
        If the shapes differ, or an image is not of integers or holds negative ones.
    ValueError
        If `iou` is out of range.
    """
    table = overlaps(truth, pred) if table is None else table
    return combine(table, hausdorff_distances(truth, pred, table) if hausdorff else None, iou)


def combine(table: Overlaps, distances: HausdorffDistances | None, iou: float = 0.5) -> Scores:
    """Score a table of overlaps, with the distances where they are measured."""
    quality = panoptic_quality(table, iou)
    names = {"hausdorff": "hausdorff", "average_hausdorff": "average", "average_hausdorff_penalised": "penalised"}
    names |= {name: name for name in ("matched", "missed", "spurious")}
    measured: dict[str, Any] = {ours: getattr(distances, theirs, None) for ours, theirs in names.items()}
    return Scores(
        aji=aji(table),
        aji_plus=aji_plus(table),
        f1=quality.dq,
        dice=dice(table),
        n_truth=table.n_truth,
        n_pred=table.n_pred,
        **asdict(quality),
        **measured,
    )


@dataclass(frozen=True, slots=True)
class Definition:
    """A figure, for people.

    Attributes
    ----------
    heading : str
        Its short name.
    text : str
        What it is. The exact definition is on the page on metrics of the documentation.
    unit : str
        ``"px"`` for distances, else empty.
    better : {"higher", "lower", ""}
        Which way is better; empty for plain counts.
    """

    heading: str
    text: str
    unit: str = ""
    better: Literal["higher", "lower", ""] = "higher"


DEFINITIONS: dict[str, Definition] = {
    "aji": Definition(
        "AJI",
        "Aggregated Jaccard index of MoNuSeg: each true nucleus takes the prediction of best IoU (several may take the "
        "same); shared pixels over all pixels of these unions, of missed nuclei and of predictions that none took. "
        "0 to 1.",
    ),
    "aji_plus": Definition(
        "AJI+",
        "Aggregated Jaccard index with nuclei and predictions paired one to one, for the largest sum of IoU. 0 to 1.",
    ),
    "dq": Definition("DQ", "Detection quality: pairs / (pairs + half of spurious + half of missed); the object F1."),
    "sq": Definition("SQ", "Segmentation quality: mean IoU of the pairs. 0 to 1."),
    "pq": Definition("PQ", "Panoptic quality: detection quality times segmentation quality. 0 to 1."),
    "f1": Definition("F1", "Object F1: harmonic mean of precision and recall of nuclei. 0 to 1."),
    "precision": Definition("Precision", "Part of the predictions that are paired with a true nucleus. 0 to 1."),
    "recall": Definition("Recall", "Part of the true nuclei that are paired with a prediction. 0 to 1."),
    "dice": Definition(
        "Dice", "Of pixels, whichever nucleus they belong to: twice the shared foreground over the sum of both. 0 to 1."
    ),
    "hausdorff": Definition(
        "HD",
        "Hausdorff distance: the largest distance from a pixel of either nucleus to the other, in pixels; mean over "
        "the true nuclei that a prediction overlaps. Missed and spurious nuclei do not count.",
        "px",
        "lower",
    ),
    "average_hausdorff": Definition(
        "AHD",
        "Average Hausdorff distance: the mean distance from the pixels of either nucleus to the other, in pixels; mean "
        "over the true nuclei that a prediction overlaps. Missed and spurious nuclei do not count.",
        "px",
        "lower",
    ),
    "average_hausdorff_penalised": Definition(
        "AHDp",
        "Average Hausdorff distance in pixels, penalised: a missed or spurious nucleus is charged its diameter, and no "
        "nucleus more than that. Mean over all of them.",
        "px",
        "lower",
    ),
    "n_truth": Definition("True", "Number of true nuclei.", better=""),
    "n_pred": Definition("Found", "Number of predicted nuclei.", better=""),
    "tp": Definition("TP", "Pairs: a true nucleus and a prediction whose IoU is above the threshold."),
    "fp": Definition("FP", "Predictions that are not paired.", better="lower"),
    "fn": Definition("FN", "True nuclei that are not paired.", better="lower"),
    "matched": Definition("Matched", "True nuclei that a prediction overlaps, if only by a pixel."),
    "missed": Definition("Missed", "True nuclei that no prediction overlaps.", better="lower"),
    "spurious": Definition(
        "Spurious", "Predictions that are not the best overlap of any true nucleus.", better="lower"
    ),
}
"""By the name that a figure has in `Scores`."""


COUNTS = ("n_truth", "n_pred", "tp", "fp", "fn", "matched", "missed", "spurious")
"""Figures of `Scores` that are numbers of nuclei."""

_SUMS = (
    *COUNTS,
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
    sums: dict[str, float | None] = {name: getattr(scores, name) for name in COUNTS}
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
    return Scores(**figures, **{name: counts[name] for name in COUNTS})  # type: ignore[arg-type]


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
