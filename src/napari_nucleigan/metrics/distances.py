"""Hausdorff distances between true and predicted nuclei, in pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree

from napari_nucleigan.labels.regions import check_pair, regions_of
from napari_nucleigan.metrics.agreement import overlaps

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from napari_nucleigan.labels.regions import Float64Array, Int64Array, LabelArray
    from napari_nucleigan.metrics.agreement import Overlaps

    Boxes = tuple[Int64Array, Int64Array]
    Window = tuple[slice, slice]

_WINDOW = 1 << 16  # up to so many pixels, all distances of a window are computed at once
_MANY = 1 << 14  # of a nucleus of more pixels than this
_SAMPLE = 1 << 11  # so many are looked at
_SIDE = 96  # up to this wide and high, windows are computed many at a time
_STEP = 8  # pixels by which windows that are computed together may differ
_TOGETHER = 1 << 17  # pixels of windows that are computed together
_NOWHERE = 1000  # rows to a nucleus of which a column has no pixel: farther than any


class NucleusMasks:
    """The nuclei of a label image, cut out as they are needed.

    Parameters
    ----------
    labels : ndarray of int, shape (H, W)
        The image.
    ids : ndarray of int, shape (n,)
        Label of each nucleus.
    boxes : ndarray of int64, shape (n, 4)
        First row, last row + 1, first column, last column + 1.
    """

    def __init__(self, labels: LabelArray, ids: LabelArray, boxes: Int64Array) -> None:
        self._labels, self._ids, self._boxes = labels, ids, boxes
        self._samples: dict[int, Int64Array] = {}
        self._trees: dict[int, cKDTree] = {}

    def window(self, nucleus: int, grown: int = 0) -> Window:
        """Box of a nucleus, with a border around it as far as the image goes."""
        top, bottom, left, right = self._boxes[nucleus].tolist()
        return slice(max(top - grown, 0), bottom + grown), slice(max(left - grown, 0), right + grown)

    def mask(self, nucleus: int, window: Window) -> npt.NDArray[np.bool_]:
        """Tell which pixels of a window are of a nucleus."""
        mask: npt.NDArray[np.bool_] = self._labels[window] == self._ids[nucleus]
        return mask

    def sample(self, nucleus: int) -> Int64Array:
        """Pixels of a nucleus; of a very large one some that are spread evenly. Shape (k, 2)."""
        if nucleus not in self._samples:
            points = self._points(nucleus)
            step = math.ceil(len(points) / _SAMPLE) if len(points) > _MANY else 1
            self._samples[nucleus] = points[::step]
        return self._samples[nucleus]

    def tree(self, nucleus: int) -> cKDTree:
        """Return all pixels of a nucleus, ready to be searched."""
        if nucleus not in self._trees:
            self._trees[nucleus] = cKDTree(self._points(nucleus))
        return self._trees[nucleus]

    def _points(self, nucleus: int) -> Int64Array:
        rows, columns = self.window(nucleus)
        found = np.nonzero(self.mask(nucleus, (rows, columns)))
        return np.stack([at + side.start for at, side in zip(found, (rows, columns), strict=True)], axis=1)


def pixel_distances(first: NucleusMasks, a: int, second: NucleusMasks, b: int) -> tuple[Float64Array, Float64Array]:
    """Measure how far the pixels of each of two nuclei are from the other nucleus.

    Parameters
    ----------
    first, second : NucleusMasks
        Nuclei of two images of one shape.
    a, b : int
        A nucleus of each; they have to share a pixel.

    Returns
    -------
    forth, back : ndarray of float64, shape (k,)
        For each pixel of the one the distance to the nearest pixel of the other. Of a nucleus of more than 16 384
        pixels that do not fit a window of 65 536, some 2 048 stand for all.
    """
    one, other = first.window(a), second.window(b)
    rows, columns = (slice(min(x.start, y.start), max(x.stop, y.stop)) for x, y in zip(one, other, strict=True))
    both = rows, columns
    if _area(both) <= _WINDOW:
        mine, theirs = first.mask(a, both), second.mask(b, both)
        return distance_transform_edt(~theirs)[mine], distance_transform_edt(~mine)[theirs]
    return _directed(first, a, second, b), _directed(second, b, first, a)


def _directed(first: NucleusMasks, a: int, second: NucleusMasks, b: int) -> Float64Array:
    found: Float64Array
    window = first.window(a)
    if _area(window) > _WINDOW:
        found = second.tree(b).query(first.sample(a))[0]
        return found
    # They share a pixel, so the nearest one is nowhere farther away than the box is wide.
    grown = first.window(a, math.ceil(math.hypot(*(side.stop - side.start for side in window))))
    found = distance_transform_edt(~second.mask(b, grown))[first.mask(a, grown)]
    return found


def _area(window: Window) -> int:
    return math.prod(side.stop - side.start for side in window)


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
    check_pair(truth, pred)
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
    maxima, averages = np.zeros(len(pairs)), np.zeros(len(pairs))
    one, other = table.truth_index[pairs], table.pred_index[pairs]
    corners = np.minimum(first[one][:, ::2], second[other][:, ::2])
    sizes = np.maximum(first[one][:, 1::2], second[other][:, 1::2]) - corners
    small = (sizes <= _SIDE).all(axis=1)
    flat = truth.ravel(), pred.ravel()
    for chosen, size in _alike(sizes, np.flatnonzero(small), truth.shape):
        at = _windows(corners[chosen], size, truth.shape)
        a = flat[0][at] == table.truth_ids[one[chosen], None, None]
        b = flat[1][at] == table.pred_ids[other[chosen], None, None]
        (far, mean), (back, mean_back) = _reach(a, b), _reach(b, a)
        maxima[chosen], averages[chosen] = np.maximum(far, back), (mean + mean_back) / 2
    true, predicted = NucleusMasks(truth, table.truth_ids, first), NucleusMasks(pred, table.pred_ids, second)
    for place in np.flatnonzero(~small).tolist():
        there, back = pixel_distances(true, int(one[place]), predicted, int(other[place]))
        maxima[place] = max(there.max(), back.max())
        averages[place] = (there.mean() + back.mean()) / 2
    return maxima, averages


def _alike(sizes: Int64Array, chosen: Int64Array, shape: tuple[int, ...]) -> Iterator[tuple[Int64Array, Int64Array]]:
    """Group windows of about the same size: their numbers, and the size that holds them all."""
    if not len(chosen):
        return
    rounded = np.minimum(-(-sizes[chosen] // _STEP) * _STEP, shape)
    order = np.lexsort(rounded.T)
    chosen, rounded = chosen[order], rounded[order]
    begins = np.flatnonzero(np.diff(rounded, axis=0, prepend=-1).any(axis=1))
    for begin, end in zip(begins.tolist(), [*begins[1:].tolist(), len(chosen)], strict=True):
        size = rounded[begin]
        most = max(1, _TOGETHER // int(size.prod()))
        for part in range(begin, end, most):
            yield chosen[part : min(part + most, end)], size


def _windows(corners: Int64Array, size: Int64Array, shape: tuple[int, ...]) -> Int64Array:
    """Flat places of the pixels of windows of one size, shape (k, h, w); at the border they begin a little before."""
    top, left = np.minimum(corners, np.subtract(shape, size)).T
    rows, columns = top[:, None] + np.arange(size[0]), left[:, None] + np.arange(size[1])
    places: Int64Array = rows[:, :, None] * shape[1] + columns[:, None, :]
    return places


def _reach(of: npt.NDArray[np.bool_], to: npt.NDArray[np.bool_]) -> tuple[Float64Array, Float64Array]:
    """Measure how far the pixels of nuclei are from others, window by window: the largest distance and the mean.

    The exact Euclidean distance in two steps, after Felzenszwalb and Huttenlocher (Theory of Computing 8:415-428,
    2012): within each column, then over the columns to either side, only as far as could still be nearer.
    """
    count, height, width = to.shape
    outside = np.ascontiguousarray(~to.transpose(1, 0, 2))  # by rows, which are gone through
    near = np.full(outside.shape, 2 * _NOWHERE, np.int16)
    for rows in (range(height), range(height - 1, -1, -1)):
        step = np.full((count, width), _NOWHERE, np.int16)
        for row in rows:
            step += 1
            step *= outside[row]
            np.minimum(near[row], step, out=near[row])
    squares = np.square(near.transpose(1, 0, 2), dtype=np.int32).ravel()
    places = np.flatnonzero(of)
    best, columns = squares[places], places % width
    aside, active = 1, np.flatnonzero(best > 1)
    while len(active):
        for way in (-aside, aside):
            inside = active[(columns[active] + way >= 0) & (columns[active] + way < width)]
            best[inside] = np.minimum(best[inside], squares[places[inside] + way] + aside**2)
        aside += 1
        active = active[best[active] > aside**2]
    distances = np.sqrt(best, dtype=np.float64)
    pixels = np.count_nonzero(of, axis=(1, 2))
    ends = np.cumsum(pixels)
    # One by one: sums of many at once are rounded otherwise.
    begins = ends - pixels
    sums = [distances[begin:end].sum() for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)]
    return np.maximum.reduceat(distances, begins), np.array(sums) / pixels


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

    Parameters and errors are those of `hausdorff`.

    Returns
    -------
    float or None
        Pixels; 0 for two empty images, None where nothing overlaps.
    """
    check_pair(truth, pred)
    table = overlaps(truth, pred) if table is None else table
    true = NucleusMasks(truth, table.truth_ids, _boxes(truth, table.truth_ids))
    predicted = NucleusMasks(pred, table.pred_ids, _boxes(pred, table.pred_ids))
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
    values, regions = regions_of(labels)
    return regions.boxes[np.searchsorted(values, ids)]


def _diameters(areas: Int64Array) -> Float64Array:
    diameters: Float64Array = 2 * np.sqrt(areas / np.pi)
    return diameters


def _mean(values: Float64Array, nuclei: Float64Array) -> float | None:
    if len(values):
        return float(values.mean())
    return None if len(nuclei) else 0.0
