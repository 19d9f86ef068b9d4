"""The form of *Measure nuclei*: which nuclei, of which part of the image, and by which classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.layers import Labels
from qtpy.QtCore import Signal

from napari_nucleigan.segmentation.artefacts import ARTEFACT
from napari_nucleigan.widgets.base.drawn_shapes import ShapesPicker, region_polygons
from napari_nucleigan.widgets.base.fields import (
    Form,
    add_row,
    check,
    combo,
    list_choices,
    list_layers,
    objective_button,
    on_typed,
    pixel_size,
)
from napari_nucleigan.widgets.base.layers import view_kind
from napari_nucleigan.widgets.base.mask_layers import mask_problem
from napari_nucleigan.widgets.base.transforms import view_corners
from napari_nucleigan.widgets.measure.jobs import slide_problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari.viewer import Viewer

    from napari_nucleigan.labels.polygons import Points

WHOLE, VIEW, DRAWN = "whole", "view", "drawn"
"""Which nuclei are told of."""
NO_CLASSES = ""
"""Choice of classes that is none."""
COUNT = ""
"""Choice of the y axis that makes a histogram of the x axis."""
_FIRST = ("area_um2", "area_px")

_TIPS = {
    "labels": "The nuclei: what Segment nuclei has found, or labels that you have opened.",
    "y": "Another measurement for a scatter plot, or the number of nuclei for a histogram.",
    "mpp": "Microns per pixel of the nuclei, for densities and for measurements in microns. By default those of the "
    "layer.",
    "full": "Measure texture of the chromatin, rim, nucleolus and cytoplasm, too, and how near other nuclei are. "
    "It takes longer.",
    "region": "Tell of all nuclei, of those in the canvas now, or of those in the shapes that you draw. A nucleus "
    "counts if its centre lies there.",
    "shapes": "A Shapes layer with rectangles, polygons or ellipses.",
    "classes": "What tells the classes of the nuclei: a column of their features, or a layer such as that of Classify "
    "nuclei.",
}
_DRAW = "draw a rectangle around the nuclei that are to be told of."


class MeasureForm(Form):
    """Fields for nuclei, a region, classes, what is plotted, and how it is measured.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer whose layers are listed.
    """

    mpp_typed = Signal(float)
    """Microns per pixel that the user has typed; 0 for those of the layer."""

    def __init__(self, viewer: Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self.labels = self.add("Nuclei", combo({}, _TIPS["labels"]))
        self.region = self.add(
            "Region", combo({"Whole image": WHOLE, "Current view": VIEW, "Drawn region": DRAWN}, _TIPS["region"])
        )
        self.shapes = ShapesPicker(viewer, "region", _TIPS["shapes"])
        self.add("Shapes", self.shapes)
        self.classes = self.add("Classes", combo({"None": NO_CLASSES}, _TIPS["classes"]))
        self.x_axis = self.add("X axis", combo({}, "The measurement on the x axis."))
        self.y_axis = self.add("Y axis", combo({"Number of nuclei": COUNT}, _TIPS["y"]))
        self.measuring = Form()
        """What is seldom changed, for a place of its own."""
        self.mpp = pixel_size("from the layer", _TIPS["mpp"])
        add_row(self.measuring.rows, "Pixel size", self.mpp, objective_button(self.mpp))
        on_typed(self.mpp, self.mpp_typed.emit)
        self.full = check("Texture and neighbours", _TIPS["full"])
        self.measuring.rows.addRow(self.full)

    def list_layers(self) -> None:
        """List the layers of the viewer; what was chosen stays chosen."""
        nuclei = [layer for layer in reversed(self._viewer.layers) if isinstance(layer, Labels)]
        list_layers(self.labels, [layer for layer in nuclei if view_kind(layer) is None])
        self.shapes.reset_choices()

    def list_classes(self, choices: Mapping[str, str]) -> None:
        """List what can tell classes; what was chosen stays chosen, else the first one is that was made for it."""
        before, listed = self.classes.currentData(), map(self.classes.itemData, range(self.classes.count()))
        refused = not before and any(each not in (NO_CLASSES, ARTEFACT) for each in listed)
        first = next((each for each in choices.values() if each != ARTEFACT), NO_CLASSES)
        chosen = before if before in choices.values() or refused else first
        list_choices(self.classes, [("None", NO_CLASSES), *choices.items()], chosen)

    def list_measurements(self, names: Mapping[str, str]) -> None:
        """List the columns that can be plotted, with their names for people; what was chosen stays chosen."""
        x, y = self.x_axis.currentData(), self.y_axis.currentData()
        choices = [(name, column) for column, name in names.items()]
        first = next((name for name in (*_FIRST, *names) if name in names), None)
        list_choices(self.x_axis, choices, x if x in names else first)
        list_choices(self.y_axis, [("Number of nuclei", COUNT), *choices], y if y in names else COUNT)

    @property
    def layer(self) -> Labels | None:
        """The chosen nuclei."""
        chosen = self.labels.currentData()
        return next((layer for layer in self._viewer.layers if layer.unique_id == chosen), None)

    def problem(self) -> str:
        """Why nuclei cannot be measured; empty where they can."""
        layer = self.layer
        if layer is None:
            return "Segment an image first, or open labels of its nuclei."
        return mask_problem(layer) or slide_problem(layer)

    def drawn(self, layer: Labels) -> list[Points]:
        """Return the drawn shapes in the pixels of a layer; raises `LabelsError` if one encloses nothing."""
        shapes = self.shapes.chosen
        return [] if shapes is None else region_polygons(shapes, layer)

    def polygons(self, layer: Labels) -> tuple[Points, ...] | None:
        """Return the polygons whose nuclei are told of, None for all nuclei; raises as `drawn`."""
        kind = self.region.currentData()
        if kind == VIEW:
            return (view_corners(self._viewer, layer),)
        return tuple(self.drawn(layer)) if kind == DRAWN else None

    def region_problem(self) -> str:
        """Why there is no region; empty where there is."""
        return self.shapes.problem(_DRAW) if self.region.currentData() == DRAWN else ""
