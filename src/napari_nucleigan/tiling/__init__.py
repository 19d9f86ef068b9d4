"""Tiles of large images and the scale at which a model sees them.

A tile is a core and a halo of context around it. Offsets are aligned to the network's stride, so that neighbouring
tiles see the same grid, hence the same field. It imports `base`; segmentation, synthesis and slides share it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_nucleigan.base.errors import ImageError
from napari_nucleigan.base.pixels import sides

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

TOLERANCE = 0.05
"""Relative difference in microns per pixel up to which an image is not resampled."""

COARSEST = 2.5
"""Microns per pixel above which nuclei are specks of two or three pixels."""

FINEST = 0.02
"""Microns per pixel below which no light microscope works."""


_BAND = 1 << 20  # pixels that are settled at once
_WEIGHTS = np.outer((1, 3, 3, 1), (1, 3, 3, 1)).ravel()  # of the pixels around a corner


@dataclass(frozen=True)
class Scale:
    """How an image is brought to the scale of a model.

    Attributes
    ----------
    mpp : float
        Microns per pixel of the image; each direction has its own scale, see `napari_nucleigan.base.pixels`.
    shape : (int, int)
        Height and width of the image in its own pixels.
    model_shape : (int, int)
        Height and width at the model's scale; the same where no resampling is needed.
    """

    mpp: float
    shape: tuple[int, int]
    model_shape: tuple[int, int]

    @classmethod
    def of(cls, shape: tuple[int, int], mpp: float, model_mpp: float) -> Scale:
        """Plan the resampling of an image.

        Raises
        ------
        ImageError
            If no nuclei can be seen at this scale.
        """
        if not FINEST <= mpp <= COARSEST:
            raise ImageError(
                f"The image is said to have {mpp:.4g} microns per pixel, but nuclei can be segmented "
                f"from {FINEST} to {COARSEST}; give the right value (about 0.25 at 40x, 0.5 at 20x)."
            )
        factors = [side / model_mpp for side in sides(mpp)]
        if all(abs(factor - 1) <= TOLERANCE for factor in factors):
            return cls(mpp, shape, shape)
        height, width = (max(1, round(length * factor)) for length, factor in zip(shape, factors, strict=True))
        return cls(mpp, shape, (height, width))

    @property
    def resamples(self) -> bool:
        """Whether the two scales differ."""
        return self.shape != self.model_shape


def resize_image(image: NDArray[np.uint8], to: tuple[int, int]) -> NDArray[np.uint8]:
    """Resample an image, linearly; anti-aliased where it shrinks.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, 3)
        RGB.
    to : (int, int)
        Height and width wanted, in pixels.

    Returns
    -------
    ndarray of uint8, shape (h, w, 3)
        The image itself where it has that size.
    """
    if image.shape[:2] == to:
        return image
    import torch

    channels_first = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None]
    resized = torch.nn.functional.interpolate(channels_first, to, mode="bilinear", align_corners=False, antialias=True)
    result: NDArray[np.uint8] = resized[0].permute(1, 2, 0).contiguous().numpy()
    return result


def resize_labels(labels: NDArray[np.int32], to: tuple[int, int]) -> NDArray[np.int32]:
    """Resample labels, by the nearest pixel.

    Where two or four are equally near, as everywhere at half the size, the label with most of the pixels around counts:
    to take one side always would shift all nuclei.

    Parameters
    ----------
    labels : ndarray of int32, shape (H, W)
        0 is background.
    to : (int, int)
        Height and width wanted, in pixels.

    Returns
    -------
    ndarray of int32, shape (h, w)
        The labels themselves where they have that size.
    """
    if labels.shape == to:
        return labels
    rows, columns = (_nearest(length, inner) for length, inner in zip(to, labels.shape, strict=True))
    resized: NDArray[np.int32] = labels[rows[1][:, None], columns[1]]
    if (rows[0] < rows[1]).any() or (columns[0] < columns[1]).any():
        band = max(1, _BAND // to[1])
        for top in range(0, to[0], band):
            part = slice(top, top + band)
            _vote(labels, (rows[0][part], rows[1][part]), columns, resized[part], top)
    return resized


def _nearest(length: int, inner: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Find the pixels of an axis that the middles of others lie in; two where a middle lies between them."""
    middle = (2 * np.arange(length) + 1) * inner
    high = middle // (2 * length)
    return high - (middle % (2 * length) == 0), high


