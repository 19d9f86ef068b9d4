"""Regions: what of an image is wanted: all, what is in view, or shapes that were drawn; in memory, or as a slide."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QObject, QTimer, Signal
from qtpy.QtWidgets import QWidget

from napari_nucleigan.base.errors import LabelsError, NucleiganError
from napari_nucleigan.labels.polygons import as_polygon, polygons_to_labels
from napari_nucleigan.widgets.base import layers
from napari_nucleigan.widgets.base.fields import combo, forward, list_layers, push_button, row
from napari_nucleigan.widgets.base.image_sources import WHOLE_IMAGE, Region
from napari_nucleigan.widgets.base.layers import image_shape
from napari_nucleigan.widgets.base.transforms import unit_factors, view_box
from napari_nucleigan.widgets.segment import form as forms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Image, Labels, Shapes
    from napari.viewer import Viewer

    from napari_nucleigan.labels.polygons import Points
    from napari_nucleigan.widgets.base.mask_layers import Reader
    from napari_nucleigan.widgets.base.transforms import PixelSizes
    from napari_nucleigan.widgets.segment.form import SegmentForm


COLOUR = "#00e5ff"
"""Of the edges: in H&E nothing is cyan."""

_PARTS = 300  # of the image's shorter side, that an edge is thick

MARGIN = 16.0
"""Microns around drawn regions that are looked at too, so that nuclei on their edges are whole."""

REST_MS = 200
"""Rest after the last move of the canvas before it is looked at what is in view."""


def edge_width(image: Image) -> float:
    """Return how many pixels the edges of regions of an image are thick."""
    return max(1.0, min(layers.image_shape(image)) / _PARTS)


def regions_reader(shapes: Shapes, labels: Labels | Image) -> Reader:
    """Return what draws the shapes of a layer, as they are now, on the pixels of a Labels layer or an image.

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


class RegionChoice(QObject):
    """Reads the fields of the region.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        What is in view.
    form : SegmentForm
        Where region and model are chosen.
    shapes : ShapesPicker
        Where drawn regions are chosen.
    scales : PixelSizes
        Microns per pixel of the images.
    parent : QObject
        The widget that owns it.
    """

    view_changed = Signal()
    """Another part of the image is in view, and that is what is wanted."""

    def __init__(
        self, viewer: Viewer, form: SegmentForm, shapes: ShapesPicker, scales: PixelSizes, parent: QObject
    ) -> None:
        super().__init__(parent)
        self._viewer, self._form, self._shapes, self._scales = viewer, form, shapes, scales
        self._timer = QTimer(self, singleShot=True, interval=REST_MS)
        self._timer.timeout.connect(self.view_changed.emit)
        viewer.scene.camera.events.connect(self._moved)

    @property
    def kind(self) -> str:
        """`forms.WHOLE`, `forms.VIEW` or `forms.DRAWN`; of several images all is wanted."""
        whole = self._form.image.currentData() == forms.ALL_IMAGES
        return forms.WHOLE if whole else str(self._form.region.currentData())

    def part(self, image: Image) -> Region:
        """Return what is wanted of an image.

        Raises
        ------
        ImageError, LabelsError
            If nothing of it is in view, or enclosed by what was drawn.
        """
        if self.kind == forms.VIEW:
            return Region(view_box(self._viewer, image))
        if self.kind == forms.DRAWN and self._shapes.chosen is not None:
            return drawn_part(image, self._shapes.chosen, self._scales.of(image)[0] or 1.0)
        return WHOLE_IMAGE

    def is_slide(self, image: Image, part: Region) -> bool:
        """Whether a part of an image is too much to be held in memory at the model's scale."""
        card, mpp = self._form.picker.card, self._scales.of(image)[0]
        if card is None or mpp is None or layers.layer_problem(image):
            return False
        return part.pixels(image) * (mpp / card.mpp) ** 2 > layers.LARGE

    def problem(self, images: Sequence[Image]) -> str:
        """Why what is wanted of some images cannot be segmented; empty where it can."""
        if self.kind == forms.DRAWN:
            if text := self._shapes.problem("draw a rectangle around what is to be segmented."):
                return text
        try:
            slides = [image for image in images if self.is_slide(image, self.part(image))]
        except NucleiganError as error:
            return str(error)
        return next(filter(None, map(self._form.slide.problem, slides)), "")

    def rest(self) -> None:
        """Look at the view no more."""
        self._timer.stop()

    def _moved(self, event: object = None) -> None:
        if self.kind == forms.VIEW:
            self._timer.start()


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
        self._shapes = [layer for layer in shapes if layers.view_kind(layer) is None]
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
            **layers.labels_place(image),
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
