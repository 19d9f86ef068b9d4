"""Tiles of large images and the scale at which a model sees them.

A tile is a core and a halo of context around it. Offsets are aligned to the network's stride, so that neighbouring
tiles see the same grid, hence the same field. It imports `base`; segmentation, synthesis and slides share it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_nucleigan.base.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

TOLERANCE = 0.05
"""Relative difference in microns per pixel up to which an image is not resampled."""

COARSEST = 2.5
"""Microns per pixel above which nuclei are specks of two or three pixels."""

FINEST = 0.02
"""Microns per pixel below which no light microscope works."""


@dataclass(frozen=True)
class Scale:
    """How an image is brought to the scale of a model.

    Attributes
    ----------
    mpp : float
        Microns per pixel of the image.
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
        factor = mpp / model_mpp
        if abs(factor - 1) <= TOLERANCE:
            return cls(mpp, shape, shape)
        height, width = (max(1, round(length * factor)) for length in shape)
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
    rows, columns = (
        ((np.arange(length) + 0.5) * (inner / length)).astype(np.intp)
        for length, inner in zip(to, labels.shape, strict=True)
    )
    resized: NDArray[np.int32] = labels[rows[:, None], columns]
    return resized


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
