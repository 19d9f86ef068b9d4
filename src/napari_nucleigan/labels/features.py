"""Measurements of nuclei: size, shape, place and stain, one row for each nucleus."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from napari_nucleigan import stains
from napari_nucleigan.base.errors import LabelsError
from napari_nucleigan.base.files import atomic_write
from napari_nucleigan.labels.checks import check_labels

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

Table = dict[str, npt.NDArray[Any]]
"""Columns of equal length by name."""

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_NEAR = ((-1, 0), (1, 0), (0, -1), (0, 1))
_CHAIN_ENDS: tuple[tuple[int, Literal["left", "right"]], ...] = ((0, "left"), (-1, "right"))
_DIAGONAL = ((-1, -1), (-1, 1), (1, -1), (1, 1))


def measure(
    labels: npt.NDArray[Any],
    rgb: npt.NDArray[np.uint8] | None = None,
    mpp: float | None = None,
    stain: stains.StainFit = stains.REFERENCE,
) -> Table:
    r"""Measure every nucleus.

    Parameters
    ----------
    labels : ndarray of integers, shape (H, W)
        0 is background; each nucleus has an integer of its own. They need not follow each other.
    rgb : ndarray of uint8, shape (H, W, 3), optional
        The H&E image, for the means of its stains.
    mpp : float, optional
        Microns per pixel. Lengths and areas then come in microns too.
    stain : StainFit, optional
        Stain vectors to unmix with. By default the project's fixed reference, so that images can be compared.

    Returns
    -------
    dict of str to ndarray, shape (n,)
        In ascending order of the labels:

        ``label``
            int64.
        ``area_px``, ``area_um2``
            Number of pixels, and that in square microns.
        ``centroid_y_px``, ``centroid_x_px``, ``centroid_y_um``, ``centroid_x_um``
            Mean row and column; the centre of the first pixel is (0, 0).
        ``equivalent_diameter_px``, ``equivalent_diameter_um``
            Diameter of the disc of the same area, :math:`\sqrt{4 A / \pi}`.
        ``perimeter_px``, ``perimeter_um``
            Length of the outline through the centres of the border pixels [1]_, as scikit-image has it.
        ``eccentricity``
            Of the ellipse with the same second moments: :math:`\sqrt{1 - \lambda_2 / \lambda_1}`; 0 for a circle.
        ``solidity``
            Pixels of the nucleus over pixels whose centre lies in the convex hull of its pixel centres; 1 if convex.
        ``haematoxylin_mean_od``, ``eosin_mean_od``
            Mean concentration of the stains in natural-log optical density, with `rgb`.

        Columns in microns are there with `mpp` only.

    Raises
    ------
    LabelsError
        If `labels` is no label image, or has another size than `rgb`.

    References
    ----------
    .. [1] K. Benkrid, D. Crookes, A. Benkrid, Design and FPGA implementation of a perimeter estimator, 2000.
    """
    labels = check_labels(labels)
    if rgb is not None and rgb.shape[:2] != labels.shape:
        raise LabelsError(
            f"The labels have {labels.shape[1]} x {labels.shape[0]} pixels and the image "
            f"{rgb.shape[1]} x {rgb.shape[0]}; they must be of one size."
        )
    values, index = _numbered(labels)
    lengths: Table = {}
    y, start, stop = _runs(index)
    nucleus = index[y, start].astype(np.int64)
    area, centroid_y, centroid_x, eccentricity = _moments(nucleus, y, start, stop, len(values))
    lengths["centroid_y"], lengths["centroid_x"] = centroid_y, centroid_x
    lengths["equivalent_diameter"] = np.sqrt(4 * area / np.pi)
    lengths["perimeter"] = _perimeter(index, len(values))
    table: Table = {"label": values, "area_px": area}
    if mpp:
        table["area_um2"] = area * mpp**2
    for name, length in lengths.items():
        table[f"{name}_px"] = length
        if mpp:
            table[f"{name}_um"] = length * mpp
    table["eccentricity"] = eccentricity
    table["solidity"] = area / _hull_pixels(nucleus, y, start, stop, len(values))
    if rgb is not None:
        table["haematoxylin_mean_od"], table["eosin_mean_od"] = _stain_means(index, rgb, stain, area)
    return table


def write_csv(path: str | Path, table: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write a table as CSV (UTF-8, comma, point), whole or not at all.

    Parameters
    ----------
    path : str or Path
        The file.
    table : mapping of str to ndarray, shape (n,)
        Columns. Floats are written with 8 digits, NaN as nothing.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    write_csv_parts(path, [table])


def write_csv_parts(path: str | Path, tables: Iterable[Mapping[str, npt.NDArray[Any]]]) -> None:
    """Write tables with the same columns as one, of which only one is held at a time.

    Parameters
    ----------
    path : str or Path
        The file.
    tables : iterable of mapping of str to ndarray, shape (n,)
        As for `write_csv`, one below the other.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        for number, table in enumerate(tables):
            if number == 0:
                writer.writerow(table)
            columns = [[_text(value) for value in np.asarray(column).tolist()] for column in table.values()]
            writer.writerows(zip(*columns, strict=True))


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.8g}" if np.isfinite(value) else ""
    return str(value)


