"""Features of H&E by which tissue is told apart, one vector for each cell of 16 x 16 pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_nucleigan import stains
from napari_nucleigan.tissue.record import CELL, UNKNOWN

WEIGHTS = np.array([1.3, 1.0, 0.8, 1.2])  # of the features; what is white must not be overlooked
"""Of the features, where they are compared."""

_FARTHEST = 3.0  # standard deviations; beyond it an odd cell pulls no harder
_RELATIVE = np.array([False, False, True, True])
_UNSTAINED = 0.22  # of the strengths of both stains, summed: glass and lumens
_NUCLEAR = 0.5  # of haematoxylin's strength, over a few pixels: nuclei
_BLUR = 2.0  # pixels over which that is averaged
_FAINT = 0.03  # keeps the logarithm of what is hardly there finite
# Reach of the averages in cells. Lumens are small; how crowded nuclei are shows over several of them.
_REACH = {"white": 1.0, "nuclei": 2.0, "between": 1.5, "hue": 1.0}


def grid_shape(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return how many cells an image of (H, W, ...) pixels has each way; cells that it only begins count."""
    return -(-shape[0] // CELL), -(-shape[1] // CELL)


def mask_grid(shape: tuple[int, int], mpp: float, classes_mpp: float) -> tuple[int, int]:
    """Return how many cells, at the scale of the classes, a mask of (H, W) pixels of `mpp` microns has each way."""
    return grid_shape(tuple(max(1, round(length * mpp / classes_mpp)) for length in shape))


def cut_cells(cells: NDArray[np.uint8], start: tuple[float, float], shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Cut a window out of a map, by the nearest cell; beyond the map it is unknown.

    Parameters
    ----------
    cells : ndarray of uint8, shape (h, w)
        The map.
    start : (float, float)
        Where the window begins, in cells from the map's corner; it may lie outside.
    shape : (int, int)
        Rows and columns of the window.
    """
    padded = np.pad(cells, 1, constant_values=UNKNOWN)
    rows, columns = (
        np.clip(np.floor(np.arange(count) + 0.5 + first).astype(np.intp), -1, length) + 1
        for count, first, length in zip(shape, start, cells.shape, strict=True)
    )
    return np.asarray(padded[np.ix_(rows, columns)])


def spread(cells: NDArray[np.uint8], shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Give each pixel of an image of a shape the value of its cell in a map, (ceil(H / 16), ceil(W / 16))."""
    wide = np.repeat(np.repeat(cells, CELL, axis=0), CELL, axis=1)
    return np.ascontiguousarray(wide[: shape[0], : shape[1]])


def tissue_features(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Measure an image cell by cell.

    Amounts are relative to the image's own stains, and what depends on how deep a section is stained is taken against
    the median of the image. So give a whole image or tile, not a crop of one tissue.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (H, W, 3)
        H&E.

    Returns
    -------
    ndarray of float32, shape (ceil(H / 16), ceil(W / 16), 4)
        As `FEATURES` lists them.

    Raises
    ------
    ImageError
        If the image is not uint8 of shape (H, W, 3).
    """
    fit = stains.fit(pixels)
    amounts = stains.concentrations(pixels, fit) / fit.max_concentrations.astype(np.float32)
    blue, pink = np.moveaxis(amounts, -1, 0)
    white = blue + pink < _UNSTAINED
    nuclei = ndimage.gaussian_filter(blue, _BLUR) > _NUCLEAR
    between = ~nuclei & ~white
    share = np.maximum(_averaged(between, _REACH["between"]), 1e-3)
    blue, pink = (_averaged(amount * between, _REACH["between"]) / share for amount in (blue, pink))
    hue = np.log((blue + _FAINT) / (pink + _FAINT))
    found = np.stack(
        [
            _averaged(white, _REACH["white"]),
            _averaged(nuclei, _REACH["nuclei"]),
            blue,
            ndimage.gaussian_filter(hue, _REACH["hue"], mode="nearest"),
        ],
        axis=-1,
    ).astype(np.float32)
    found -= np.where(_RELATIVE, np.median(found, axis=(0, 1)), 0).astype(np.float32)
    return found


def _averaged(values: NDArray[Any], reach: float) -> NDArray[np.float32]:
    """Mean of each cell, then over its surroundings by a Gaussian of that reach in cells."""
    rows, columns = grid_shape(values.shape)
    spare = [(0, -length % CELL) for length in values.shape]
    padded = np.pad(values.astype(np.float32), spare, mode="symmetric")
    means = padded.reshape(rows, CELL, columns, CELL).mean(axis=(1, 3))
    averaged: NDArray[np.float32] = ndimage.gaussian_filter(means, reach, mode="nearest")
    return averaged


def scaled(
    features: NDArray[np.floating],
    mean: Sequence[float] | NDArray[np.float64],
    deviation: Sequence[float] | NDArray[np.float64],
) -> NDArray[np.float64]:
    """Bring features, (..., 4), to the scale on which distances are measured."""
    standard = (features - np.asarray(mean)) / np.asarray(deviation)
    return np.asarray(np.clip(standard, -_FARTHEST, _FARTHEST) * WEIGHTS)
