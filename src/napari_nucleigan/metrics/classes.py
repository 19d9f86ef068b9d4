"""Metrics of how well nuclei get their classes: confusion, F1 and panoptic quality of each class.

Nuclei are paired first, whatever their classes, and then the classes of each pair are compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from napari_nucleigan.metrics.agreement import Overlaps, pairs_above
from napari_nucleigan.metrics.assignment import assign

if TYPE_CHECKING:
    from napari_nucleigan.labels.regions import Float64Array, Int64Array

RADIUS = 6.0
"""Microns within which a point is that of a true nucleus, where nothing else is asked for."""


@dataclass(frozen=True, eq=False)
class ClassTally:
    """What an image, or several, add to the figures of classes.

    Attributes
    ----------
    names : tuple of str
        The classes.
    confusion : ndarray of int64, shape (k + 1, k + 1)
        Nuclei by true class (rows) and predicted class (columns). The last column counts true nuclei that no prediction
        was paired with, the last row predictions without a true nucleus.
    iou : ndarray of float64, shape (k,), or None
        Sum of the IoU of pairs of which both have this class; None where nuclei are points.
    """

    names: tuple[str, ...]
    confusion: Int64Array
    iou: Float64Array | None

    @property
    def scores(self) -> tuple[ClassScores, ...]:
        """The figures of each class."""
        found = []
        for place, name in enumerate(self.names):
            tp = int(self.confusion[place, place])
            n_truth, n_pred = int(self.confusion[place].sum()), int(self.confusion[:, place].sum())
            half = (n_truth + n_pred) / 2
            found.append(
                ClassScores(
                    name=name,
                    n_truth=n_truth,
                    n_pred=n_pred,
                    tp=tp,
                    precision=tp / n_pred if n_pred else None,
                    recall=tp / n_truth if n_truth else None,
                    f1=tp / half if half else None,
                    pq=float(self.iou[place]) / half if half and self.iou is not None else None,
                )
            )
        return tuple(found)

    @property
    def weighted_f1(self) -> float | None:
        """Mean of F1 over the classes that the truth has, each with the weight of its true nuclei."""
        known = [(each.f1, each.n_truth) for each in self._averaged if each.f1 is not None]
        return sum(f1 * count for f1, count in known) / sum(count for _, count in known) if known else None

    @property
    def mean_f1(self) -> float | None:
        """Mean of F1 over the classes that the truth has, each of the same weight."""
        return _mean(each.f1 for each in self._averaged)

    @property
    def mean_pq(self) -> float | None:
        """Mean of PQ over the classes that the truth has: of one image PanNuke's mPQ, of all as one CoNIC's mPQ+."""
        return _mean(each.pq for each in self._averaged)

    @property
    def _averaged(self) -> list[ClassScores]:
        """The classes that the truth has; to have none, whose name is empty, is no class."""
        return [each for each in self.scores if each.n_truth and each.name]

    @property
    def accuracy(self) -> float | None:
        """Part of the pairs whose classes are the same."""
        pairs = self.confusion[:-1, :-1]
        return float(np.trace(pairs) / pairs.sum()) if pairs.any() else None


@dataclass(frozen=True, slots=True)
class ClassScores:
    r"""The figures of one class.

    Attributes
    ----------
    name : str
    n_truth, n_pred, tp : int
        True nuclei and predictions of this class, and pairs of which both have it.
    precision, recall : float or None
        ``tp`` over predictions and over true nuclei; None where there are none.
    f1 : float or None
        :math:`2 TP / (n_{truth} + n_{pred})`: a nucleus counts that was found and got its class; None where the class
        is nowhere.
    pq : float or None
        Panoptic quality of the nuclei of this class alone: the sum of the IoU of its pairs over
        :math:`TP + FP / 2 + FN / 2`; None where the class is nowhere, and of points.
    """

    name: str
    n_truth: int
    n_pred: int
    tp: int
    precision: float | None
    recall: float | None
    f1: float | None
    pq: float | None


def tally_overlaps(
    table: Overlaps,
    truth: Sequence[str],
    pred: Sequence[str],
    names: Sequence[str] | None = None,
    threshold: float = 0.5,
) -> ClassTally:
    """Compare the classes of nuclei whose IoU is above a threshold.

    At 0.5 and above a nucleus has one partner at most, so that the pairs of one class are those that would be found if
    the nuclei of that class were looked at alone, as the multi-class PQ of PanNuke [1]_ and CoNIC [2]_ does.

    Parameters
    ----------
    table : Overlaps
        From `napari_nucleigan.metrics.overlaps`.
    truth, pred : sequence of str
        Class of each true nucleus and of each prediction, in the order of ``truth_ids`` and ``pred_ids``.
    names : sequence of str, optional
        The classes, in the order that is wanted; by default those of the truth and of the predictions, by name.
    threshold : float
        What the IoU has to be above.

    Returns
    -------
    ClassTally

    Raises
    ------
    ValueError
        If a class is not among the names, or the threshold is out of range.

    References
    ----------
    .. [1] J. Gamper et al., PanNuke Dataset Extension, Insights and Baselines, arXiv:2003.10778, 2020.
    .. [2] S. Graham et al., CoNIC: Colon Nuclei Identification and Counting Challenge 2022, arXiv:2111.14485, 2021.
    """
    pairs = pairs_above(table, threshold)
    names, true, found = _codes(truth, pred, names)
    rows, columns = table.truth_index[pairs], table.pred_index[pairs]
    right = true[rows] == found[columns]
    iou = np.bincount(true[rows][right], weights=table.ious[pairs][right], minlength=len(names)).astype(np.float64)
    return ClassTally(tuple(names), _confusion(true, found, rows, columns, len(names)), iou)


def tally_points(
    truth_points: npt.NDArray[np.floating[Any]],
    pred_points: npt.NDArray[np.floating[Any]],
    truth: Sequence[str],
    pred: Sequence[str],
    names: Sequence[str] | None = None,
    radius: float = RADIUS,
) -> ClassTally:
    """Compare the classes of nuclei that are known as points.

    A true point and a prediction within the radius can be a pair. As many pairs are made, one to one, as can be; of
    several such sets the one whose distances add up to the least.

    Parameters
    ----------
    truth_points, pred_points : ndarray of float, shapes (n, 2) and (m, 2)
        Where they are, in the unit of the radius.
    truth, pred : sequence of str
        Class of each.
    names : sequence of str, optional
        As for `tally_overlaps`.
    radius : float
        Largest distance of a pair.

    Returns
    -------
    ClassTally

    Raises
    ------
    ValueError
        If a class is not among the names.
    """
    names, true, found = _codes(truth, pred, names)
    rows, columns = match_points(truth_points, pred_points, radius)
    return ClassTally(tuple(names), _confusion(true, found, rows, columns, len(names)), None)


def match_points(
    truth: npt.NDArray[np.floating[Any]], pred: npt.NDArray[np.floating[Any]], radius: float
) -> tuple[Int64Array, Int64Array]:
    """Pair points as `tally_points` says; return the places of both partners of each pair."""
    nothing = np.zeros(0, np.int64)
    if not len(truth) or not len(pred):
        return nothing, nothing
    near = cKDTree(truth).sparse_distance_matrix(cKDTree(pred), radius, output_type="ndarray")
    rows, columns, distances = near["i"].astype(np.int64), near["j"].astype(np.int64), near["v"]
    # A pair more outweighs what all others can gain in distance.
    gain = min(len(truth), len(pred)) + 1.0 + 1 - distances / (radius or 1.0)
    chosen = assign(rows, columns, (len(truth), len(pred)), gain)
    return rows[chosen], columns[chosen]


def pool_classes(tallies: Iterable[ClassTally]) -> ClassTally:
    """Add tallies of the same classes up, as if all nuclei lay in one image.

    Raises
    ------
    ValueError
        If there is none, or their classes differ.
    """
    tallies = list(tallies)
    if len({each.names for each in tallies}) != 1:
        raise ValueError("tallies of the same classes are needed, and one at least")
    sums = [each.iou for each in tallies if each.iou is not None]
    iou = np.sum(sums, axis=0) if len(sums) == len(tallies) else None
    return ClassTally(tallies[0].names, np.sum([each.confusion for each in tallies], axis=0), iou)


def _codes(
    truth: Sequence[str], pred: Sequence[str], names: Sequence[str] | None
) -> tuple[Sequence[str], Int64Array, Int64Array]:
    names = sorted({*truth, *pred}) if names is None else names
    known = {name: place for place, name in enumerate(names)}
    if unknown := ({*truth, *pred} - known.keys()):
        raise ValueError(f"not among the classes: {', '.join(sorted(unknown))}")
    true, found = (np.array([known[name] for name in side], dtype=np.int64) for side in (truth, pred))
    return names, true, found


def _confusion(true: Int64Array, found: Int64Array, rows: Int64Array, columns: Int64Array, count: int) -> Int64Array:
    table = np.zeros((count + 1, count + 1), np.int64)
    np.add.at(table, (true[rows], found[columns]), 1)
    table[:count, count] = np.bincount(true, minlength=count) - table[:count].sum(axis=1)
    table[count, :count] = np.bincount(found, minlength=count) - table[:count, :count].sum(axis=0)
    return table


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
