"""Tiles: which part of an image a network sees at once.

A tile is a core and a halo of context around it. Offsets are aligned to the network's stride, so that
neighbouring tiles see the same grid, hence the same field.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


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