def _numbered(labels: npt.NDArray[Any]) -> tuple[Ints, npt.NDArray[np.int32]]:
    """Labels in ascending order, and the image of their places in it from 1 on, with a border of background."""
    largest = int(labels.max())
    if largest <= max(10_000, 4 * labels.size):
        found = np.zeros(largest + 1, dtype=bool)
        found[labels.ravel()] = True
        found[0] = False
        values = np.flatnonzero(found)
        place = np.cumsum(found, dtype=np.int32) * found
        index = place[labels]
    else:
        values, inverse = np.unique(labels, return_inverse=True)
        has_background = int(values[0] == 0)
        values = values[has_background:].astype(np.int64)
        index = (inverse.reshape(labels.shape) + 1 - has_background).astype(np.int32)
    return values, np.pad(index, 1)


def _runs(index: npt.NDArray[np.int32]) -> tuple[Ints, Ints, Ints]:
    """Horizontal runs of one nucleus: row, first column and last column + 1, in the padded image."""
    change = index[:, 1:] != index[:, :-1]
    y, start = np.nonzero(change & (index[:, 1:] > 0))
    _, stop = np.nonzero(change & (index[:, :-1] > 0))
    return y, start + 1, stop + 1


def _totals(of: npt.NDArray[Any], weight: npt.NDArray[Any], count: int) -> Floats:
    totals: Floats = np.bincount(of, weight, minlength=count).astype(np.float64)
    return totals


def _moments(nucleus: Ints, y: Ints, start: Ints, stop: Ints, count: int) -> tuple[Ints, Floats, Floats, Floats]:
    """Area, centroid and eccentricity from runs."""

    def total(weight: npt.NDArray[Any]) -> Floats:
        return _totals(nucleus - 1, weight, count)

    length = stop - start
    area = total(length)
    middle = (start + stop - 1) / 2
    centre_y, centre_x = total(length * y) / area, total(length * middle) / area
    off_y, off_x = y - centre_y[nucleus - 1], middle - centre_x[nucleus - 1]
    yy = total(length * off_y**2) / area
    # A run of n pixels has the second moment n (n^2 - 1) / 12 about its own middle.
    xx = total(length * off_x**2 + length * (length**2 - 1) / 12) / area
    xy = total(length * off_y * off_x) / area
    half, spread = (yy + xx) / 2, np.hypot((yy - xx) / 2, xy)
    major = half + spread
    minor = np.maximum(half - spread, 0)
    eccentricity: Floats = np.sqrt(1 - np.divide(minor, major, out=np.ones_like(major), where=major > 1e-12))
    return area.astype(np.int64), centre_y - 1, centre_x - 1, eccentricity


