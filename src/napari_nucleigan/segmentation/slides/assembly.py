"""Assembly: nuclei of tiles become those of a slide, each once, numbered in reading order, painted piece by piece."""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nucleigan.base.errors import OutputError
from napari_nucleigan.base.events import Painted
from napari_nucleigan.base.files import make_folder, write_bytes
from napari_nucleigan.base.reading import reading
from napari_nucleigan.segmentation.instances import Instances, Mosaic, stamp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_nucleigan.data.slides.label_pyramids import LabelPyramid
    from napari_nucleigan.tiling import Box, Tile

HELD = 16
"""Records in memory at most, however wide the slide: those around a tile, and of what a file of labels shows.

To read one again takes 4 ms, and a tile that is taken over needs one of the row before it.
"""

Mask = tuple[int, int, "NDArray[np.bool_]"]
"""First row, first column and pixels of a nucleus."""


class TileStore:
    """The records of a slide's tiles on disk; each appears whole or not at all.

    Parameters
    ----------
    folder : Path
        Where they are; it is made.

    Raises
    ------
    OutputError
        If the folder cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = make_folder(folder)

    def put(self, number: int, record: Instances) -> None:
        """Keep the record of a tile.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        write_bytes(self._path(number), record.pack())

    def get(self, number: int) -> Instances | None:
        """Return the record of a tile; None where there is none, or only a damaged one."""
        path = self._path(number)
        with reading(path, OutputError):
            try:
                return Instances.unpack(path.read_bytes())
            except (FileNotFoundError, ValueError):
                return None

    def numbers(self) -> set[int]:
        """Return which tiles have a record that can be read; what a power cut has damaged is none."""
        found = {int(path.stem) for path in self.folder.glob("*.npz") if path.stem.isdecimal()}
        return {number for number in found if self.get(number) is not None}

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:07d}.npz"


class Assembly:
    """Decides which nuclei of which tiles count, tile after tile in their order.

    Nuclei near a border are found by both neighbours. `napari_nucleigan.segmentation.instances.Mosaic` says which of
    them count, here where only the surroundings of a tile are in memory.

    Parameters
    ----------
    tiles : sequence of Tile
        As `napari_nucleigan.tiling.plan_tiles` gives them.
    load : callable
        Returns the record of a tile by its number, or None.

    Attributes
    ----------
    extents : ndarray of int64, shape (n, 4)
        First row, last row + 1, first and last column + 1 of the nuclei of each tile.
    count : int
        Nuclei so far.
    columns : dict of str to ndarray, shape (0,)
        Measurements that at least one tile has of its nuclei.
    """

    def __init__(self, tiles: Sequence[Tile], load: Callable[[int], Instances | None]) -> None:
        self._load = load
        self.extents: NDArray[np.int64] = np.zeros((len(tiles), 4), np.int64)
        self.count = 0
        self.columns: dict[str, NDArray[Any]] = {}
        self._kept: dict[int, NDArray[np.bool_]] = {}
        self._trimmed: dict[tuple[int, int], NDArray[np.bool_]] = {}
        self._first: list[NDArray[np.int64]] = []  # rows and columns of the first pixels of kept nuclei, by tile
        self._order: list[int] = []
        self._starts: dict[int, int] = {}
        self._recent: OrderedDict[int, Instances] = OrderedDict()

    def add(self, number: int, record: Instances) -> None:
        """Take the next tile.

        Parameters
        ----------
        number : int
            Larger than all before.
        record : Instances
            What it has found.
        """
        kept = np.zeros(0, bool)
        if len(record):
            first, last = record.boxes.min(axis=0), record.boxes.max(axis=0)
            self.extents[number] = first[0], last[1], first[2], last[3]
            kept = self._settle(number, record)
        for name, values in record.features.items():
            self.columns.setdefault(name, values[:0])
        self._kept[number] = kept
        self._starts[number] = self.count
        self._order.append(number)
        self.count += int(kept.sum())
        firsts = []
        for index in np.flatnonzero(kept).tolist():
            mask = self._trimmed.get((number, index), record.masks[index])
            firsts.append(divmod(int(mask.argmax()), mask.shape[1]))
        self._first.append(record.corners[kept] + np.array(firsts, np.int64).reshape(-1, 2))
        self._remember(number, record)

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

    def nuclei(self, number: int) -> tuple[Instances, NDArray[np.intp], slice, list[Mask]]:
        """Return what counts of a tile.

        Returns
        -------
        record : Instances
            All that the tile has found, with all `columns`: what it does not know is NaN.
        kept : ndarray of int
            Places in it of the nuclei that count.
        place : slice
            Their places among all.
        masks : list of (row, column, ndarray of bool)
            Their pixels.
        """
        record = self._recall(number)
        if record.features.keys() != self.columns.keys():
            # An earlier run, or a model whose card did not tell as much, has looked at it.
            unknown = {name: np.full((len(record), *column.shape[1:]), np.nan) for name, column in self.columns.items()}
            record = replace(record, features={name: record.features.get(name, unknown[name]) for name in unknown})
        kept = np.flatnonzero(self._kept[number])
        start = self._starts[number]
        found: list[Mask] = []
        for index in kept.tolist():
            row, column = record.corners[index].tolist()
            found.append((row, column, self._trimmed.get((number, index), record.masks[index])))
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
        bounds = np.array([box.top, box.bottom, box.left, box.right])
        near = _meeting(self.extents, bounds)
        for number in np.flatnonzero(near).tolist():
            record, kept = self._recall(number), np.flatnonzero(self._kept[number])
            inside = np.flatnonzero(_meeting(record.boxes[kept], bounds))
            values = numbers[self._starts[number] + inside].tolist()
            for value, index in zip(values, kept[inside].tolist(), strict=True):
                row, column = record.corners[index].tolist()
                mask = self._trimmed.get((number, index), record.masks[index])
                stamp(canvas, row - box.top, column - box.left, mask, value)
        return canvas

    def _settle(self, number: int, record: Instances) -> NDArray[np.bool_]:
        """Drop or trim what earlier tiles have found, as a mosaic of all tiles would; return what is kept."""
        mine = self.extents[number]
        top, bottom, left, right = mine.tolist()
        mosaic = Mosaic((bottom - top, right - left))
        for other in np.flatnonzero(_meeting(self.extents[:number], mine)).tolist():
            found = self._recall(other)
            for index in np.flatnonzero(_meeting(found.boxes, mine) & self._kept[other]).tolist():
                (row, column), whole = found.corners[index].tolist(), found.masks[index]
                mosaic.put(row - top, column - left, self._trimmed.get((other, index), whole), int(whole.sum()))
        kept = np.ones(len(record), bool)
        for index, ((row, column), mask) in enumerate(zip(record.corners.tolist(), record.masks, strict=True)):
            left_over = mosaic.claim(row - top, column - left, mask)
            kept[index] = left_over is not None
            if left_over is not None and left_over is not mask:
                self._trimmed[number, index] = left_over
        return kept

    def _recall(self, number: int) -> Instances:
        if number not in self._recent:
            record = self._load(number)
            if record is None:
                raise _gone(number)
            self._remember(number, record)
        self._recent.move_to_end(number)
        return self._recent[number]

    def _remember(self, number: int, record: Instances) -> None:
        self._recent[number] = record
        while len(self._recent) > HELD:
            self._recent.popitem(last=False)


