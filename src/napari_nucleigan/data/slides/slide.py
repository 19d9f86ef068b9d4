"""Slides: their levels, which are read where they are sliced, their scale, and the pictures that came with them."""

from __future__ import annotations

import itertools
import math
import threading
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from napari_nucleigan.base.errors import ImageError
from napari_nucleigan.base.reading import FileFault, fault
from napari_nucleigan.base.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    import dask.array as da
    import numpy.typing as npt

    from napari_nucleigan.labels.regions import Bounds

BLOCK = 2048
"""About the side in pixels of what is read at once."""

_TILE = 256  # where nothing is known of tiles

OVERVIEW = 2048
"""Longest side in pixels of the smallest level: what is drawn first."""

MOST_PIXELS = 2e11
"""Pixels of a level; the largest slides of scanners have a third of them. A file that says more is broken."""

UNKNOWN_SCALE = "The file does not say its microns per pixel; give them before you segment."
"""What is noted of a slide without a scale."""


class Level(ABC):
    """An image as an array that is read where it is sliced, by any number of threads at once.

    A dask array with a chunk for each tile of a file would do as well, but takes longer to slice than the tiles take to
    decode: a level of 100 000 x 80 000 pixels has 120 000 of them.

    Parameters
    ----------
    file : str
        Name of the file, for errors.
    shape : tuple of int
        (H, W) or (H, W, 3).
    dtype : dtype
        Of the values.
    tile : tuple of int
        Height and width of the pieces that the file keeps its pixels in.

    Raises
    ------
    ImageError
        If it has more than `MOST_PIXELS`.
    """

    def __init__(self, file: str, shape: tuple[int, ...], dtype: npt.DTypeLike, tile: tuple[int, int]) -> None:
        if not 0 < math.prod(shape[:2]) <= MOST_PIXELS:
            raise ImageError(
                f"Cannot read {printable(file)}: it says that it has {shape[1]} x {shape[0]} pixels, as no slide has; "
                "copy it again, or write it anew."
            )
        self.file = file
        self.shape = shape
        self.ndim = len(shape)
        self.dtype = np.dtype(dtype)
        self.tile = tile
        width = min(shape[1], tile[1] * max(1, BLOCK // tile[1]))
        # Of rows that a file keeps in one piece fewer fit into a block.
        height = tile[0] * max(1, BLOCK**2 // width // tile[0])
        self.block = min(shape[0], height, tile[0] * max(1, BLOCK // tile[0])), width
        """Height and width of what is best read at once; no tile belongs to two blocks."""

    @abstractmethod
    def _read(self, box: Bounds) -> npt.NDArray[Any]:
        """Read a part that lies within the plane."""

    def read(self, box: Bounds) -> npt.NDArray[Any]:
        """Read a part.

        Parameters
        ----------
        box : Bounds
            Within the plane.

        Returns
        -------
        ndarray, shape (h, w) or (h, w, 3)

        Raises
        ------
        ImageError
            If the file is damaged there, or cannot be read any more.
        """
        try:
            return self._read(box)
        except (ImageError, MemoryError):
            raise
        except Exception as error:  # decoders raise errors of many kinds
            # What the system or a server says of a part of it is no damage.
            why = f"it is damaged there ({printable(error)}). Copy it again"
            if isinstance(error, FileFault) or (isinstance(error, OSError) and error.errno):
                why = fault(error)
            raise ImageError(
                f"{self.file} cannot be read in rows {box[0]} to {box[1]}, columns {box[2]} to {box[3]} of its "
                f"{self.shape[1]} x {self.shape[0]} pixels: {why}."
            ) from error

    def __getitem__(self, parts: Any) -> npt.NDArray[Any]:
        """Read what slices, numbers and lists of numbers say, as numpy understands them."""
        parts = parts if isinstance(parts, tuple) else (parts,)
        ends: list[int] = []
        inner: list[Any] = []
        for part, length in zip((*parts, slice(None), slice(None)), self.shape[:2], strict=False):
            if not isinstance(part, slice) and np.ndim(part):
                listed = np.arange(length)[part]
                ends += [int(listed.min()), int(listed.max()) + 1] if listed.size else [0, 0]
                inner.append(listed - ends[-2])
                continue
            chosen = range(length)[part]
            if isinstance(chosen, int):
                ends += [chosen, chosen + 1]
                inner.append(0)
            elif chosen:
                ends += [min(chosen[0], chosen[-1]), max(chosen[0], chosen[-1]) + 1]
                inner.append(slice(None, None, chosen.step))
            else:
                ends += [0, 0]
                inner.append(slice(None))
        top, bottom, left, right = ends
        if top < bottom and left < right:
            values = self.read((top, bottom, left, right))
        else:
            values = np.empty((bottom - top, right - left, *self.shape[2:]), self.dtype)
        result: npt.NDArray[Any] = values[(*inner, *parts[2:])]
        return result

    def lazy(self) -> da.Array:
        """Make a dask array of the plane, of few chunks; what is sliced from one is all that is read of it."""
        import dask.array as da

        meta = np.empty((0,) * self.ndim, self.dtype)
        return da.from_array(self, chunks=(*self.block, *self.shape[2:]), name=False, meta=meta)


class ArrayLevel(Level):
    """An array of numpy, dask or zarr as a plane.

    Parameters
    ----------
    file : str
        What to call it, for errors.
    array : array-like, shape (H, W) or (H, W, 3)
        The array.
    """

    def __init__(self, file: str, array: Any) -> None:
        super().__init__(file, tuple(map(int, array.shape)), array.dtype, (_TILE, _TILE))
        self._array = array

    def _read(self, box: Bounds) -> npt.NDArray[Any]:
        return _here(self._array[box[0] : box[1], box[2] : box[3]])


def as_level(array: Any, file: str) -> Level:
    """Make a plane of an array that is none."""
    return array if isinstance(array, Level) else ArrayLevel(file, array)


class StridedLevel(Level):
    """Every so-manieth pixel of another plane, in both directions.

    Parameters
    ----------
    whole : Level
        The other plane.
    step : int
        How many of its pixels are between two.
    """

    def __init__(self, whole: Level, step: int) -> None:
        height, width = (-(-length // step) for length in whole.shape[:2])
        super().__init__(whole.file, (height, width, *whole.shape[2:]), whole.dtype, (height, width))
        self.block = max(1, whole.block[0] // step), max(1, whole.block[1] // step)
        self._whole = whole
        self._step = step

    def _read(self, box: Bounds) -> npt.NDArray[Any]:
        found = np.empty((box[1] - box[0], box[3] - box[2], *self.shape[2:]), self.dtype)
        for top, bottom in _cut(box[0], box[1], self.block[0]):
            for left, right in _cut(box[2], box[3], self.block[1]):
                corners = [self._step * edge for edge in (top, bottom - 1, left, right - 1)]
                part = self._whole.read((corners[0], corners[1] + 1, corners[2], corners[3] + 1))
                place = slice(top - box[0], bottom - box[0]), slice(left - box[2], right - box[2])
                found[place] = part[:: self._step, :: self._step]
        return found


class CachedLevel(Level):
    """A small plane that is kept once it was read, since it takes long.

    Parameters
    ----------
    plane : Level
        The plane.
    """

    def __init__(self, plane: Level) -> None:
        super().__init__(plane.file, plane.shape, plane.dtype, (plane.shape[0], plane.shape[1]))
        self._plane = plane
        self._values: npt.NDArray[Any] | None = None
        self._lock = threading.Lock()

    def _read(self, box: Bounds) -> npt.NDArray[Any]:
        with self._lock:
            if self._values is None:
                self._values = _here(self._plane.lazy())
        return self._values[box[0] : box[1], box[2] : box[3]]


def _here(array: Any) -> npt.NDArray[Any]:
    """Compute an array in this process, even where dask would rather have a cluster do it: no open file can be sent."""
    return np.asarray(array.compute(scheduler="threads") if hasattr(array, "compute") else array)


def _cut(start: int, stop: int, step: int) -> Iterator[tuple[int, int]]:
    """Cut a span where a grid does."""
    edges = [start, *range(start // step * step + step, stop, step), stop]
    yield from itertools.pairwise(edges)


@dataclass(frozen=True, eq=False)
class Slide:
    """A whole slide.

    Attributes
    ----------
    name : str
        For people and for the names of results.
    path : Path
        The file or folder.
    planes : tuple of Level
        The levels as they are read: RGB, the full resolution first, each smaller than the one before. Arrays of numpy,
        dask or zarr may be given, too.
    mpp : float or None
        Microns per pixel of the full resolution; None where it is not known.
    associated : mapping of str to dask array of uint8, shape (h, w, 3)
        Pictures of the glass: ``"label"``, ``"macro"``, ``"thumbnail"`` as the file has them. A label may name the
        patient.
    notes : tuple of str
        What was converted, chosen, made up or ignored, one sentence each.
    """

    name: str
    path: Path
    planes: tuple[Level, ...]
    mpp: float | None = None
    associated: Mapping[str, da.Array] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    _close: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        """Make planes of arrays."""
        object.__setattr__(self, "planes", tuple(as_level(one, self.path.name) for one in self.planes))

    @cached_property
    def levels(self) -> tuple[da.Array, ...]:
        """The levels as lazy arrays of uint8, shape (H, W, 3)."""
        return tuple(plane.lazy() for plane in self.planes)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        height, width = self.planes[0].shape[:2]
        return height, width

    @property
    def downsamples(self) -> tuple[float, ...]:
        """How many pixels of the full resolution a pixel of each level is long."""
        return tuple(self.shape[0] / plane.shape[0] for plane in self.planes)

    def region(self, box: Bounds, level: int = 0) -> npt.NDArray[np.uint8]:
        """Read a part; several threads may at once.

        Parameters
        ----------
        box : tuple of int
            First row, last row + 1, first column, last column + 1, in pixels of the level.
        level : int
            0 for the full resolution.

        Returns
        -------
        ndarray of uint8, shape (h, w, 3)

        Raises
        ------
        ImageError
            If the file is damaged there, or cannot be read any more.
        """
        top, bottom, left, right = box
        return self.planes[level][top:bottom, left:right]

    def close(self) -> None:
        """Close the file; the levels are not to be read any more."""
        self._close()

    def __enter__(self) -> Self:
        """Return the slide itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()


def by_size(planes: Sequence[Level]) -> tuple[Level, ...]:
    """Order levels by size and keep of those of one size the first."""
    ordered = sorted(planes, key=lambda plane: -plane.shape[0])
    return tuple(
        plane for number, plane in enumerate(ordered) if not number or plane.shape[0] < ordered[number - 1].shape[0]
    )


def with_overview(planes: Sequence[Level]) -> tuple[tuple[Level, ...], tuple[str, ...]]:
    """Add levels below those of a file until one is small enough to be drawn at once.

    Parameters
    ----------
    planes : sequence of Level
        As the file has them, falling.

    Returns
    -------
    planes : tuple of Level
        Each added one has every second pixel of the one before in both directions; the last is kept once it was read.
    notes : tuple of str
        Says so, where what is drawn first means that a large level is read.
    """
    smallest = planes[-1]
    height, width = smallest.shape[:2]
    made: list[Level] = []
    while max(height, width) > OVERVIEW << len(made):
        made.append(StridedLevel(smallest, 2 << len(made)))
    if not made:
        return tuple(planes), ()
    made[-1] = CachedLevel(made[-1])
    if max(height, width) <= 4 * OVERVIEW:
        return (*planes, *made), ()
    return (*planes, *made), (
        f"The smallest level of the file has {width} x {height} pixels: to show all of the slide they must all be "
        "read, which takes a while. A pyramid with smaller levels opens at once.",
    )
