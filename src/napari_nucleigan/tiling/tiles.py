"""Tiles: which part of an image a network sees at once, and which nuclei of it count.

A tile is a core and a halo of context around it. Offsets are aligned to the network's stride, so that
neighbouring tiles see the same grid, hence the same field. A nucleus belongs to the tile whose core
holds its centroid, which moves far less with the network's rounding than the peak of a field does.
Nuclei within a few pixels of a border are looked for by both neighbours; the first of the two wins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from napari_nucleigan.masks.encoding import decode

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

BAND = 6
"""Pixels beyond a core in which a tile still takes nuclei; rounding moves centroids by less."""

SAME = 0.3
"""Intersection over union above which two nuclei of neighbouring tiles are the same."""


@dataclass(frozen=True)
class Box:
    """A rectangle of pixels: rows `top` to `bottom`, columns `left` to `right`, ends excluded."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.bottom - self.top, self.right - self.left

    def within(self, outer: Box) -> tuple[slice, slice]:
        """Slices of this box in an array that covers `outer`."""
        return (
            slice(self.top - outer.top, self.bottom - outer.top),
            slice(self.left - outer.left, self.right - outer.left),
        )

    @property
    def slices(self) -> tuple[slice, slice]:
        """Slices of this box in an array that covers the image."""
        return slice(self.top, self.bottom), slice(self.left, self.right)


@dataclass(frozen=True)
class Tile:
    """A core, whose nuclei are looked for, within a window, which is what is looked at.

    Attributes
    ----------
    core : Box
        The cores of an image cover it without overlap.
    window : Box
        The core and its halo, as far as the image reaches.
    """

    core: Box
    window: Box


@dataclass(frozen=True, eq=False)
class Instances:
    """Nuclei of one tile.

    Attributes
    ----------
    corners : ndarray of int, shape (n, 2)
        First row and column of each nucleus in the image.
    masks : tuple of ndarray of bool
        Each nucleus, cropped.
    """

    corners: NDArray[np.intp]
    masks: tuple[NDArray[np.bool_], ...]


def plan_tiles(shape: tuple[int, int], core: int, halo: int, stride: int) -> list[Tile]:
    """Divide an image into tiles of about equal size, row by row.

    Parameters
    ----------
    shape : (int, int)
        Height and width of the image in pixels.
    core : int
        Largest side of a core, in pixels.
    halo : int
        Context around a core, in pixels.
    stride : int
        Alignment of all offsets, in pixels.

    Returns
    -------
    list of Tile
    """
    margin = -(-halo // stride) * stride
    rows, columns = (_divide(length, core, stride) for length in shape)
    return [
        Tile(
            Box(top, bottom, left, right),
            Box(
                max(0, top - margin),
                min(shape[0], bottom + margin),
                max(0, left - margin),
                min(shape[1], right + margin),
            ),
        )
        for top, bottom in rows
        for left, right in columns
    ]


def _divide(length: int, core: int, stride: int) -> list[tuple[int, int]]:
    largest = max(stride, core // stride * stride)
    count = -(-length // largest)
    side = -(-length // (count * stride)) * stride
    return [(start, min(start + side, length)) for start in range(0, length, side)]


def decode_tile(field: NDArray[np.floating], tile: Tile, decoding: Mapping[str, Any]) -> Instances:
    """Find the nuclei that belong to a tile.

    Parameters
    ----------
    field : ndarray of float, shape (3, H, W)
        Field of the tile's window in [-1, 1].
    tile : Tile
        Where it lies.
    decoding : mapping
        Arguments of `napari_nucleigan.masks.encoding.decode`.

    Returns
    -------
    Instances
        The nuclei whose centroid lies in the core, or at most `BAND` pixels beside it.
    """
    labels = decode(field.astype(np.float32), **decoding)
    mine = owned(labels, tile)
    corners: list[tuple[int, int]] = []
    masks: list[NDArray[np.bool_]] = []
    for index, box in enumerate(ndimage.find_objects(labels), start=1):
        if mine[index]:
            corners.append((tile.window.top + box[0].start, tile.window.left + box[1].start))
            masks.append(labels[box] == index)
    return Instances(np.array(corners, dtype=np.intp).reshape(-1, 2), tuple(masks))


def owned(labels: NDArray[np.int32], tile: Tile) -> NDArray[np.bool_]:
    """Tell which nuclei belong to a tile: those whose centroid lies in its core, or at most `BAND` pixels beside it.

    Parameters
    ----------
    labels : ndarray of int32, shape (H, W)
        Labels of the tile's window.
    tile : Tile
        Where it lies.

    Returns
    -------
    ndarray of bool, shape (n + 1,)
        By label, the background's included.
    """
    mine = np.ones(int(labels.max(initial=0)) + 1, dtype=bool)
    if tile.core == tile.window:
        return mine
    rows, columns = np.nonzero(labels)
    names = labels[rows, columns]
    areas = np.maximum(np.bincount(names, minlength=mine.size), 1)
    for coordinates, start, first, last in (
        (rows, tile.window.top, tile.core.top, tile.core.bottom),
        (columns, tile.window.left, tile.core.left, tile.core.right),
    ):
        centroids = start + np.bincount(names, coordinates, minlength=mine.size) / areas
        mine &= (centroids >= first - BAND) & (centroids < last + BAND)
    return mine


class Mosaic:
    """A label image that is put together from the nuclei of tiles.

    Parameters
    ----------
    shape : (int, int)
        Height and width in pixels.

    Attributes
    ----------
    labels : ndarray of int32, shape (H, W)
        0 is background; nuclei are numbered from 1 in the order in which they came.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self.labels: NDArray[np.int32] = np.zeros(shape, dtype=np.int32)
        self._areas = [0]

    def add(self, instances: Instances) -> None:
        """Paint nuclei, except those that an earlier tile has found already.

        Parameters
        ----------
        instances : Instances
            Nuclei of one tile. Tiles must come in the order of `plan_tiles`.
        """
        for (top, left), mask in zip(instances.corners, instances.masks, strict=True):
            view = self.labels[top : top + mask.shape[0], left : left + mask.shape[1]]
            taken = view[mask]
            area = taken.size
            hits = taken[taken > 0]
            if hits.size:
                if hits.size > area / 2 or self._found(hits, area):
                    continue
                mask = mask & (view == 0)
            view[mask] = len(self._areas)
            self._areas.append(area)

    def _found(self, hits: NDArray[np.int32], area: int) -> bool:
        for name, common in zip(*np.unique(hits, return_counts=True), strict=True):
            if common > SAME * (area + self._areas[name] - common):
                return True
        return False


def batches(tiles: list[Tile], size: int) -> Iterator[list[Tile]]:
    """Group tiles, in order, into batches of at most `size`."""
    for start in range(0, len(tiles), size):
        yield tiles[start : start + size]