def _gone(number: int) -> OutputError:
    return OutputError(
        f"The record of tile {number} has gone or was damaged meanwhile; run the same again, which computes it anew."
    )


class GrowingSlide:
    """A slide while it is segmented: tiles in the store, those taken over, and the live picture of them.

    Attributes
    ----------
    store : TileStore
        The records.
    done : set of int
        Tiles that are settled: recorded, or given up.
    assembly : Assembly
        Which nuclei count.
    """

    def __init__(
        self, store: TileStore, tiles: Sequence[Tile], wanted: Sequence[int], picture: LabelPyramid | None
    ) -> None:
        self.store = store
        self._recorded = store.numbers() & set(wanted)
        self.done = set(self._recorded)
        self.assembly = Assembly(tiles, store.get)
        self._queue = deque(wanted)
        self._picture = picture

    def settle(self, number: int, record: Instances | None) -> None:
        """Keep the record of a tile, or note that it was given up.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        if record is not None:
            self.store.put(number, record)
            self._recorded.add(number)
        self.done.add(number)

    def grow(self, *, skip: bool = False) -> Iterator[Painted]:
        """Take over the tiles that are next in order, up to the first that is not done; or without it."""
        while self._queue and (skip or self._queue[0] in self.done):
            number = self._queue.popleft()
            if number not in self._recorded:
                continue
            record = self.store.get(number)
            if record is None:
                raise _gone(number)
            self.assembly.add(number, record)
            if len(record) and self._picture is not None:
                yield self._paint(number, self._picture)

    def _paint(self, number: int, picture: LabelPyramid) -> Painted:
        top, bottom, left, right = self.assembly.extents[number].tolist()
        part = picture.levels[0][top:bottom, left:right]
        _, _, place, masks = self.assembly.nuclei(number)
        for value, (row, column, mask) in enumerate(masks, start=place.start + 1):
            stamp(part, row - top, column - left, mask, value)
        picture.update(top, left, part)
        return Painted(str(picture.folder), top, bottom, left, right, self.assembly.count)


def _meeting(boxes: NDArray[Any], extent: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell which boxes, (n, 4), first row, last row + 1, first and last column + 1, meet an extent of the same kind."""
    top, bottom, left, right = boxes.T
    found: NDArray[np.bool_] = (top < extent[1]) & (bottom > extent[0]) & (left < extent[3]) & (right > extent[2])
    return found
