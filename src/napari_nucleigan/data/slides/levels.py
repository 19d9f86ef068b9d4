"""Levels of slides as files keep them: with other axes, with opacity, turned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nucleigan.data.images.convert import over_white
from napari_nucleigan.data.images.layout import turned
from napari_nucleigan.data.slides.slide import Level

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from napari_nucleigan.labels.regions import Bounds


class ZarrLevel(Level):
    """A plane in an array on disk that has more axes, or has them in another order.

    Parameters
    ----------
    file : str
        Name of the file, for errors.
    array : zarr.Array
        The array.
    axes : sequence of str
        Names of its axes; those without a role have one element.
    roles : sequence of str
        Names of the axes of rows, columns and, where there are some, of colours.
    alpha : str
        As for `opaque`.
    """

    def __init__(self, file: str, array: Any, axes: Sequence[str], roles: Sequence[str], alpha: str = "") -> None:
        places = [axes.index(role) for role in roles]
        shape = tuple(int(array.shape[place]) for place in places)
        chunks = tuple(int(array.chunks[place]) for place in places)
        super().__init__(file, (*shape[:2], *[3] * (len(shape) - 2)), array.dtype, (chunks[0], chunks[1]))
        self._array = array
        self._axes = axes
        self._roles = roles
        kept = [axis for axis in axes if axis in roles]
        self._order = [kept.index(role) for role in roles]
        self._alpha = alpha

    def _read(self, box: Bounds) -> npt.NDArray[Any]:
        spans = dict(zip(self._roles, (slice(*box[:2]), slice(*box[2:]), slice(None)), strict=False))
        values = np.asarray(self._array[tuple(spans.get(axis, 0) for axis in self._axes)]).transpose(self._order)
        return np.ascontiguousarray(values) if values.ndim == 2 else opaque(values, self._alpha)


def opaque(values: npt.NDArray[np.uint8], alpha: str) -> npt.NDArray[np.uint8]:
    """Make RGB of samples, of shape (H, W, 3 or more).

    Parameters
    ----------
    values : ndarray of uint8
        Colours first.
    alpha : str
        ``"straight"`` or ``"premultiplied"`` where opacity comes next, which is laid over white; else empty.
    """
    if not alpha:
        return np.ascontiguousarray(values[..., :3])
    return over_white(values[..., :3], values[..., 3:4], premultiplied=alpha == "premultiplied")


class TurnedLevel(Level):
    """A plane the right side up.

    Parameters
    ----------
    plane : Level
        As it is stored.
    orientation : int
        2 to 8, as for `napari_nucleigan.data.images.layout.turned`.
    """

    def __init__(self, plane: Level, orientation: int) -> None:
        order = (1, 0) if orientation >= 5 else (0, 1)
        shape, tile = (tuple(pair[axis] for axis in order) for pair in (plane.shape, plane.tile))
        super().__init__(plane.file, (*shape, *plane.shape[2:]), plane.dtype, (tile[0], tile[1]))
        self._plane = plane
        self._orientation = orientation

    def _read(self, box: Bounds) -> npt.NDArray[Any]:
        height, width = self._plane.shape[:2]
        rows, columns = (box[2:], box[:2]) if self._orientation >= 5 else (box[:2], box[2:])
        if self._orientation in (3, 4, 6, 7):
            rows = height - rows[1], height - rows[0]
        if self._orientation in (2, 3, 7, 8):
            columns = width - columns[1], width - columns[0]
        return turned(self._plane.read((*rows, *columns)), self._orientation)