def _perimeter(index: npt.NDArray[np.int32], count: int) -> Floats:
    """Perimeter by the neighbourhood of each border pixel."""
    width = index.shape[1]
    flat = index.ravel()
    inner = index[1:-1, 1:-1]
    edge = np.zeros(index.shape, dtype=bool)
    for dy, dx in _NEAR:
        edge[1:-1, 1:-1] |= inner != index[1 + dy : index.shape[0] - 1 + dy, 1 + dx : width - 1 + dx]
    edge &= index > 0
    # Nuclei on border pixels, 0 elsewhere: neighbours count where they are border of the same nucleus.
    border = np.where(edge, index, 0).ravel()
    place = np.flatnonzero(edge)
    own = flat[place]
    near = sum((border[place + dy * width + dx] == own).astype(np.int64) for dy, dx in _NEAR)
    diagonal = sum((border[place + dy * width + dx] == own).astype(np.int64) for dy, dx in _DIAGONAL)
    return _totals(own - 1, _LENGTHS[near, diagonal], count)


def _lengths() -> Floats:
    """Length of outline that a border pixel stands for, by its border neighbours beside and across."""
    table = np.zeros((5, 5))
    for length, pairs in (
        (1.0, ((2, 0), (3, 0), (2, 1), (3, 1), (2, 2), (3, 2))),
        (2**0.5, ((0, 2), (1, 3))),
        ((1 + 2**0.5) / 2, ((1, 1), (1, 2))),
    ):
        for near, diagonal in pairs:
            table[near, diagonal] = length
    return table


_LENGTHS = _lengths()


def _hull_pixels(nucleus: Ints, y: Ints, start: Ints, stop: Ints, count: int) -> Floats:
    r"""Count the pixel centres in the convex hull of each nucleus's pixel centres.

    By Pick's theorem a lattice polygon of area :math:`A` with :math:`B` lattice points on its border holds
    :math:`A + B / 2 + 1` of them. All nuclei are worked on at once.
    """
    # First and last pixel of each nucleus in each row.
    order = np.lexsort((y, nucleus))
    one, row, first, last = nucleus[order], y[order], start[order], stop[order] - 1
    new = np.flatnonzero(np.diff(one, prepend=0) | np.diff(row, prepend=-1))
    one, row = one[new], row[new]
    left = _chain(one, row, np.minimum.reduceat(first, new))
    right = _chain(one, row, -np.maximum.reduceat(last, new))
    twice_area, border = np.zeros(count + 1), np.zeros(count + 1)
    for of, ys, xs, sign in ((*left, -1), (*right, -1)):
        same = of[1:] == of[:-1]
        dy, dx = np.diff(ys)[same], np.diff(xs)[same]
        # Trapezoids between the chain and the axis x = 0.
        slab = (xs[1:] + xs[:-1])[same] * dy
        twice_area += sign * _totals(of[1:][same], slab, count + 1)
        border += _totals(of[1:][same], np.gcd(dy, dx), count + 1)
    # The level top and bottom sides lie between the ends of the chains.
    nuclei = np.arange(1, count + 1)
    for place, side in _CHAIN_ENDS:
        ends = [chain[2][np.searchsorted(chain[0], nuclei, side) + place] for chain in (left, right)]
        border[1:] += -ends[1] - ends[0]
    pixels: Floats = twice_area[1:] / 2 + border[1:] / 2 + 1
    return pixels


def _chain(one: Ints, y: Ints, x: Ints) -> tuple[Ints, Ints, Ints]:
    """Corners of the convex chain towards small x, for points sorted by nucleus and row.

    A point that does not lie beyond the line through its neighbours is no corner, so all such points can go at once;
    when none is left, the chain is convex.
    """
    while len(one) > 2:
        before_y, before_x = y[1:-1] - y[:-2], x[1:-1] - x[:-2]
        after_y, after_x = y[2:] - y[1:-1], x[2:] - x[1:-1]
        within = (one[2:] == one[:-2]) & (before_x * after_y >= after_x * before_y)
        if not within.any():
            break
        keep = np.concatenate([[True], ~within, [True]])
        one, y, x = one[keep], y[keep], x[keep]
    return one, y, x


def _stain_means(
    index: npt.NDArray[np.int32], rgb: npt.NDArray[np.uint8], stain: stains.StainFit, area: Ints
) -> tuple[Floats, Floats]:
    inner = index[1:-1, 1:-1]
    inside = inner > 0
    own = inner[inside] - 1
    amounts = stains.concentrations(rgb[inside][:, None], stain)[:, 0]
    return _totals(own, amounts[:, 0], len(area)) / area, _totals(own, amounts[:, 1], len(area)) / area
