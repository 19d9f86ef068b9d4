"""A slide: its levels as lazy arrays, its scale, and the pictures that came with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import dask.array as da
    import numpy.typing as npt

OVERVIEW = 2048
"""Longest side in pixels of the smallest level: what is drawn first."""


@dataclass(frozen=True, eq=False)
class Slide:
    """A whole slide.

    Attributes
    ----------
    name : str
        For people and for the names of results.
    path : Path
        The file or folder.
    levels : tuple of dask arrays of uint8, shape (H, W, 3)
        RGB, the full resolution first, each smaller than the one before.
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
    levels: tuple[da.Array, ...]
    mpp: float | None = None
    associated: Mapping[str, da.Array] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    _close: Callable[[], None] = lambda: None

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        height, width = self.levels[0].shape[:2]
        return int(height), int(width)

    @property
    def downsamples(self) -> tuple[float, ...]:
        """How many pixels of the full resolution a pixel of each level is long."""
        return tuple(self.shape[0] / int(level.shape[0]) for level in self.levels)

    def region(self, box: tuple[int, int, int, int], level: int = 0) -> npt.NDArray[np.uint8]:
        """Read a part.

        Parameters
        ----------
        box : tuple of int
            First row, last row + 1, first column, last column + 1, in pixels of the level.
        level : int
            0 for the full resolution.

        Returns
        -------
        ndarray of uint8, shape (h, w, 3)
        """
        top, bottom, left, right = box
        part = self.levels[level][top:bottom, left:right]
        # Here, even where dask would rather have a cluster do it, which cannot be sent an open file.
        return np.asarray(part.compute(scheduler="threads") if hasattr(part, "compute") else part)

    def close(self) -> None:
        """Close the file; the levels cannot be read any more."""
        self._close()

    def __enter__(self) -> Self:
        """Return the slide itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()


def falling(levels: Sequence[da.Array]) -> tuple[da.Array, ...]:
    """Order levels by size and keep of those of one size the first."""
    ordered = sorted(levels, key=lambda level: -int(level.shape[0]))
    return tuple(
        level for number, level in enumerate(ordered) if not number or level.shape[0] < ordered[number - 1].shape[0]
    )


def completed(levels: Sequence[da.Array]) -> tuple[tuple[da.Array, ...], tuple[str, ...]]:
    """Add levels below those of a file until one is small enough to be drawn at once.

    Parameters
    ----------
    levels : sequence of dask arrays
        As the file has them, falling.

    Returns
    -------
    levels : tuple of dask arrays
        Each added one has every second pixel of the one before in both directions.
    notes : tuple of str
        Says so, where what is drawn first means that a large level is read.
    """
    found = list(levels)
    smallest = found[-1]
    while max(found[-1].shape[:2]) > OVERVIEW:
        found.append(found[-1][::2, ::2])
    if len(found) == len(levels) or max(smallest.shape[:2]) <= 4 * OVERVIEW:
        return tuple(found), ()
    height, width = smallest.shape[:2]
    return tuple(found), (
        f"The smallest level of the file has {width} x {height} pixels: to show all of the slide they must all be "
        "read, which takes a while. A pyramid with smaller levels opens at once.",
    )
