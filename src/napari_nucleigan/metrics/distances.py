"""Hausdorff distances between true and predicted nuclei, in pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import distance_transform_edt, find_objects

from napari_nucleigan.labels.regions import checked, renumber
from napari_nucleigan.metrics.shapes import Shapes, apart
from napari_nucleigan.metrics.table import overlaps

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_nucleigan.labels.regions import Float64Array, Int64Array, LabelArray
    from napari_nucleigan.metrics.table import Overlaps

    Boxes = tuple[Int64Array, Int64Array]


@dataclass(frozen=True, slots=True)
class HausdorffDistances:
    """Distances per nucleus, averaged over the nuclei of an image, in pixels.

    Attributes
    ----------
    hausdorff : float or None
        Mean Hausdorff distance of the matched true nuclei; None where none is matched.
    average : float or None
        Mean average Hausdorff distance of the matched true nuclei; None where none is matched.
    penalised : float
        Mean over matched, missed and spurious nuclei alike; see `hausdorff`.
    matched, missed, spurious : int
        True nuclei with and without a prediction that overlaps them; predictions that no true
        nucleus is matched with.
    """

    hausdorff: float | None
    average: float | None
    penalised: float
    matched: int
    missed: int
    spurious: int


def hausdorff(truth: LabelArray, pred: LabelArray, table: Overlaps | None = None) -> HausdorffDistances:
    r"""Compare each true nucleus with the prediction that overlaps it most.

    With :math:`d(g, S)` the Euclidean distance of the centre of pixel :math:`g` to the nearest
    pixel of :math:`S`,

    .. math:: \mathrm{HD}(G, S) = \max\bigl(\max_{g \in G} d(g, S), \max_{s \in S} d(s, G)\bigr),
        \qquad \mathrm{AHD}(G, S) = \frac12 \Bigl(\frac{1}{|G|} \sum_{g \in G} d(g, S)
        + \frac{1}{|S|} \sum_{s \in S} d(s, G)\Bigr).

    All pixels count, not only those of the outline. Of two predictions of equal overlap the one of
    larger IoU is taken, then the one that comes first in the image. The penalised form charges a
    missed or spurious nucleus its equivalent diameter :math:`2 \sqrt{|G| / \pi}`, and a matched
    true nucleus no more than that:

    .. math:: \mathrm{AHD}_p = \frac{\sum_{matched} \min(\mathrm{AHD}_i, \delta_i)
        + \sum_{missed} \delta_i + \sum_{spurious} \delta_j}{n_{true} + n_{spurious}}.

    Parameters
    ----------
    truth, pred : ndarray of int, shape (H, W)
        Label images.
    table : Overlaps, optional
        Their overlaps, where they are known already.

    Returns
    -------
    HausdorffDistances
        All 0 for two empty images.

    Raises
    ------
    LabelsError
        As `overlaps` does.
    """
    checked(truth, pred)
    table = overlaps(truth, pred) if table is None else table
    pairs = table.closest
    return summarise(table, *pair_distances(truth, pred, table, pairs))


def pair_distances(
    truth: LabelArray, pred: LabelArray, table: Overlaps, pairs: Int64Array, boxes: Boxes | None = None
) -> tuple[Float64Array, Float64Array]:
    """Measure the Hausdorff and the average Hausdorff distance of each of some pairs of a table, in pixels.

    Boxes are those of the true nuclei and of the predictions, as `Regions.boxes`, where they are known already.
    """
    first, second = boxes or (_boxes(truth, table.truth_ids), _boxes(pred, table.pred_ids))
    true, predicted = Shapes(truth, table.truth_ids, first), Shapes(pred, table.pred_ids, second)
    maxima, averages = np.zeros(len(pairs)), np.zeros(len(pairs))
    for place, (i, j) in enumerate(_indices(table, pairs)):
        forth, back = apart(true, i, predicted, j)
        maxima[place] = max(forth.max(), back.max())
        averages[place] = (forth.mean() + back.mean()) / 2
    return maxima, averages


def summarise(table: Overlaps, maxima: Float64Array, averages: Float64Array) -> HausdorffDistances:
    """Average the distances of the pairs `Overlaps.closest` as `hausdorff` defines it."""
    pairs = table.closest
    charges = _diameters(table.truth_areas)
    charges[table.truth_index[pairs]] = np.minimum(averages, charges[table.truth_index[pairs]])
    alone = np.setdiff1d(np.arange(table.n_pred), table.pred_index[pairs])
    charges = np.concatenate([charges, _diameters(table.pred_areas[alone])])
    return HausdorffDistances(
        hausdorff=_mean(maxima, charges),
        average=_mean(averages, charges),
        penalised=float(charges.mean()) if len(charges) else 0.0,
        matched=len(pairs),
        missed=table.n_truth - len(pairs),
        spurious=len(alone),
    )


def sahasrabudhe_hausdorff(truth: LabelArray, pred: LabelArray, table: Overlaps | None = None) -> float | None:
    r"""Hausdorff distance as published with Sahasrabudhe et al., MICCAI 2020.

    For each true nucleus, the largest over all predictions that overlap it of
    :math:`\max_{g \in G} d(g, S \cap G)`; the mean over the true nuclei that any prediction
    overlaps. Missed and spurious nuclei, and what a prediction covers outside the nucleus, do not
    count.

    Parameters
    ----------
    truth, pred : ndarray of int, shape (H, W)
        Label images.
    table : Overlaps, optional
        Their overlaps, where they are known already.

    Returns
    -------
    float or None
        Pixels; 0 for two empty images, None where nothing overlaps.

    Raises
    ------
    LabelsError
        As `overlaps` does.
    """
    checked(truth, pred)
    table = overlaps(truth, pred) if table is None else table
    true = Shapes(truth, table.truth_ids, _boxes(truth, table.truth_ids))
    predicted = Shapes(pred, table.pred_ids, _boxes(pred, table.pred_ids))
    largest = np.full(table.n_truth, -1.0)
    for i, j in _indices(table, np.arange(len(table.intersections))):
        window = true.window(i)
        a = true.mask(i, window)
        largest[i] = max(largest[i], distance_transform_edt(~(a & predicted.mask(j, window)))[a].max())
    met = largest[largest >= 0]
    return _mean(met, np.zeros(table.n_truth + table.n_pred))


def _indices(table: Overlaps, pairs: Int64Array) -> Iterator[tuple[int, int]]:
    """Numbers of the two nuclei of each pair."""
    return zip(table.truth_index[pairs].tolist(), table.pred_index[pairs].tolist(), strict=True)


def _boxes(labels: LabelArray, ids: LabelArray) -> Int64Array:
    found = find_objects(renumber(labels, ids))
    return np.array([[edge for side in box for edge in (side.start, side.stop)] for box in found]).reshape(-1, 4)


def _diameters(areas: Int64Array) -> Float64Array:
    diameters: Float64Array = 2 * np.sqrt(areas / np.pi)
    return diameters


def _mean(values: Float64Array, nuclei: Float64Array) -> float | None:
    if len(values):
        return float(values.mean())
    return None if len(nuclei) else 0.0
