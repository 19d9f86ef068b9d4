"""Regions that a user has drawn in a Shapes layer, as pixels of an image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nucleigan.labels.polygons import as_polygon, polygons_to_labels
from napari_nucleigan.widgets.base.layers import image_shape, labels_place

if TYPE_CHECKING:
    from napari.layers import Image, Labels, Shapes
    from napari.viewer import Viewer

    from napari_nucleigan.labels.polygons import Points
    from napari_nucleigan.widgets.base.mask_layers import Reader

COLOUR = "#00e5ff"
"""Of the edges: in H&E nothing is cyan."""

_PARTS = 300  # of the image's shorter side, that an edge is thick


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
    factors = np.array([_factor(*units) for units in zip(shapes.units, layer.units[-2:], strict=True)])
    return [
        np.array([layer.world_to_data(np.asarray(shapes.data_to_world(point)) * factors)[-2:] for point in polygon])
        for polygon in (
            as_polygon(np.array(data), str(kind)) for data, kind in zip(shapes.data, shapes.shape_type, strict=True)
        )
    ]


def _factor(own: Any, wanted: Any) -> float:
    """How many of the wanted units one is; 1 where they do not measure the same, as napari has it."""
    quantity = 1 * own
    return float(quantity.to(wanted).magnitude) if quantity.check(wanted) else 1.0
