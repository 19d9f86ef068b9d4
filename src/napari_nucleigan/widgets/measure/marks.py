"""Marks: rings around the selected nuclei, in a layer of their own; the labels stay as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_nucleigan.labels.statistics import sample
from napari_nucleigan.widgets.base.layers import (
    METADATA_KEY,
    VIEW_KEY,
    labels_place,
    move_layer,
    selection_kept,
    view_kind,
)

if TYPE_CHECKING:
    from napari.layers import Labels, Points
    from napari.viewer import Viewer
    from numpy.typing import NDArray

    from napari_nucleigan.labels.statistics import MeasuredNuclei

SELECTION = "#ff2bd6"
"""Colour of what is selected, in the image and in the plot: neither H&E nor a class has it."""

MOST_MARKS = 3_000
"""Nuclei that get a ring at most: a sample of them where more are selected."""

_VIEW = "selection"
_AROUND = 1.5  # diameters of a nucleus that its ring is wide
_LEAST = 7  # pixels of the canvas of a ring, however far away


class Marks:
    """Shows which nuclei are selected.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where they are shown.
    """

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._layer: Points | None = None
        self._of: Labels | None = None
        self._working = False

    def show(self, labels: Labels, nuclei: MeasuredNuclei, rows: NDArray) -> None:
        """Mark nuclei of a layer by their rows; none takes the marks away."""
        rows = sample(rows, len(nuclei), MOST_MARKS)
        if not len(rows) or labels not in self._viewer.layers:
            self.clear()
            return
        centres, sizes = nuclei.centres[rows], _AROUND * nuclei.diameters[rows] + 2
        layer = self._layer
        if layer is None or layer not in self._viewer.layers or self._of is not labels:
            self.clear()
            layer = self._add(labels, f"Overlay: selected in {labels.name}")
        move_layer(layer, labels_place(labels))
        layer.data = centres
        layer.size = sizes

    def _add(self, labels: Labels, name: str) -> Points:
        self._working = True
        try:
            with selection_kept(self._viewer):
                layer = self._viewer.add_points(
                    None,
                    ndim=2,
                    name=name,
                    symbol="disc",
                    face_color="transparent",
                    border_color=SELECTION,
                    border_width=0.08,
                    canvas_size_limits=(_LEAST, 10_000),
                    metadata={METADATA_KEY: {VIEW_KEY: _VIEW}},
                    **labels_place(labels),
                )
                layer.editable = False
        finally:
            self._working = False
        self._layer, self._of = layer, labels
        return layer

    @property
    def removed(self) -> bool:
        """Whether somebody else has removed the marks."""
        return not self._working and self._layer is not None and self._layer not in self._viewer.layers

    def clear(self) -> None:
        """Take the marks away, those of a dock that was closed before, too."""
        self._working = True
        try:
            for layer in [layer for layer in self._viewer.layers if view_kind(layer) == _VIEW]:
                self._viewer.layers.remove(layer)
        finally:
            self._working = False
        self._layer = self._of = None
