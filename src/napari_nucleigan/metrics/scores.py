"""All metrics of one image at once."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

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
    return Scores(
        aji=aji(table),
        aji_plus=aji_plus(table),
        dq=quality.dq,
        sq=quality.sq,
        pq=quality.pq,
        f1=quality.dq,
        precision=quality.precision,
        recall=quality.recall,
        dice=dice(table),
        hausdorff=distances.hausdorff if distances else None,
        average_hausdorff=distances.average if distances else None,
        average_hausdorff_penalised=distances.penalised if distances else None,
        n_truth=table.n_truth,
        n_pred=table.n_pred,
        tp=quality.tp,
        fp=quality.fp,
        fn=quality.fn,
        matched=distances.matched if distances else None,
        missed=distances.missed if distances else None,
        spurious=distances.spurious if distances else None,
    )
