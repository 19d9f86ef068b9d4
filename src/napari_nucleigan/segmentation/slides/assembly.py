"""The nuclei of all tiles become those of the slide: each once, numbered in reading order, painted piece by piece."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nucleigan.base.errors import OutputError
from napari_nucleigan.tiling.tiles import SAME

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from napari_nucleigan.segmentation.slides.tile_store import TileRecord
    from napari_nucleigan.tiling.tiles import Box, Tile

Mask = tuple[int, int, "NDArray[np.bool_]"]
"""First row, first column and pixels of a nucleus."""


class Assembly:
    """Decides which nuclei of which tiles count, tile after tile in their order.

    Nuclei near a border are found by both neighbours. As in `napari_nucleigan.tiling.tiles.Mosaic` the first of
    two tiles wins: a nucleus that it has found already (intersection over union above `SAME`, or more than half of the
    pixels taken) is dropped, and others leave it the pixels that both claim.

    Parameters
    ----------
    tiles : sequence of Tile
        As `napari_nucleigan.tiling.tiles.plan_tiles` gives them.
    load : callable
        Returns the record of a tile by its number, or None.

    Attributes
    ----------
    extents : ndarray of int64, shape (n, 4)
        First row, last row + 1, first and last column + 1 of the nuclei of each tile.
    count : int
        Nuclei so far.
    """

    def __init__(self, tiles: Sequence[Tile], load: Callable[[int], TileRecord | None]) -> None:
        self._tiles = tiles
        self._load = load
        self.extents: NDArray[np.int64] = np.zeros((len(tiles), 4), np.int64)
        self.count = 0
        self._kept: dict[int, NDArray[np.bool_]] = {}
        self._trimmed: dict[tuple[int, int], NDArray[np.bool_]] = {}
        self._first: list[NDArray[np.int64]] = []  # rows and columns of the first pixels of kept nuclei, by tile
        self._order: list[int] = []
        self._starts: dict[int, int] = {}
        self._cores = np.array(
            [(one.core.top, one.core.bottom, one.core.left, one.core.right) for one in tiles], np.int64
        ).reshape(-1, 4)
        columns = int(np.count_nonzero(self._cores[:, 0] == self._cores[0, 0])) if len(tiles) else 1
        self._recent: OrderedDict[int, tuple[TileRecord, list[NDArray[np.bool_]]]] = OrderedDict()
        self._room = 2 * columns + 4

    def add(self, number: int, record: TileRecord) -> None:
        """Take the next tile.

        Parameters
        ----------
        number : int
            Larger than all before.
        record : TileRecord
            What it has found.
        """
        masks = record.masks()
        kept = np.ones(len(record), bool)
        if len(record):
            self.extents[number] = (
                record.corners[:, 0].min(),
                record.ends[:, 0].max(),
                record.corners[:, 1].min(),
                record.ends[:, 1].max(),
            )
            self._settle(number, record, masks, kept)
        self._kept[number] = kept
        self._starts[number] = self.count
        self._order.append(number)
        self.count += int(kept.sum())
        firsts = []
        for index in np.flatnonzero(kept).tolist():
            mask = self._trimmed.get((number, index), masks[index])
            firsts.append(divmod(int(mask.argmax()), mask.shape[1]))
        self._first.append(record.corners[kept] + np.array(firsts, np.int64).reshape(-1, 2))
        self._remember(number, record, masks)

    def has(self, number: int) -> bool:
        """Tell whether a tile was taken."""
        return number in self._kept

    def numbers(self) -> NDArray[np.uint32]:
        """Give every nucleus its number, from 1 in reading order of their first pixels: tiles have no say in it.

        Returns
        -------
        ndarray of uint32, shape (count,)
            In the order of the tiles, as `nuclei` goes through them.
        """
        first = np.concatenate(self._first) if self._first else np.zeros((0, 2), np.int64)
        found = np.empty(len(first), np.uint32)
        found[np.lexsort((first[:, 1], first[:, 0]))] = np.arange(1, len(first) + 1, dtype=np.uint32)
        return found

    def tiles(self) -> list[int]:
        """Return the numbers of the tiles that were taken, in order."""
        return list(self._order)

    def nuclei(self, number: int) -> tuple[TileRecord, NDArray[np.intp], slice, list[Mask]]:
        """Return what counts of a tile.

        Returns
        -------
        record : TileRecord
            All that the tile has found.
        kept : ndarray of int
            Places in it of the nuclei that count.
        place : slice
            Their places among all.
        masks : list of (row, column, ndarray of bool)
            Their pixels.
        """
        record, masks = self._recall(number)
        kept = np.flatnonzero(self._kept[number])
        start = self._starts[number]
        found: list[Mask] = []
        for index in kept.tolist():
            row, column = record.corners[index].tolist()
            found.append((row, column, self._trimmed.get((number, index), masks[index])))
        return record, kept, slice(start, start + len(kept)), found

    def trimmed(self, number: int) -> list[int]:
        """Return the places of the nuclei of a tile that left pixels to others."""
        return [index for tile, index in self._trimmed if tile == number]

    def paint(self, box: Box, numbers: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """Draw the labels of a part of the slide.

        Parameters
        ----------
        box : Box
            In pixels at the model's scale.
        numbers : ndarray of uint32, shape (count,)
            As `numbers` gives them.

        Returns
        -------
        ndarray of uint32, shape (H, W)
        """
        canvas = np.zeros(box.shape, np.uint32)
        near = (
            (self.extents[:, 0] < box.bottom)
            & (self.extents[:, 1] > box.top)
            & (self.extents[:, 2] < box.right)
            & (self.extents[:, 3] > box.left)
        )
        for number in np.flatnonzero(near).tolist():
            _, _, place, masks = self.nuclei(number)
            for value, (row, column, mask) in zip(numbers[place].tolist(), masks, strict=True):
                stamp(canvas, row - box.top, column - box.left, mask, value)
        return canvas

    def _settle(self, number: int, record: TileRecord, masks: list[NDArray[np.bool_]], kept: NDArray[np.bool_]) -> None:
        """Drop or trim what earlier tiles have found."""
        mine = self.extents[number]
        earlier = np.flatnonzero(
            (self.extents[:number, 0] < mine[1])
            & (self.extents[:number, 1] > mine[0])
            & (self.extents[:number, 2] < mine[3])
            & (self.extents[:number, 3] > mine[2])
        )
        rivals: dict[int, list[tuple[Mask, int]]] = {}
        for other in earlier.tolist():
            theirs = self.extents[other]
            near = _reaching(record, theirs)
            if not near.size:
                continue
            found, found_masks = self._recall(other)
            close = [index for index in _reaching(found, mine).tolist() if self._kept[other][index]]
            if not close:
                continue
            pairs = _overlapping(record, near, found, np.array(close))
            for index, rival in pairs:
                mask = self._trimmed.get((other, rival), found_masks[rival])
                row, column = found.corners[rival].tolist()
                # Of a nucleus that was trimmed its whole area counts, as it was found.
                rivals.setdefault(index, []).append(((row, column, mask), int(found_masks[rival].sum())))
        for index in sorted(rivals):
            mask = masks[index]
            area = int(mask.sum())
            free = mask.copy()
            top, left = record.corners[index].tolist()
            known = False
            for (row, column, other_mask), other_area in rivals[index]:
                mine_part, other_part = _common(top, left, mask, row, column, other_mask)
                both = mask[mine_part] & other_mask[other_part]
                common = int(both.sum())
                known |= common > SAME * (area + other_area - common)
                free[mine_part] &= ~both
            taken = area - int(free.sum())
            if known or taken > area / 2:
                kept[index] = False
            elif taken:
                self._trimmed[number, index] = free

    def _recall(self, number: int) -> tuple[TileRecord, list[NDArray[np.bool_]]]:
        if number not in self._recent:
            record = self._load(number)
            if record is None:
                raise OutputError(f"The record of tile {number} has gone; run the same again, which computes it anew.")
            self._remember(number, record, record.masks())
        self._recent.move_to_end(number)
        return self._recent[number]

    def _remember(self, number: int, record: TileRecord, masks: list[NDArray[np.bool_]]) -> None:
        self._recent[number] = record, masks
        while len(self._recent) > self._room:
            self._recent.popitem(last=False)


def stamp(canvas: NDArray[Any], row: int, column: int, mask: NDArray[np.bool_], value: int) -> None:
    """Give the pixels of a mask a value; what lies outside of the canvas is cut off.

    Parameters
    ----------
    canvas : ndarray, shape (H, W)
        Drawn upon.
    row, column : int
        Where the mask begins.
    mask : ndarray of bool, shape (h, w)
        The pixels.
    value : int
        Their value.
    """
    top, left = max(row, 0), max(column, 0)
    bottom, right = min(row + mask.shape[0], canvas.shape[0]), min(column + mask.shape[1], canvas.shape[1])
    if top < bottom and left < right:
        canvas[top:bottom, left:right][mask[top - row : bottom - row, left - column : right - column]] = value


def _reaching(record: TileRecord, extent: NDArray[np.int64]) -> NDArray[np.intp]:
    """Places of the nuclei whose boxes meet an extent."""
    top, left = record.corners.T
    bottom, right = record.ends.T
    return np.flatnonzero((top < extent[1]) & (bottom > extent[0]) & (left < extent[3]) & (right > extent[2]))


def _overlapping(
    one: TileRecord, mine: NDArray[np.intp], other: TileRecord, theirs: NDArray[np.intp]
) -> list[tuple[int, int]]:
    """Pairs of nuclei whose boxes meet."""
    first, last = one.corners[mine][:, None], one.ends[mine][:, None]
    begin, end = other.corners[theirs][None], other.ends[theirs][None]
    meet = ((first < end) & (last > begin)).all(axis=2)
    return [(int(mine[row]), int(theirs[column])) for row, column in np.argwhere(meet)]


def _common(
    top: int, left: int, mask: NDArray[np.bool_], row: int, column: int, other: NDArray[np.bool_]
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Slices of two boxes where they meet."""
    first = max(top, row), max(left, column)
    last = min(top + mask.shape[0], row + other.shape[0]), min(left + mask.shape[1], column + other.shape[1])
    return (
        (slice(first[0] - top, last[0] - top), slice(first[1] - left, last[1] - left)),
        (slice(first[0] - row, last[0] - row), slice(first[1] - column, last[1] - column)),
    )
