"""Scores: all metrics of one image at once, and what each of them is in a sentence."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from napari_nucleigan.metrics.agreement import aji, aji_plus, dice, panoptic_quality
from napari_nucleigan.metrics.distances import hausdorff as hausdorff_distances
from napari_nucleigan.metrics.table import overlaps

if TYPE_CHECKING:
    from napari_nucleigan.labels.regions import LabelArray
    from napari_nucleigan.metrics.distances import HausdorffDistances
    from napari_nucleigan.metrics.table import Overlaps


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
