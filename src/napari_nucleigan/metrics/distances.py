"""Hausdorff distances between true and predicted nuclei, in pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import distance_transform_edt, find_objects

from napari_nucleigan.metrics.table import checked, overlaps, renumber

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from napari_nucleigan.metrics.table import Float64Array, Int64Array, LabelArray, Overlaps

    Boxes = tuple[Int64Array, Int64Array]
    Crops = Iterator[tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]]


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
    maxima, averages = np.zeros(len(pairs)), np.zeros(len(pairs))
    for i, (a, b) in enumerate(_crops(truth, pred, table, pairs, boxes)):
        forth, back = distance_transform_edt(~b)[a], distance_transform_edt(~a)[b]
        maxima[i] = max(forth.max(), back.max())
        averages[i] = (forth.mean() + back.mean()) / 2
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
    largest = np.full(table.n_truth, -1.0)
    every = np.arange(len(table.intersections))
    for i, (a, b) in zip(table.truth_index, _crops(truth, pred, table, every), strict=True):
        largest[i] = max(largest[i], distance_transform_edt(~(a & b))[a].max())
    met = largest[largest >= 0]
    return _mean(met, np.zeros(table.n_truth + table.n_pred))


def _crops(
    truth: LabelArray, pred: LabelArray, table: Overlaps, pairs: Int64Array, boxes: Boxes | None = None
) -> Crops:
    """Masks of the two nuclei of each pair, in the window that holds both."""
    first, second = boxes or (_boxes(truth, table.truth_ids), _boxes(pred, table.pred_ids))
    i, j = table.truth_index[pairs], table.pred_index[pairs]
    low, high = np.minimum(first[i, ::2], second[j, ::2]), np.maximum(first[i, 1::2], second[j, 1::2])
    for (top, left), (bottom, right), a, b in zip(
        low.tolist(), high.tolist(), table.truth_ids[i], table.pred_ids[j], strict=True
    ):
        window = slice(top, bottom), slice(left, right)
        yield truth[window] == a, pred[window] == b


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
