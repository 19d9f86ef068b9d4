"""Drawn regions: the shapes of a Shapes layer, as pixels of an image and as the part of it to segment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_nucleigan.base.errors import LabelsError
from napari_nucleigan.labels.polygons import as_polygon, polygons_to_labels
from napari_nucleigan.widgets.base.image_sources import Region
from napari_nucleigan.widgets.base.layers import image_shape, labels_place
from napari_nucleigan.widgets.base.transforms import unit_factors

if TYPE_CHECKING:
    from napari.layers import Image, Labels, Shapes
    from napari.viewer import Viewer

    from napari_nucleigan.labels.polygons import Points
    from napari_nucleigan.widgets.base.mask_layers import Reader

COLOUR = "#00e5ff"
"""Of the edges: in H&E nothing is cyan."""

_PARTS = 300  # of the image's shorter side, that an edge is thick

MARGIN = 16.0
"""Microns around drawn regions that are looked at too, so that nuclei on their edges are whole."""


def shapes_layers(viewer: Viewer) -> list[Shapes]:
    """All Shapes layers of a viewer, the topmost first."""
    from napari.layers import Shapes

    return [layer for layer in reversed(viewer.layers) if isinstance(layer, Shapes)]


def add_regions(viewer: Viewer, image: Image, what: str) -> Shapes:
    """Add a layer for regions of an image, with the rectangle tool at hand; its name says what they are."""
    layer = viewer.add_shapes(
        None,
        ndim=2,
        name=f"{image.name} {what}",
        edge_color=COLOUR,
        face_color="transparent",
        edge_width=max(1.0, min(image_shape(image)) / _PARTS),
        **labels_place(image),
    )
    layer.mode = "add_rectangle"
    return layer


def regions_reader(shapes: Shapes, labels: Labels) -> Reader:
    """Return what draws the shapes of a layer, as they are now, on the pixels of a Labels layer.

    Raises
    ------
    LabelsError
        If a shape encloses nothing.
    """
    polygons, shape = region_polygons(shapes, labels), image_shape(labels)
    return lambda: polygons_to_labels(polygons, shape)


def region_polygons(shapes: Shapes, layer: Image | Labels) -> list[Points]:
    """Return the shapes of a layer as polygons in the pixels of another one; the middle of the first is (0, 0).

    The two may have other scales, places and units.

    Raises
    ------
    LabelsError
        If a shape encloses nothing.
    """
    factors = unit_factors(shapes.units, layer.units[-2:])
    return [
        np.array([layer.world_to_data(np.asarray(shapes.data_to_world(point)) * factors)[-2:] for point in polygon])
        for polygon in (
            as_polygon(np.array(data), str(kind)) for data, kind in zip(shapes.data, shapes.shape_type, strict=True)
        )
    ]


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
    height, width = image_shape(image)
    top, left = (max(0, int(edge) - margin) for edge in np.floor(corners.min(axis=0) + 0.5))
    bottom, right = (int(edge) + 1 + margin for edge in np.ceil(corners.max(axis=0) - 0.5))
    box = top, min(bottom, height), left, min(right, width)
    if box[0] >= box[1] or box[2] >= box[3]:
        raise LabelsError(f"The regions of “{shapes.name}” lie outside of “{image.name}”: draw one on the image.")
    return Region(box, tuple(tuple((float(row), float(column)) for row, column in polygon) for polygon in polygons))
