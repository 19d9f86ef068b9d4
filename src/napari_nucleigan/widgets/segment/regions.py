"""Regions: what of an image is wanted: all, what is in view, or shapes that were drawn; in memory, or as a slide."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QObject, QTimer, Signal

from napari_nucleigan.base.errors import LabelsError, NucleiganError
from napari_nucleigan.labels.polygons import polygons_to_labels
from napari_nucleigan.widgets.base import layers
from napari_nucleigan.widgets.base.drawn_shapes import REST_MS, region_polygons
from napari_nucleigan.widgets.base.image_sources import WHOLE_IMAGE, Region
from napari_nucleigan.widgets.base.layers import image_shape
from napari_nucleigan.widgets.base.transforms import view_box
from napari_nucleigan.widgets.segment import form as forms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Image, Labels, Shapes
    from napari.viewer import Viewer

    from napari_nucleigan.widgets.base.drawn_shapes import ShapesPicker
    from napari_nucleigan.widgets.base.mask_layers import Reader
    from napari_nucleigan.widgets.base.transforms import PixelSizes
    from napari_nucleigan.widgets.segment.form import SegmentForm


MARGIN = 16.0
"""Microns around drawn regions that are looked at too, so that nuclei on their edges are whole."""


def regions_reader(shapes: Shapes, labels: Labels | Image) -> Reader:
    """Return what draws the shapes of a layer, as they are now, on the pixels of a Labels layer or an image.

    Raises
    ------
    LabelsError
        If a shape encloses nothing.
    """
    polygons, shape = region_polygons(shapes, labels), image_shape(labels)
    return lambda: polygons_to_labels(polygons, shape)


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
