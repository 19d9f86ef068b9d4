"""Tissue of the Masks widget: the map that lies beside a mask, begun, painted, and completed by fills."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtGui import QColor, QIcon, QPixmap

from napari_nucleigan.base.errors import ModelError
from napari_nucleigan.base.events import Job, Progress
from napari_nucleigan.models import list_models
from napari_nucleigan.models.tissue import classes_on, masks_on
from napari_nucleigan.tissue.features import mask_grid
from napari_nucleigan.widgets.base.dock import Page
from napari_nucleigan.widgets.base.fields import (
    MARGIN,
    NO_MARGINS,
    Form,
    column,
    combo,
    enable,
    list_choices,
    push_button,
    set_text,
)
from napari_nucleigan.widgets.base.jobs import Runner
from napari_nucleigan.widgets.base.layers import read_cells
from napari_nucleigan.widgets.base.tissue import (
    MapMaker,
    TissueBox,
    add_map,
    class_colours,
    complete_map,
    map_classes,
    tissue_maps,
)
from napari_nucleigan.widgets.masks.sync import editing_problem

if TYPE_CHECKING:
    from napari.layers import Image, Labels
    from napari.viewer import Viewer

    from napari_nucleigan.masks.sampler.parameters import PolygonMasks
    from napari_nucleigan.tissue.record import TissueClasses
    from napari_nucleigan.widgets.masks.session import MaskSession

_PAINT = "Paint this tissue with a brush in the Labels layer of the map, as you paint nuclei. Label 0 makes it unknown."


@dataclass(frozen=True)
class TissueModel:
    """A model that paints tissue.

    Attributes
    ----------
    name, path : str
        Its name, and its file.
    classes : TissueClasses
        The classes that it knows.
    masks : PolygonMasks or None
        What it has learnt of masks and their tissue.
    """

    name: str
    path: str
    classes: TissueClasses
    masks: PolygonMasks | None


def find_tissue_models() -> Job[list[TissueModel]]:
    """Look for models that know tissue; one whose card is not right is left out."""
    yield Progress(0, 1, "looking for models")
    found = []
    for file in list_models("synthesizer"):
        with suppress(ModelError):
            if file.card is not None and (classes := classes_on(file.card)) is not None:
                found.append(TissueModel(file.name, str(file.path), classes, masks_on(file.card)))
    return found


class TissuePage(Page):
    """Fields and tools for the tissue map of the chosen mask.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where the layers are.
    session : MaskSession
        Tells the chosen mask.
    """

    found = Signal()
    """Models were looked for."""

    def __init__(self, viewer: Viewer, session: MaskSession) -> None:
        super().__init__()
        self._viewer, self._session = viewer, session
        self.models: list[TissueModel] = []
        self.form = Form(margin=MARGIN)
        model = combo({}, "Whose classes of tissue a new map has: those of a model that paints them.")
        self.model = self.form.add("Model", model, call=self._list_classes)
        self.map = self.form.add("Map", TissueBox(), call=self._list_classes)
        self.paint_button = push_button("Paint", _PAINT)
        brush = combo({}, "The tissue that is painted: the classes of the map, in its colours.")
        self.brush = self.form.add("Tissue", brush, self.paint_button, self.paint)
        self.remark = self.form.add_remark()
        column(self.form, inside=self, margins=NO_MARGINS)
        self._finder = Runner(self)
        self._maker = MapMaker(viewer, self)
        self._wire(self._finder, self._found, quiet=True)
        self._wire(self._maker, self._made, quiet=True)
        self.map.begun.connect(self.begin)
        self.paint_button.clicked.connect(lambda: self.paint())

    @property
    def chosen_model(self) -> TissueModel | None:
        """The model whose classes a new map has."""
        index = self.model.currentData()
        return self.models[index] if index is not None and index < len(self.models) else None

    @property
    def painter(self) -> TissueModel | None:
        """A model that paints the chosen map; None where there is no map, or no such model."""
        layer = self.map.layer
        if layer is None:
            return None
        own = map_classes(layer)
        return next((each for each in self.models if own in (None, each.classes)), None)

    def look(self) -> None:
        """Look for models that know tissue."""
        if not self._finder.running:
            self._finder.start(find_tissue_models(), "looking for models")

    def refresh(self) -> None:
        """List the layers again, for the mask that is chosen now."""
        mask, images = self._session.mask, self._session.images
        self.map.set_layers(mask, [layer for layer in tissue_maps(self._viewer) if not editing_problem(layer)], images)
        problem = "" if self._session.mpp else "Create or choose a mask first, and give its pixel size."
        enable(self.map.button, problem, "Begin a tissue map: an empty one, or that of an open H&E image.")
        self._list_classes()

    def begin(self, image: Image | None) -> None:
        """Begin a map over the mask: an empty one, or that of an image."""
        mask, mpp, model = self._session.mask, self._session.mpp, self.chosen_model
        if mask is not None and mpp and model is not None:
            self._maker.begin(mask, mpp, model.classes, image)

    def paint(self) -> None:
        """Take the brush of the chosen tissue in hand."""
        layer, number = self.map.layer, self.brush.currentData()
        if layer is not None and number is not None:
            layer.selected_label = number
            layer.visible = True
            self._viewer.layers.selection.active = layer
            layer.mode = "paint"

    def problem(self, statistics: PolygonMasks) -> str:
        """Why nuclei cannot be laid out on the chosen map; empty where they can."""
        own = map_classes(self.map.layer) if self.map.layer is not None else None
        if statistics.layout is None or own is None or own == statistics.layout.classes:
            return ""
        return "The tissue map is of other classes: choose another one on the Tissue tab, or another tissue above."

    def cells(self, statistics: PolygonMasks) -> np.ndarray[Any, Any] | None:
        """Return what is known of the tissue of the mask, for masks that are laid out on it."""
        mask, mpp, layer = self._session.mask, self._session.mpp, self.map.layer
        if statistics.layout is None or layer is None or mask is None or not mpp:
            return None
        height, width = mask.data.shape
        return read_cells(np.asarray(layer.data), mask_grid((height, width), mpp, statistics.layout.classes.mpp))

    def complete(self, mask: Labels, layer: Labels | None, cells: np.ndarray[Any, Any], classes: TissueClasses) -> None:
        """Show the tissue on which nuclei were laid out: in a map that was there, or a new one."""
        if layer is not None and layer in self._viewer.layers:
            complete_map(layer, cells)
        else:
            add_map(self._viewer, mask, cells, classes)

    def undo(self, *, redo: bool = False) -> bool | None:
        """Take back a stroke of the map, if that is in hand; None where it is not, False where there is none."""
        layer = self.map.layer
        if layer is None or self._viewer.layers.selection.active != layer:
            return None
        before = np.array(layer.data)
        (layer.redo if redo else layer.undo)()
        return not np.array_equal(before, layer.data)

    def set_theme(self, theme: str) -> None:
        """Nothing here has colours of its own."""

    def _say(self, text: str) -> None:
        set_text(self.remark, text)

    def _found(self, models: list[TissueModel]) -> None:
        self.models = models
        at = self.model.currentText()
        names = [each.name for each in models]
        chosen = names.index(at) if at in names else 0
        list_choices(self.model, ((name, index) for index, name in enumerate(names)), chosen)
        self._list_classes()
        self.found.emit()

    def _made(self, layer: Labels) -> None:
        self._say("")
        self.map.choose(layer)
        if not layer.data.any():
            self.paint()

    def _list_classes(self) -> None:
        """List the classes of the map, or of the model where there is none, or it does not tell its own."""
        layer, model = self.map.layer, self.chosen_model
        classes = (map_classes(layer) if layer is not None else None) or (model.classes if model else None)
        at = self.brush.currentText()
        names = classes.names if classes else ()
        chosen = names.index(at) + 1 if at in names else 1
        list_choices(self.brush, [(name, number) for number, name in enumerate(names, 1)], chosen)
        for index, colour in enumerate(class_colours(classes) if classes else []):
            swatch = QPixmap(self.brush.iconSize())
            swatch.fill(QColor.fromRgbF(*colour))
            self.brush.setItemIcon(index, QIcon(swatch))
        self.brush.setEnabled(layer is not None)
        enable(self.paint_button, "" if layer is not None else "Begin a map first, with New.", _PAINT)
