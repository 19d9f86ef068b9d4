"""What of an image is to be segmented: all, what the canvas shows, or what was drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_nucleigan.errors import LabelsError
from napari_nucleigan.widgets import layers
from napari_nucleigan.widgets.regions import region_polygons

if TYPE_CHECKING:
    from napari.layers import Image, Shapes

    from napari_nucleigan.segmentation.slides.worker import Region
    from napari_nucleigan.widgets.layers import Box

MARGIN = 16.0
"""Microns around drawn regions that are looked at too, so that nuclei on their edges are whole."""


@dataclass(frozen=True)
class Part:
    """A part of an image.

    Attributes
    ----------
    box : Box or None
        What is read; None for the whole image.
    polygons : tuple of polygons
        Where the centroids of nuclei must lie, if anywhere: corners (row, column); the middle of the first pixel of the
        image is (0, 0).
    """

    box: Box | None = None
    polygons: Region = ()

    @property
    def region(self) -> Region | None:
        """Polygons whose nuclei are wanted, from the corner of the first pixel; None for the whole image."""
        if self.polygons:
            return tuple(tuple((row + 0.5, column + 0.5) for row, column in polygon) for polygon in self.polygons)
        if self.box is None:
            return None
        top, bottom, left, right = map(float, self.box)
        return (((top, left), (top, right), (bottom, right), (bottom, left)),)

    def pixels(self, image: Image) -> int:
        """Count the pixels that are read of an image."""
        height, width = layers.image_shape(image)
        top, bottom, left, right = self.box or (0, height, 0, width)
        return (bottom - top) * (right - left)


WHOLE_IMAGE = Part()


def drawn_part(image: Image, shapes: Shapes, mpp: float) -> Part:
    """Return what was drawn on an image of some microns per pixel.

    Raises
    ------
    LabelsError
        If a shape encloses nothing, or nothing of the image.
    """
    polygons = region_polygons(shapes, image)
    corners = np.concatenate(polygons)
    margin = round(MARGIN / mpp)
    height, width = layers.image_shape(image)
    top, left = (max(0, int(edge) - margin) for edge in np.floor(corners.min(axis=0) + 0.5))
    bottom, right = (int(edge) + 1 + margin for edge in np.ceil(corners.max(axis=0) - 0.5))
    box = top, min(bottom, height), left, min(right, width)
    if box[0] >= box[1] or box[2] >= box[3]:
        raise LabelsError(f"The regions of “{shapes.name}” lie outside of “{image.name}”: draw one on the image.")
    return Part(box, tuple(tuple((float(row), float(column)) for row, column in polygon) for polygon in polygons))
