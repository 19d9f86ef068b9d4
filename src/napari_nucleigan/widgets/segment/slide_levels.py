"""Levels of label pyramids on disk, as napari reads them; nothing here touches Qt or a viewer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import zarr

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_STEP = 256


class LabelLevel:
    """A level that is read where it is sliced, and of which nothing is kept: it may still be painted.

    Of a dask array napari keeps what it has read. Of a zarr array it reads whole chunks, whose outlines take longer to
    draw than what is in view.

    Parameters
    ----------
    array : zarr.Array
        Integers, shape (H, W).
    """

    def __init__(self, array: zarr.Array[Any]) -> None:
        self._array = array
        self.shape: tuple[int, ...] = array.shape
        self.dtype: np.dtype[Any] = array.dtype
        self.ndim = array.ndim
        self.size = array.size
        self.chunks = (_STEP, _STEP)

    def __getitem__(self, parts: Any) -> NDArray[Any]:
        """Read a part."""
        return np.asarray(self._array[parts])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Read all."""
        return np.asarray(self[:], dtype)


def open_levels(folder: Path) -> list[LabelLevel]:
    """Open a pyramid that this package has written, the full resolution first."""
    group = zarr.open_group(folder, mode="r")
    known: Any = group.attrs["ome"]
    return [LabelLevel(group[part["path"]]) for part in known["multiscales"][0]["datasets"]]


class LiveLevels:
    """A pyramid that is being painted.

    napari reads the last level once and keeps it, so that is an array in memory which follows the one on disk.

    Parameters
    ----------
    folder : Path
        The pyramid.
    """

    def __init__(self, folder: Path) -> None:
        *finer, self._last = open_levels(folder)
        self._small = self._last[:].copy()
        self.levels: list[Any] = [*finer, self._small]
        """What a layer shows, the full resolution first."""

    def catch_up(self) -> None:
        """Read the last level again."""
        self._small[:] = self._last[:]
