"""What of an image is to be segmented: all, what the canvas shows, or what was drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_nucleigan.base.errors import LabelsError
from napari_nucleigan.widgets.base import layers
from napari_nucleigan.widgets.base.image_sources import Region
from napari_nucleigan.widgets.segment.drawn_regions import region_polygons

if TYPE_CHECKING:
    from napari.layers import Image, Shapes


MARGIN = 16.0
"""Microns around drawn regions that are looked at too, so that nuclei on their edges are whole."""


def drawn_part(image: Image, shapes: Shapes, mpp: float) -> Region:
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
    return Region(box, tuple(tuple((float(row), float(column)) for row, column in polygon) for polygon in polygons))
