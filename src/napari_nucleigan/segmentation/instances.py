"""Instances: the nuclei of tiles, and the rule by which each nucleus of an image counts once.

A nucleus belongs to the tile whose core holds its centroid, which moves far less with the network's rounding than the
peak of a field does. Nuclei within a few pixels of a border are looked for by both neighbours; the first of the two
wins.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_nucleigan.tiling import Box, Tile

BAND = 6
"""Pixels beyond a core in which a tile still takes nuclei; rounding moves centroids by less."""

SAME = 0.3
"""Intersection over union above which two nuclei of neighbouring tiles are the same."""


_FEATURE = "feature:"


@dataclass(frozen=True, eq=False)
class Instances:
    """Nuclei of one tile.

    Attributes
    ----------
    corners : ndarray of int, shape (n, 2)
        First row and column of each nucleus, in pixels at the model's scale.
    masks : tuple of ndarray of bool
        Each nucleus, cropped.
    features : dict of str to ndarray, shape (n,)
        Of slides, as `napari_nucleigan.labels.features.measure` gives them, in pixels of the slide; without labels.
        Their confidence, where the model tells it.
    """

    corners: NDArray[np.integer]
    masks: tuple[NDArray[np.bool_], ...]
    features: dict[str, NDArray[Any]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        labels: NDArray[np.int32],
        window: Box,
        keep: NDArray[np.bool_] | None = None,
        features: dict[str, NDArray[Any]] | None = None,
    ) -> Instances:
        """Crop the nuclei out of the labels of a window, (H, W); of labels that `keep`, (n + 1,), is true for."""
        boxes = [
            (number, box)
            for number, box in enumerate(ndimage.find_objects(labels), start=1)
            if keep is None or keep[number]
        ]
        corners = [(window.top + box[0].start, window.left + box[1].start) for _, box in boxes]
        masks = tuple(labels[box] == number for number, box in boxes)
        return cls(np.array(corners, dtype=np.intp).reshape(-1, 2), masks, features or {})

    def __len__(self) -> int:
        """Return how many nuclei there are."""
        return len(self.masks)

    @cached_property
    def boxes(self) -> NDArray[np.int64]:
        """First row, last row + 1, first and last column + 1 of each nucleus, shape (n, 4)."""
        shapes = np.array([mask.shape for mask in self.masks], np.int64).reshape(-1, 2)
        return np.stack([self.corners, self.corners + shapes], axis=2).reshape(-1, 4)

    def pack(self) -> bytes:
        """Represent the nuclei by bytes, their masks by eight pixels to a byte; nothing in them can be executed."""
        buffer = io.BytesIO()
        flat = np.concatenate([mask.ravel() for mask in self.masks]) if self.masks else np.zeros(0, bool)
        shapes = np.array([mask.shape for mask in self.masks], np.int32).reshape(-1, 2)
        columns: dict[str, Any] = {_FEATURE + name: values for name, values in self.features.items()}
        corners = self.corners.astype(np.int32)
        np.savez_compressed(buffer, corners=corners, shapes=shapes, bits=np.packbits(flat), **columns)
        return buffer.getvalue()

    @classmethod
    def unpack(cls, content: bytes) -> Instances:
        """Read what `pack` gave.

        Raises
        ------
        ValueError
            If it is something else.
        """
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
                features = {
                    name.removeprefix(_FEATURE): arrays[name] for name in arrays.files if name.startswith(_FEATURE)
                }
                corners, shapes = arrays["corners"], arrays["shapes"]
                sizes = shapes.prod(axis=1, dtype=np.int64)
                flat = np.unpackbits(arrays["bits"], count=int(sizes.sum())).astype(bool)
                ends = np.cumsum(sizes).tolist()
                masks = tuple(
                    flat[start:end].reshape(shape)
                    for start, end, shape in zip([0, *ends], ends, shapes.tolist(), strict=False)
                )
                if any(len(values) != len(masks) for values in (corners, *features.values())):
                    raise ValueError("its parts are of different lengths")
                return cls(corners, masks, features)
        except Exception as error:  # whatever a damaged archive makes zipfile and numpy say
            raise ValueError(f"no record of a tile ({error})") from error

    def __reduce__(self) -> tuple[Callable[[bytes], Instances], tuple[bytes]]:
        """Travel between processes as bytes."""
        return Instances.unpack, (self.pack(),)


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


def renumbered(labels: NDArray[np.int32], keep: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Drop the labels, (H, W), that `keep`, (n + 1,), is false for, and number the rest 1, 2, ... without gaps."""
    names = np.zeros(keep.size, np.int32)
    names[1:][keep[1:]] = np.arange(1, np.count_nonzero(keep[1:]) + 1, dtype=np.int32)
    return names[labels]


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


class Mosaic:
    """A label image that is put together from the nuclei of tiles.

    Of two tiles the first wins: a nucleus that it has found already (intersection over union above `SAME`, or more than
    half of the pixels taken) is dropped, and others leave it the pixels that both claim.

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

    def add(self, instances: Instances) -> NDArray[np.bool_]:
        """Paint nuclei, except those that an earlier tile has found already.

        Parameters
        ----------
        instances : Instances
            Nuclei of one tile. Tiles must come in the order of `plan_tiles`.

        Returns
        -------
        ndarray of bool, shape (n,)
            True for those that were painted.
        """
        nuclei = zip(instances.corners, instances.masks, strict=True)
        return np.array([self.claim(row, column, mask) is not None for (row, column), mask in nuclei], bool)

    def claim(self, row: int, column: int, mask: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
        """Paint a nucleus that lies in the image, unless an earlier one is the same.

        Parameters
        ----------
        row, column : int
            Where the mask begins.
        mask : ndarray of bool, shape (h, w)
            Its pixels.

        Returns
        -------
        ndarray of bool, shape (h, w), or None
            What is left of it: the mask itself where nothing was taken; None where it is dropped.
        """
        view = self.labels[row : row + mask.shape[0], column : column + mask.shape[1]]
        taken = view[mask]
        area = taken.size
        hits = taken[taken > 0]
        if hits.size:
            if hits.size > area / 2 or self._found(hits, area):
                return None
            mask = mask & (view == 0)
        view[mask] = len(self._areas)
        # Of a nucleus that leaves pixels to others the whole area counts, as it was found.
        self._areas.append(area)
        return mask

    def put(self, row: int, column: int, mask: NDArray[np.bool_], area: int) -> None:
        """Paint what `claim` has left of a nucleus elsewhere, as far as it reaches; `area` is its whole area."""
        stamp(self.labels, row, column, mask, len(self._areas))
        self._areas.append(area)

    def _found(self, hits: NDArray[np.int32], area: int) -> bool:
        for name, common in zip(*np.unique(hits, return_counts=True), strict=True):
            if common > SAME * (area + self._areas[name] - common):
                return True
        return False
