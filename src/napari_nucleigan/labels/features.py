"""Measurements of nuclei: size, shape, place and stain, one row for each nucleus."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_nucleigan import stains
from napari_nucleigan.base import tables
from napari_nucleigan.base.errors import LabelsError
from napari_nucleigan.base.pixels import sides
from napari_nucleigan.labels.appearance import appearance
from napari_nucleigan.labels.neighbourhood import neighbourhood
from napari_nucleigan.labels.regions import Regions, check_labels, numbered

if TYPE_CHECKING:
    from napari_nucleigan.labels.measurements import Measurements

Table = dict[str, npt.NDArray[Any]]
"""Columns of equal length by name."""

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_NEAR = ((-1, 0), (1, 0), (0, -1), (0, 1))
_DIAGONAL = ((-1, -1), (-1, 1), (1, -1), (1, 1))


def measure(
    labels: npt.NDArray[Any],
    rgb: npt.NDArray[np.uint8] | None = None,
    mpp: float | None = None,
    stain: stains.StainFit = stains.REFERENCE,
    measurements: Measurements = "standard",
) -> Table:
    r"""Measure every nucleus.

    Parameters
    ----------
    labels : ndarray of integers, shape (H, W)
        0 is background; each nucleus has an integer of its own. They need not follow each other.
    rgb : ndarray of uint8, shape (H, W, 3), optional
        The H&E image, for the means of its stains.
    mpp : float, optional
        Microns per pixel, perhaps an `napari_nucleigan.base.pixels.Mpp`. Lengths and areas then come in microns too.
    stain : StainFit, optional
        Stain vectors to unmix with. By default the project's fixed reference, so that images can be compared.
    measurements : {"standard", "full"}
        With ``"full"``, which needs `mpp`, the columns of `napari_nucleigan.labels.appearance.appearance`, with `rgb`,
        and of `napari_nucleigan.labels.neighbourhood.neighbourhood` come behind those below.

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
        If `labels` is no label image, or has another size than `rgb`; or if all measurements are wanted without `mpp`.

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
    if measurements == "full" and not mpp:
        raise LabelsError("Texture and neighbourhood are measured in microns; give the microns per pixel.")
    values, index = numbered(labels)
    regions = Regions.of(index, len(values))
    area = regions.areas
    framed = np.pad(index, 1)
    lengths: Table = {}
    lengths["centroid_y"], lengths["centroid_x"] = regions.centres.T
    lengths["equivalent_diameter"] = np.sqrt(4 * area / np.pi)
    lengths["perimeter"] = _perimeter(framed, len(values))
    table: Table = {"label": values.astype(np.int64), "area_px": area}
    height, width = sides(mpp or 1.0)
    if mpp:
        table["area_um2"] = area * mpp**2
    for name, length in lengths.items():
        table[f"{name}_px"] = length
        if mpp:
            table[f"{name}_um"] = length * {"centroid_y": height, "centroid_x": width}.get(name, mpp)
    if mpp and height != width:
        table["perimeter_um"] = _crofton(framed, len(values), height, width)
    rows, columns, mixed = regions.second_moments()
    table["eccentricity"] = _eccentricity(rows * height**2, columns * width**2, mixed * height * width)
    table["solidity"] = area / regions.hull_pixels()
    full = measurements == "full" and mpp is not None
    if rgb is not None:
        if full:
            amounts = stains.concentrations(rgb, stain)
            of_pixels = amounts[index > 0]
        else:
            of_pixels = stains.concentrations(rgb[index > 0][:, None], stain)[:, 0]
        own = index[index > 0] - 1
        for name, amount in zip(("haematoxylin", "eosin"), of_pixels.T, strict=True):
            table[f"{name}_mean_od"] = _totals(own, amount, len(area)) / area
        if full:
            table |= appearance(index, len(values), amounts, mpp or 1.0)
    if full:
        place = np.stack(
            [(table[f"centroid_{axis}_px"] + 0.5) * side for axis, side in zip("yx", (height, width), strict=True)], 1
        )
        table |= neighbourhood(place, (labels.shape[0] * height, labels.shape[1] * width))
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


def write_csv_parts(path: str | Path, parts: Iterable[Mapping[str, npt.NDArray[Any]]]) -> None:
    """Write tables with the same columns as one, of which only one is held at a time.

    Parameters
    ----------
    path : str or Path
        The file.
    parts : iterable of mapping of str to ndarray, shape (n,)
        As for `write_csv`, one below the other. The first names the columns.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    rest = iter(parts)
    first = next(rest, {})
    columns = ([map(_text, np.asarray(column).tolist()) for column in table.values()] for table in chain([first], rest))
    tables.write_csv(path, first, chain.from_iterable(zip(*part, strict=True) for part in columns))


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.8g}" if np.isfinite(value) else ""
    return str(value)


def _totals(of: npt.NDArray[Any], weight: npt.NDArray[Any], count: int) -> Floats:
    totals: Floats = np.bincount(of, weight, minlength=count).astype(np.float64)
    return totals


def _eccentricity(rows: Floats, columns: Floats, mixed: Floats) -> Floats:
    half, spread = (rows + columns) / 2, np.hypot((rows - columns) / 2, mixed)
    major, minor = half + spread, np.maximum(half - spread, 0)
    eccentricity: Floats = np.sqrt(1 - np.divide(minor, major, out=np.ones_like(major), where=major > 1e-12))
    return eccentricity


def _perimeter(index: npt.NDArray[np.int32], count: int) -> Floats:
    """Perimeter by the neighbourhood of each border pixel, in an image with a frame of background."""
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


def _crofton(index: npt.NDArray[np.int32], count: int, height: float, width: float) -> Floats:
    r"""Perimeter of nuclei of pixels that are not square, in an image with a frame of background.

    By Cauchy and Crofton it is half the integral, over all lines of the plane, of how often they cross the outline.
    Lines along rows, columns and both diagonals stand for the directions that are nearest to theirs.
    """
    diagonal = math.hypot(height, width)
    slope = math.atan2(height, width)
    total = np.zeros(count)
    for (dy, dx), gap, angle in (
        ((0, 1), height, slope),
        ((1, 0), width, math.pi / 2 - slope),
        ((1, 1), height * width / diagonal, math.pi / 4),
        ((1, -1), height * width / diagonal, math.pi / 4),
    ):
        rows = slice(0, index.shape[0] - dy), slice(dy, None)
        columns = (slice(max(0, -dx), index.shape[1] - max(0, dx)), slice(max(0, dx), index.shape[1] - max(0, -dx)))
        first, second = index[rows[0], columns[0]], index[rows[1], columns[1]]
        crossed = first != second
        crossings = sum(np.bincount(side[crossed], minlength=count + 1)[1:] for side in (first, second))
        total += crossings * gap * angle / 2
    return total
