"""Noise that has a value at every place, so that a tile, a canvas and a repainted spot agree.

A map of noise is an endless grid of standard normal values. It is made of blocks, and each block is a function of
the seed, the map's number and the block's place alone; whichever window is looked at, the values are the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCK = 64
"""Side of a block, in values of its map."""


def noise_map(
    seed: int, level: int, channels: int, origin: tuple[int, int], shape: tuple[int, int]
) -> NDArray[np.float32]:
    """Cut a window out of a map of noise.

    Parameters
    ----------
    seed : int
        At least 0.
    level : int
        Number of the map; maps of one seed are independent.
    channels : int
        Channels of the map.
    origin : (int, int)
        Row and column of the window's first value; may be negative.
    shape : (int, int)
        Height and width of the window in values.

    Returns
    -------
    ndarray of float32, shape (channels, height, width)
        Independent standard normal values.
    """
    (top, left), (height, width) = origin, shape
    window = np.empty((channels, height, width), dtype=np.float32)
    for row in range(top // BLOCK, -(-(top + height) // BLOCK)):
        rows, inner_rows = _overlap(row, top, height)
        for column in range(left // BLOCK, -(-(left + width) // BLOCK)):
            columns, inner_columns = _overlap(column, left, width)
            block = _block(seed, level, channels, row, column)
            window[:, rows, columns] = block[:, inner_rows, inner_columns]
    return window


def _overlap(block: int, start: int, length: int) -> tuple[slice, slice]:
    """Find what a block and a window share along one axis: in the window, and in the block."""
    first = max(start, block * BLOCK)
    last = min(start + length, (block + 1) * BLOCK)
    return slice(first - start, last - start), slice(first - block * BLOCK, last - block * BLOCK)


def _block(seed: int, level: int, channels: int, row: int, column: int) -> NDArray[np.float32]:
    # Seeds are not negative: places left of and above the origin take the odd numbers.
    place = [2 * index if index >= 0 else -2 * index - 1 for index in (row, column)]
    random = np.random.default_rng([seed, level, *place])
    return random.standard_normal((channels, BLOCK, BLOCK), dtype=np.float32)
