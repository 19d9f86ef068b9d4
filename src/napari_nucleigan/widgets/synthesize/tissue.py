"""Tissue in the Synthesize widget: the layer that holds the map, how it is begun, and the field that chooses it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QWidget

from napari_nucleigan.widgets.base.fields import combo, forward, list_choices, menu_button, row, set_menu
from napari_nucleigan.widgets.base.layers import labels_place, moved, selection_kept

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Image, Labels, Layer
    from napari.viewer import Viewer

    from napari_nucleigan.tissue.record import TissueClasses

_TIP = (
    "Where which tissue is: a Labels layer of the model's classes, coarser than the mask. Paint it as you paint "
    "nuclei; 0 is unknown, and there the model paints what it likes."
)
_BRIGHT = 0.55  # of the colours of classes that are alike, how far they are drawn apart


class TissueBox(QWidget):
    """Choose a tissue map, or begin one."""

    changed = Signal()
    """Another map was chosen."""
    begun = Signal(object)
    """A map is to be begun: that of an Image layer, or an empty one for None."""

    def __init__(self) -> None:
        super().__init__()
        self.box = combo({}, _TIP)
        self.button = menu_button("New", "Begin a tissue map: an empty one, or that of an open H&E image.", {})
        self.layers: list[Labels] = []
        self.setLayout(row(self.box, self.button))
        self.setToolTip(_TIP)
        self.set_layers([], [])
        forward(self.changed, self.box.currentIndexChanged)

    @property
    def layer(self) -> Labels | None:
        """The chosen map; None where the tissue is unknown."""
        index = self.box.currentData()
        return self.layers[index] if index is not None and 0 <= index < len(self.layers) else None

    def set_layers(self, maps: Sequence[Labels], images: Sequence[Image]) -> None:
        """List the layers that can be maps, and the images whose tissue can be mapped; what was chosen stays."""
        before = self.layer
        self.layers = list(maps)
        chosen = next((index for index, layer in enumerate(maps) if layer is before), -1)
        list_choices(self.box, [("Unknown", -1), *((layer.name, index) for index, layer in enumerate(maps))], chosen)
        actions: dict[str, Any] = {"Empty": lambda: self.begun.emit(None)}
        for image in images:
            actions[f"That of “{image.name}”"] = lambda image=image: self.begun.emit(image)
        set_menu(self.button, actions)
        if self.layer is not before:
            self.changed.emit()

    def choose(self, layer: Labels) -> None:
        """Choose a map."""
        self.box.setCurrentIndex(self.box.findData(self.layers.index(layer)))


def add_map(
    viewer: Viewer, over: Layer, shape: tuple[int, int], cells: np.ndarray[Any, Any], classes: TissueClasses
) -> Labels:
    """Show a tissue map as a Labels layer over another layer, in the colours of its classes.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where.
    over : Labels, Shapes or Image
        What it covers.
    shape : (int, int)
        Height and width of that in pixels.
    cells : ndarray of integers, shape (h, w)
        The map.
    classes : TissueClasses
        Its classes.
    """
    from napari.utils.colormaps import DirectLabelColormap

    factors = shape[0] / cells.shape[0], shape[1] / cells.shape[1]
    place = moved(labels_place(over), factors, (0, 0))
    clear = (0.0, 0.0, 0.0, 0.0)
    colours: dict[int | None, tuple[float, ...]] = {None: clear, 0: clear}
    colours |= {number: (*colour, 1.0) for number, colour in enumerate(_colours(classes), 1)}
    with selection_kept(viewer):
        layer = viewer.add_labels(
            cells.astype(np.uint8),
            name=f"{over.name} tissue",
            opacity=0.4,
            colormap=DirectLabelColormap(color_dict=colours),
            features={"index": range(len(classes.names) + 1), "tissue": ["unknown", *classes.names]},
            **place,
        )
    layer.brush_size = 3
    layer.selected_label = 1
    return layer


def _colours(classes: TissueClasses) -> list[tuple[float, float, float]]:
    """Colours of the classes: their own, drawn apart from their mean so that they can be told."""
    own = np.array([each.colour for each in classes.classes]) / 255
    apart = own + (own - own.mean(0)) * _BRIGHT / max(float(own.std(0).max()), 0.05)
    return [(float(red), float(green), float(blue)) for red, green, blue in np.clip(apart, 0, 1)]
