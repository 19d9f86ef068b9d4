"""A slide: its levels, its scale, and the pictures that came with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Self

from napari_nucleigan.data.slides.levels import CachedLevel, StridedLevel, plane_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import dask.array as da
    import numpy as np
    import numpy.typing as npt

    from napari_nucleigan.data.slides.levels import Level
    from napari_nucleigan.labels.regions import Bounds

OVERVIEW = 2048
"""Longest side in pixels of the smallest level: what is drawn first."""

UNKNOWN_SCALE = "The file does not say its microns per pixel; give them before you segment."
"""What is noted of a slide without a scale."""


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
        object.__setattr__(self, "planes", tuple(plane_of(one, self.path.name) for one in self.planes))

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


def falling(planes: Sequence[Level]) -> tuple[Level, ...]:
    """Order levels by size and keep of those of one size the first."""
    ordered = sorted(planes, key=lambda plane: -plane.shape[0])
    return tuple(
        plane for number, plane in enumerate(ordered) if not number or plane.shape[0] < ordered[number - 1].shape[0]
    )


def completed(planes: Sequence[Level]) -> tuple[tuple[Level, ...], tuple[str, ...]]:
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
