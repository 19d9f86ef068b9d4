"""Inspection of every single nucleus: outcomes, distances, a picture, figures by size and by density.

The outcomes are defined on the page on metrics of the documentation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_nucleigan.base.errors import LabelsError
from napari_nucleigan.labels.regions import (
    Float64Array,
    Int64Array,
    LabelArray,
    Regions,
    Runs,
    local_density,
    regions,
    runs,
)
from napari_nucleigan.metrics.agreement import Overlaps, pairs_above, tabulate
from napari_nucleigan.metrics.distances import pair_distances, summarise
from napari_nucleigan.metrics.nuclei import Nuclei
from napari_nucleigan.metrics.outcomes import (
    MATCHED,
    OUTCOMES,
    Bins,
    NucleusOutcomes,
    binned,
    find_outcomes,
    join_rows,
    paint_outcomes,
)
from napari_nucleigan.metrics.scores import Scores, combine

IOU_RANGE = (0.05, 0.95)
"""IoU thresholds that `inspect` takes."""

DENSITY_RADIUS = 50.0
"""Within how many microns neighbours are counted."""

_MPP = 0.25  # of images of unknown scale, for the radius of the density only


@dataclass(frozen=True, eq=False)
class Inspection:
    """What `inspect` found.

    Attributes
    ----------
    scores : Scores
        All metrics, those of objects at the IoU threshold.
    nuclei : Nuclei
        Every nucleus, in rows.
    picture : ndarray of int32, shape (H, W)
        `Nuclei.id` of each pixel; 0 for background. Each row has at least one pixel.
    iou : float
        The threshold.
    mpp : float or None
        Microns per pixel, as given.
    truth, pred : ndarray of int, shape (H, W)
        Copies of the label images.
    table : Overlaps
        Their overlaps.
    """

    scores: Scores
    nuclei: Nuclei
    picture: npt.NDArray[np.int32]
    iou: float
    mpp: float | None
    truth: LabelArray
    pred: LabelArray
    table: Overlaps
    _events: NucleusOutcomes
    _sides: tuple[Regions, Regions]
    _density: tuple[Float64Array, Float64Array]
    _distances: dict[tuple[int, int], tuple[float, float]]

    @cached_property
    def counts(self) -> dict[str, int]:
        """Number of rows of each outcome."""
        found = np.bincount(self.nuclei.outcome, minlength=len(OUTCOMES))
        return dict(zip(OUTCOMES, found.tolist(), strict=True))

    @cached_property
    def contours(self) -> npt.NDArray[np.int32]:
        """Row of each pixel on the border of a true nucleus, shape (H, W); 0 elsewhere."""
        border = np.zeros(self.truth.shape, np.bool_)
        for axis in (0, 1):
            a, b = np.moveaxis(self.truth, axis, 0), np.moveaxis(border, axis, 0)
            differs = a[1:] != a[:-1]
            b[1:] |= differs
            b[:-1] |= differs
        rows = np.zeros(self.truth.shape, np.int32)
        at = np.flatnonzero(border & (self.truth > 0))
        order = np.argsort(self.table.truth_ids)
        place = order[np.searchsorted(self.table.truth_ids[order], self.truth.ravel()[at])]
        rows.ravel()[at] = self._events.truth_rows[place] + 1
        return rows

    def nucleus(self, value: int) -> dict[str, Any]:
        """Return the row of a value of the picture, as `Nuclei.record` does."""
        return self.nuclei.record(value - 1)

    def worst(self, n: int | None = None) -> npt.NDArray[np.int32]:
        """Rows by rising IoU, of equal IoU the larger nuclei first; the first `n`, or all."""
        order = np.lexsort([-self.nuclei.area, self.nuclei.iou])
        return self.nuclei.id[order[:n]]

    def by_size(self, edges: int | Sequence[float] = 5) -> Bins:
        """Score small and large nuclei apart.

        Parameters
        ----------
        edges : int or sequence of float
            Rising borders of the bins in pixels; or how many bins, of about equally many true nuclei.

        Returns
        -------
        Bins
        """
        return self._binned(self._sides[0].areas, self._sides[1].areas, edges)

    def by_density(self, edges: int | Sequence[float] = 5) -> Bins:
        """Score nuclei that lie apart and in crowds; as `by_size`, for `Nuclei.density`."""
        return self._binned(*self._density, edges)

    def _binned(
        self, truth: Float64Array | Int64Array, pred: Float64Array | Int64Array, edges: int | Sequence[float]
    ) -> Bins:
        found = self._events
        matched = found.outcomes == MATCHED
        ious = self.nuclei.iou[found.truth_rows]
        return binned(truth, pred, matched[found.truth_rows], matched[found.pred_rows], ious, edges)


def inspect(
    truth: LabelArray,
    pred: LabelArray,
    iou: float = 0.5,
    mpp: float | None = None,
    hausdorff: bool = True,
    previous: Inspection | None = None,
) -> Inspection:
    """Compare predicted nuclei with true ones, one by one.

    Parameters
    ----------
    truth, pred : ndarray of int, same shape (H, W)
        Label images: 0 is background, every other value one nucleus.
    iou : float
        What the IoU of a pair has to be above, 0.05 to 0.95. Below 0.5 pairs are made as `pairs_above` does.
    mpp : float, optional
        Microns per pixel, which says how far 50 µm are; 0.25 where not given.
    hausdorff : bool
        Whether to measure the distances, which cost most of the time.
    previous : Inspection, optional
        Of the images before some pixels were changed: distances of nuclei that are as before are taken from it. The
        result is the same as without.

    Returns
    -------
    Inspection

    Raises
    ------
    LabelsError
        If the shapes differ, or an image is not 2-D, not of integers, or holds negative ones.
    ValueError
        If `iou` is out of range.
    """
    if not IOU_RANGE[0] <= iou <= IOU_RANGE[1]:
        raise ValueError(f"the IoU threshold must be {IOU_RANGE[0]} to {IOU_RANGE[1]}, not {iou}")
    truth, pred = np.array(truth), np.array(pred)
    cut = runs(truth, pred)
    if len(cut.shape) != 2:
        raise LabelsError(f"Label images of one plane are compared, not of shape {cut.shape}; choose a plane.")
    table = tabulate(cut)
    matched = pairs_above(table, iou)
    found = find_outcomes(table, matched)
    picture, found = _picture(cut, found)
    best = _best_pairs(table, found, matched)
    sides = regions(cut, cut.truth, table.n_truth), regions(cut, cut.pred, table.n_pred)
    distances: dict[tuple[int, int], tuple[float, float]] = {}
    summary = None
    if hausdorff:
        wanted = np.union1d(table.closest, best[best >= 0])
        distances = _distances((truth, pred), table, wanted, sides, previous)
        values = np.array([distances[pair] for pair in _ids(table, table.closest)]).reshape(-1, 2)
        summary = summarise(table, values[:, 0], values[:, 1])
    radius = DENSITY_RADIUS / (mpp or _MPP)
    centres = sides[0].centres
    density = (
        local_density(centres, centres, radius, cut.shape),
        local_density(sides[1].centres, centres, radius, cut.shape),
    )
    return Inspection(
        scores=combine(table, summary, iou),
        nuclei=_nuclei(table, found, best, sides, density, distances),
        picture=picture,
        iou=iou,
        mpp=mpp,
        truth=truth,
        pred=pred,
        table=table,
        _events=found,
        _sides=sides,
        _density=density,
        _distances=distances,
    )


def _picture(cut: Runs, found: NucleusOutcomes) -> tuple[npt.NDArray[np.int32], NucleusOutcomes]:
    """Paint the rows; those that cannot be seen are joined with others."""
    first = np.concatenate([[0], found.truth_rows + 1])[cut.truth]
    second = np.concatenate([[0], found.pred_rows + 1])[cut.pred]
    n = len(found.outcomes)
    apart = first != second
    areas = np.bincount(first, cut.lengths, n + 1) + np.bincount(second[apart], cut.lengths[apart], n + 1)
    # Errors lie above what is right, small above large: so most of both is to be seen.
    order = np.lexsort([-areas[1:], found.outcomes != MATCHED])
    ranks = np.zeros(n + 1, np.int64)
    ranks[1 + order] = np.arange(1, n + 1)
    picture, hidden = paint_outcomes(cut, first, second, ranks)
    if not hidden:
        return picture, found
    into = np.arange(n)
    for row in hidden:
        into[row - 1] = picture.ravel()[cut.starts[(first == row) | (second == row)][0]] - 1
    found, rows = join_rows(found, into)
    return np.concatenate([[0], rows + 1]).astype(np.int32)[picture], found


def _best_pairs(table: Overlaps, found: NucleusOutcomes, matched: Int64Array) -> Int64Array:
    """For each row the pair that its IoU and distances are of; -1 where its nuclei meet none."""
    best = np.full(len(found.outcomes), -1)
    rising = np.lexsort([table.intersections, table.ious])
    # Of several writes to one place the last one stays: that of the largest IoU.
    for rows in (found.truth_rows[table.truth_index[rising]], found.pred_rows[table.pred_index[rising]]):
        beats = np.full(len(best), -1)
        beats[rows] = np.arange(len(rising))
        best = np.maximum(best, beats)
    best = np.where(best >= 0, rising[best] if len(rising) else -1, -1)
    best[found.truth_rows[table.truth_index[matched]]] = matched
    return best


def _ids(table: Overlaps, pairs: Int64Array) -> list[tuple[int, int]]:
    truth, pred = table.truth_ids[table.truth_index[pairs]], table.pred_ids[table.pred_index[pairs]]
    return list(zip(truth.tolist(), pred.tolist(), strict=True))


def _distances(
    images: tuple[LabelArray, LabelArray],
    table: Overlaps,
    pairs: Int64Array,
    sides: tuple[Regions, Regions],
    previous: Inspection | None,
) -> dict[tuple[int, int], tuple[float, float]]:
    """Hausdorff distances of pairs by their labels, known ones taken from before."""
    names = _ids(table, pairs)
    known: dict[tuple[int, int], tuple[float, float]] = {}
    if previous is not None and previous.truth.shape == images[0].shape:
        changed = _changed(previous.truth, images[0]), _changed(previous.pred, images[1])
        known = {
            pair: previous._distances[pair]
            for pair in names
            if pair in previous._distances and pair[0] not in changed[0] and pair[1] not in changed[1]
        }
    new = [place for place, name in enumerate(names) if name not in known]
    measured = pair_distances(*images, table, pairs[new], (sides[0].boxes, sides[1].boxes))
    return known | {names[place]: (a, b) for place, a, b in zip(new, *(m.tolist() for m in measured), strict=True)}


def _changed(before: LabelArray, now: LabelArray) -> set[int]:
    """Labels that have lost or gained pixels."""
    at = np.flatnonzero(before.ravel() != now.ravel())
    return set(before.ravel()[at].tolist()) | set(now.ravel()[at].tolist())


def _nuclei(
    table: Overlaps,
    found: NucleusOutcomes,
    best: Int64Array,
    sides: tuple[Regions, Regions],
    density: tuple[Float64Array, Float64Array],
    distances: dict[tuple[int, int], tuple[float, float]],
) -> Nuclei:
    n = len(found.outcomes)
    both = (found.truth_rows, sides[0], density[0]), (found.pred_rows, sides[1], density[1])
    boxes = np.tile([np.iinfo(np.int64).max, 0, np.iinfo(np.int64).max, 0], (n, 1))
    for rows, side, _ in both:
        for column, extreme in enumerate((np.minimum, np.maximum, np.minimum, np.maximum)):
            extreme.at(boxes[:, column], rows, side.boxes[:, column])
    # Of a row with true nuclei only these are described.
    truth_areas = np.bincount(found.truth_rows, sides[0].areas, n)
    areas, sums = np.zeros(n), np.zeros((n, 3))
    for rows, side, crowd in both:
        weights = np.where((truth_areas[rows] == 0) | (rows is found.truth_rows), side.areas, 0)
        areas += np.bincount(rows, weights, n)
        for column, values in enumerate((side.centres[:, 0], side.centres[:, 1], crowd)):
            sums[:, column] += np.bincount(rows, weights * values, n)
    row, column_, crowded = (sums / areas[:, None]).T
    paired = np.flatnonzero(best >= 0)
    iou, measured = np.zeros(n), np.full((n, 2), np.nan)
    iou[paired] = table.ious[best[paired]]
    if distances:
        measured[paired] = [distances[pair] for pair in _ids(table, best[paired])]
    return Nuclei(
        id=np.arange(1, n + 1, dtype=np.int32),
        outcome=found.outcomes,
        iou=iou,
        hausdorff=measured[:, 0],
        average_hausdorff=measured[:, 1],
        row=row,
        column=column_,
        boxes=boxes,
        area=areas.astype(np.int64),
        density=crowded,
        host=(found.hosts + 1).astype(np.int32),
        truth_ids=_members(found.truth_rows, table.truth_ids, n),
        pred_ids=_members(found.pred_rows, table.pred_ids, n),
    )


def _members(rows: Int64Array, ids: LabelArray, count: int) -> list[tuple[int, ...]]:
    members: list[list[int]] = [[] for _ in range(count)]
    for row, label in zip(rows.tolist(), ids.tolist(), strict=True):
        members[row].append(label)
    return [tuple(found) for found in members]
