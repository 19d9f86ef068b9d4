"""All metrics of one image at once."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from napari_nucleigan.metrics.agreement import aji, aji_plus, dice, panoptic_quality
from napari_nucleigan.metrics.distances import HausdorffDistances
from napari_nucleigan.metrics.distances import hausdorff as hausdorff_distances
from napari_nucleigan.metrics.table import concatenate, overlaps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_nucleigan.metrics.table import LabelArray, Overlaps


@dataclass(frozen=True, slots=True)
class Scores:
    """How well the predicted nuclei of one image agree with the true ones.

    Attributes
    ----------
    aji, aji_plus : float
        Aggregated Jaccard index of MoNuSeg, and with pairs one to one; 0 to 1.
    dq, sq, pq : float
        Detection, segmentation and panoptic quality at IoU above 0.5; 0 to 1.
    f1, precision, recall : float
        Of objects, at IoU above 0.5; F1 is DQ by another name.
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
        Pairs, spurious predictions and missed nuclei at IoU above 0.5.
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


def evaluate(truth: LabelArray, pred: LabelArray, hausdorff: bool = True, table: Overlaps | None = None) -> Scores:
    """Measure everything.

    Parameters
    ----------
    truth, pred : ndarray of int, same shape (H, W)
        Label images: 0 is background, every other value one nucleus.
    hausdorff : bool
        Whether to measure the distances, which cost most of the time.
    table : Overlaps, optional
        Their overlaps, where they are known already.

    Returns
    -------
    Scores

    Raises
    ------
    LabelsError
        If the shapes differ, or an image is not of integers or holds negative ones.
    """
    table = overlaps(truth, pred) if table is None else table
    return _scores(table, hausdorff_distances(truth, pred, table) if hausdorff else None)


def pool(images: Sequence[tuple[Overlaps, Scores]]) -> Scores:
    """Score the nuclei of several images as if they lay in one.

    Unlike the mean over images, each nucleus weighs the same here (in the pixel metrics: each
    pixel).

    Parameters
    ----------
    images : sequence of (Overlaps, Scores)
        The table of each image, and what `evaluate` found.

    Returns
    -------
    Scores
        Its distances are None where those of any image are not measured.
    """
    distances = None
    scores = [found for _, found in images]
    if all(found.matched is not None for found in scores):
        matched = [found.matched or 0 for found in scores]
        spurious = [found.spurious or 0 for found in scores]
        charged = [found.n_truth + more for found, more in zip(scores, spurious, strict=True)]
        distances = HausdorffDistances(
            hausdorff=_weighted([found.hausdorff for found in scores], matched, charged),
            average=_weighted([found.average_hausdorff for found in scores], matched, charged),
            penalised=_weighted([found.average_hausdorff_penalised for found in scores], charged) or 0.0,
            matched=sum(matched),
            missed=sum(found.missed or 0 for found in scores),
            spurious=sum(spurious),
        )
    return _scores(concatenate([table for table, _ in images]), distances)


def _weighted(values: Sequence[float | None], weights: Sequence[int], nuclei: Sequence[int] = ()) -> float | None:
    """Weighted mean; without any weight 0 if there are no nuclei, else None."""
    if not sum(weights):
        return None if sum(nuclei) else 0.0
    pairs = zip(values, weights, strict=True)
    return sum(value * weight for value, weight in pairs if value is not None) / sum(weights)


def _scores(table: Overlaps, distances: HausdorffDistances | None) -> Scores:
    quality = panoptic_quality(table)
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
