"""Share a foreground out among the peaks of a relief, leaving out the peaks that hardly stand out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import watershed

GRID = 32
"""Pixels to which the offsets of tiles must be aligned for their nuclei to be exactly the same."""

_BLOCK = 256

# Far below what anyone sees in a relief between 0 and 1.
_RIPPLE = 1e-3
_TIE_BREAK = (np.random.default_rng(0).permutation(GRID * GRID).reshape(GRID, GRID) * (_RIPPLE / GRID**2)).astype(
    np.float32
)


def split_by_prominence(
    relief: NDArray[np.float32], foreground: NDArray[np.bool_], prominence: float, lowest: float
) -> NDArray[np.int32]:
    """Give the foreground to the peaks of the relief.

    A watershed gives each local maximum its basin. Basins then merge, the highest pass between two of them
    first, as long as the lower of their peaks rises less than `prominence` above the pass: the topological
    persistence of Edelsbrunner, Letscher and Zomorodian (2002). A connected part of the foreground that only
    rises towards what lies beyond it has no peak, and is dropped as noise.

    Parameters
    ----------
    relief : (H, W) array of float32
        High inside, low between the objects.
    foreground : (H, W) array of bool
        What is to be shared out; connected parts do not influence one another.
    prominence : float
        How far a peak must rise above the pass to a higher one to be an object of its own.
    lowest : float
        Objects whose peak is lower are dropped.

    Returns
    -------
    (H, W) array of int32
        0 outside of all objects; other values are not consecutive.
    """
    relief = _without_ties(relief)
    tops = foreground & (_highest_around(relief) == relief)
    rows, columns = np.nonzero(tops)
    seeds = np.zeros(relief.shape, dtype=np.int32)
    seeds[rows, columns] = np.arange(1, rows.size + 1, dtype=np.int32)
    basins = _flood(relief, seeds, foreground)
    peaks = np.concatenate([[-np.inf], relief[rows, columns]])
    owner = _merge(*_passes(basins, relief), peaks, prominence)
    owner[peaks[owner] < lowest] = 0
    labels: NDArray[np.int32] = owner[basins]
    return labels


def grow_seeds(
    relief: NDArray[np.float32], seeds: NDArray[np.int32], foreground: NDArray[np.bool_]
) -> NDArray[np.int32]:
    """Let seeds grow over a foreground, from the heights of a relief down.

    Parameters
    ----------
    relief : (H, W) array of float32
        High where an object is surest.
    seeds : (H, W) array of int32
        0 or the number of an object.
    foreground : (H, W) array of bool
        What is to be shared out; connected parts without a seed are dropped.

    Returns
    -------
    (H, W) array of int32
        0, or the number of the seed that reached the pixel first.
    """
    return _flood(_without_ties(relief), seeds, foreground)


def _without_ties(relief: NDArray[np.float32]) -> NDArray[np.float32]:
    # Equal heights leave it to the order of the flood who gets a pixel. The ripple settles it alike in every
    # tile that lies on the same grid.
    repeats = [-(-length // GRID) for length in relief.shape]
    return relief + np.tile(_TIE_BREAK, repeats)[: relief.shape[0], : relief.shape[1]]


def _highest_around(relief: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the highest of each pixel and the eight around it: a maximum filter, four times faster in this case."""
    found = relief.copy()
    np.maximum(found[1:], relief[:-1], out=found[1:])
    np.maximum(found[:-1], relief[1:], out=found[:-1])
    upright = found.copy()
    np.maximum(found[:, 1:], upright[:, :-1], out=found[:, 1:])
    np.maximum(found[:, :-1], upright[:, 1:], out=found[:, :-1])
    return found


def _flood(relief: NDArray[np.float32], seeds: NDArray[np.int32], foreground: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Give every pixel the seed that a watershed from the heights down gives it."""
    # The flood goes by height, from one end of the image to the other. Connected parts do not influence one
    # another, so those of each block take their turn: its memory stays near, and the time linear in the area.
    parts, _ = ndimage.label(foreground)
    starts = np.array([[side.start for side in box] for box in ndimage.find_objects(parts)]).reshape(-1, 2)
    _, block = np.unique(starts // _BLOCK, axis=0, return_inverse=True)
    blocks = np.concatenate([[0], block.ravel() + 1]).astype(np.int32)[parts]
    basins = np.zeros(relief.shape, dtype=np.int32)
    for number, window in enumerate(ndimage.find_objects(blocks), start=1):
        own = blocks[window] == number
        basins[window] += watershed(-relief[window], seeds[window], mask=own)
    return basins


def _passes(
    basins: NDArray[np.int32], relief: NDArray[np.float32]
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]:
    """Return the pairs of basins that touch, and the height of the pass between them, highest first."""
    low, high, heights = [], [], []
    for first, second in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])):
        a, b = basins[first], basins[second]
        border = (a != b) & (a > 0) & (b > 0)
        low.append(np.minimum(a[border], b[border]))
        high.append(np.maximum(a[border], b[border]))
        heights.append(np.minimum(relief[first][border], relief[second][border]))
    one, other, height = (np.concatenate(parts) for parts in (low, high, heights))
    # Of all the places where two basins touch, only the highest counts; it comes first here.
    order = np.argsort(-height, kind="stable")
    _, firsts = np.unique(one[order].astype(np.int64) << 32 | other[order], return_index=True)
    order = order[np.sort(firsts)]
    return one[order], other[order], height[order]


def _merge(
    one: NDArray[np.int32],
    other: NDArray[np.int32],
    height: NDArray[np.float32],
    peaks: NDArray[np.float64],
    prominence: float,
) -> NDArray[np.int32]:
    owner = list(range(peaks.size))

    def find(basin: int) -> int:
        while owner[basin] != basin:
            owner[basin] = owner[owner[basin]]
            basin = owner[basin]
        return basin

    peak = peaks.tolist()
    for a, b, saddle in zip(one.tolist(), other.tolist(), height.tolist(), strict=True):
        higher, lower = find(a), find(b)
        if peak[higher] < peak[lower]:
            higher, lower = lower, higher
        if higher != lower and peak[lower] - saddle < prominence:
            owner[lower] = higher
    return np.array([find(basin) for basin in range(peaks.size)], dtype=np.int32)