def _vote(
    labels: NDArray[np.int32],
    rows: tuple[NDArray[np.intp], NDArray[np.intp]],
    columns: tuple[NDArray[np.intp], NDArray[np.intp]],
    resized: NDArray[np.int32],
    top: int,
) -> None:
    """Settle the pixels of a band, from row `top` on, whose nearest pixels have several labels."""
    differs = np.zeros(resized.shape, bool)
    for row, column in ((0, 0), (0, 1), (1, 0)):
        differs |= labels[rows[row][:, None], columns[column]] != resized
    y, x = np.nonzero(differs)
    below, right = (
        np.array([low[place] - 1, low[place], high[place], high[place] + 1]).clip(0, length - 1)
        for (low, high), place, length in zip((rows, columns), (y, x), labels.shape, strict=True)
    )
    around = labels[below[:, None], right].reshape(16, -1)
    middle = around[[5, 6, 9, 10]]
    votes = np.array([_WEIGHTS @ (around == label) for label in middle])
    # On a straight edge they are equal still. Then now one and now the other side has it, by blocks, so that outlines
    # are not ragged.
    first = votes.argmax(axis=0)
    last = 3 - votes[::-1].argmax(axis=0)
    chosen = np.where(((y + top) // 3 + x // 3) % 2, first, last)
    resized[y, x] = np.take_along_axis(middle, chosen[None], axis=0)[0]


@dataclass(frozen=True)
class Box:
    """A rectangle of pixels: rows `top` to `bottom`, columns `left` to `right`, ends excluded."""

    top: int
    bottom: int
    left: int
    right: int

    @classmethod
    def of(cls, shape: tuple[int, int]) -> Box:
        """Return the box of a whole image of a shape (height, width)."""
        return cls(0, shape[0], 0, shape[1])

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

    def grown(self, margin: int, shape: tuple[int, int]) -> Box:
        """Return this box with a margin around it, as far as an image of a shape (height, width) reaches."""
        return Box(
            max(0, self.top - margin),
            min(shape[0], self.bottom + margin),
            max(0, self.left - margin),
            min(shape[1], self.right + margin),
        )

    def __and__(self, other: Box) -> Box:
        """Return what two boxes share; what has no pixels where they do not meet."""
        return Box(
            max(self.top, other.top),
            min(self.bottom, other.bottom),
            max(self.left, other.left),
            min(self.right, other.right),
        )

    def __or__(self, other: Box) -> Box:
        """Return the smallest box that holds two."""
        return Box(
            min(self.top, other.top),
            max(self.bottom, other.bottom),
            min(self.left, other.left),
            max(self.right, other.right),
        )

    def meets(self, other: Box) -> bool:
        """Tell whether two boxes share pixels."""
        return min((self & other).shape) > 0


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
    cores = [Box(top, bottom, left, right) for top, bottom in rows for left, right in columns]
    return [Tile(core, core.grown(margin, shape)) for core in cores]


def _divide(length: int, core: int, stride: int) -> list[tuple[int, int]]:
    largest = max(stride, core // stride * stride)
    count = -(-length // largest)
    side = -(-length // (count * stride)) * stride
    return [(start, min(start + side, length)) for start in range(0, length, side)]


def batches(tiles: list[Tile], size: int) -> Iterator[list[Tile]]:
    """Group tiles, in order, into batches of at most `size`."""
    for start in range(0, len(tiles), size):
        yield tiles[start : start + size]
