"""A field for the layer of drawn regions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QPushButton, QWidget

from napari_nucleigan.widgets.base.fields import combo, row, silent
from napari_nucleigan.widgets.segment.drawn_regions import add_regions, shapes_layers

if TYPE_CHECKING:
    from napari.layers import Image, Shapes
    from napari.viewer import Viewer


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
        self.button = QPushButton("Draw")
        self.button.setToolTip("Add a layer for the regions, and draw a rectangle in it.")
        self.setLayout(row(self.box, self.button))
        self.setToolTip(tip)
        self.box.currentIndexChanged.connect(lambda _: self.changed.emit())

    @property
    def chosen(self) -> Shapes | None:
        """The layer that is chosen."""
        index = self.box.currentIndex()
        return self._shapes[index] if 0 <= index < len(self._shapes) else None

    def reset_choices(self) -> None:
        """List the layers anew; what was chosen stays chosen."""
        before = self.box.currentData()
        self._shapes = shapes_layers(self._viewer)
        for layer in self._shapes:
            # The first rectangle is what is waited for.
            layer.events.data.connect(self._drawn)
        with silent(self.box):
            self.box.clear()
            for layer in self._shapes:
                self.box.addItem(layer.name, layer.unique_id)
            self.box.setCurrentIndex(max(0, self.box.findData(before)) if self._shapes else -1)

    def draw(self, image: Image) -> None:
        """Add a layer for regions of an image, with the rectangle tool at hand."""
        layer = add_regions(self._viewer, image, self._what)
        self.box.setCurrentIndex(self.box.findData(layer.unique_id))

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
