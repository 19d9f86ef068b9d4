"""Drawn shapes: the Shapes layer that regions are drawn in, and its shapes in the pixels of another layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QWidget

from napari_nucleigan.labels.polygons import as_polygon
from napari_nucleigan.widgets.base.fields import combo, forward, list_layers, push_button, row
from napari_nucleigan.widgets.base.layers import image_shape, labels_place, view_kind
from napari_nucleigan.widgets.base.transforms import unit_factors

if TYPE_CHECKING:
    from napari.layers import Image, Labels, Shapes
    from napari.viewer import Viewer

    from napari_nucleigan.labels.polygons import Points

COLOUR = "#00e5ff"
"""Of the edges: in H&E nothing is cyan."""

_PARTS = 300  # of the image's shorter side, that an edge is thick

REST_MS = 200
"""Rest after the last move of the canvas before it is looked at what is in view."""


def edge_width(image: Image) -> float:
    """Return how many pixels the edges of regions of an image are thick."""
    return max(1.0, min(image_shape(image)) / _PARTS)


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


class ShapesPicker(QWidget):
    """A list of the Shapes layers, and a button that adds one.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer whose layers are listed.
    what : str
        What the shapes are, in one word that ends the name of a new layer.
    tip : str
        What they are for.
    """

    changed = Signal()
    """Another layer was chosen, or a shape was drawn."""

    def __init__(self, viewer: Viewer, what: str, tip: str) -> None:
        super().__init__()
        self._viewer = viewer
        self._what = what
        self._shapes: list[Shapes] = []
        self.box = combo({}, tip)
        self.button = push_button("Draw", "Add a layer for the regions, and draw a rectangle in it.")
        self.setLayout(row(self.box, self.button))
        self.setToolTip(tip)
        forward(self.changed, self.box.currentIndexChanged)

    @property
    def chosen(self) -> Shapes | None:
        """The layer that is chosen."""
        index = self.box.currentIndex()
        return self._shapes[index] if 0 <= index < len(self._shapes) else None

    def reset_choices(self) -> None:
        """List the layers again; what was chosen stays chosen."""
        from napari.layers import Shapes

        shapes = [layer for layer in reversed(self._viewer.layers) if isinstance(layer, Shapes)]
        self._shapes = [layer for layer in shapes if view_kind(layer) is None]
        for layer in self._shapes:
            # The first rectangle is what is waited for.
            layer.events.data.connect(self._drawn)
        list_layers(self.box, self._shapes)

    def draw(self, image: Image) -> None:
        """Add a layer for regions of an image, with the rectangle tool at hand."""
        self._add(image).mode = "add_rectangle"

    def of(self, image: Image) -> Shapes:
        """Return the layer that is chosen, if shapes can be added there, else a new one for regions of an image."""
        shapes = self.chosen
        return shapes if shapes is not None and shapes.ndim == 2 else self._add(image)

    def _add(self, image: Image) -> Shapes:
        layer = self._viewer.add_shapes(
            None,
            ndim=2,
            name=f"{image.name} {self._what}",
            edge_color=COLOUR,
            face_color="transparent",
            edge_width=edge_width(image),
            **labels_place(image),
        )
        self.box.setCurrentIndex(self.box.findData(layer.unique_id))
        return layer

    def problem(self, words: str) -> str:
        """Why nothing is chosen, where `words` say what to draw; empty where something is."""
        shapes = self.chosen
        if shapes is None or not len(shapes.data):
            return f"Press Draw, then {words}"
        if shapes.ndim != 2:
            return f"“{shapes.name}” has {shapes.ndim} dimensions; draw the regions in a new layer: press Draw."
        return ""

    def _drawn(self, event: object = None) -> None:
        self.changed.emit()
