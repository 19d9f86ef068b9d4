"""Tissue maps in the viewer: the layers that hold them, how they are begun, and the field that chooses one."""

from __future__ import annotations

import colorsys
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError
from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QWidget

from napari_nucleigan.base.events import Job, Progress
from napari_nucleigan.models.tissue import classes_on
from napari_nucleigan.tiling import Scale, resize_image, resize_labels
from napari_nucleigan.tissue.features import mask_grid
from napari_nucleigan.tissue.record import UNKNOWN, TissueClasses
from napari_nucleigan.widgets.base.fields import combo, forward, list_choices, menu_button, row, set_menu
from napari_nucleigan.widgets.base.image_sources import Source
from napari_nucleigan.widgets.base.jobs import Runner
from napari_nucleigan.widgets.base.layers import (
    METADATA_KEY,
    VIEW_KEY,
    image_shape,
    labels_place,
    layer_info,
    layer_mpp,
    moved,
    selection_kept,
    view_kind,
)
from napari_nucleigan.widgets.base.mask_layers import is_labels, mask_layers, mask_problem, mask_reader
from napari_nucleigan.widgets.base.transforms import world_matrix

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Image, Labels, Layer
    from napari.viewer import Viewer

    from napari_nucleigan.models import ModelCard
    from napari_nucleigan.widgets.base.mask_layers import MaskLayer

_VIEW = "tissue"
_TIP = (
    "Where which tissue is: a Labels layer of the model's classes, coarser than the mask. Paint it as you paint "
    "nuclei; 0 is unknown, and there the model paints what it likes."
)
_FIRST_HUE, _LAST_HUE, _DIM = 0.12, 0.7, 0.65  # of the colours of classes: from yellow to blue; brightness
_BRUSH = 3  # cells


def tissue_maps(viewer: Viewer) -> list[Labels]:
    """All layers that can be tissue maps: those that were begun as such, then other labels, the topmost first."""
    from napari.layers import Labels

    begun = [layer for layer in reversed(viewer.layers) if isinstance(layer, Labels) and view_kind(layer) == _VIEW]
    others = [layer for layer in mask_layers(viewer) if is_labels(layer) and not mask_problem(layer)]
    return [*begun, *others]


def map_classes(layer: Labels) -> TissueClasses | None:
    """Return the classes that a map was begun with; None where it does not tell, as one that was opened from a file."""
    try:
        return TissueClasses.model_validate(layer_info(layer).get("classes"))
    except ValidationError:
        return None


def map_problem(layer: Labels | None, card: ModelCard | None) -> str:
    """Say why a model cannot paint the tissue of a map; empty where it can, or the map does not tell its classes."""
    own = map_classes(layer) if layer is not None else None
    if own is None or card is None or own == classes_on(card):
        return ""
    return f"The classes of the tissue map are not those of the model “{card.name}”: choose another map, or model."


def class_colours(classes: TissueClasses) -> list[tuple[float, float, float]]:
    """Colours of the classes: hues that H&E has few of, bright and dim in turn; its own are too alike to be told."""
    hues = np.linspace(_FIRST_HUE, _LAST_HUE, len(classes.names))
    return [colorsys.hsv_to_rgb(float(hue), 0.85, _DIM if place % 2 else 1.0) for place, hue in enumerate(hues)]


class TissueBox(QWidget):
    """Choose a tissue map, or begin one.

    The map that was begun for a mask is chosen with it, and as soon as it is there, whichever dock has begun it.
    """

    changed = Signal()
    """Another map was chosen."""
    begun = Signal(object)
    """A map is to be begun: that of an Image layer, or an empty one for None."""

    def __init__(self) -> None:
        super().__init__()
        self.box = combo({}, _TIP)
        self.button = menu_button("New", "Begin a tissue map: an empty one, or that of an open H&E image.", {})
        self.layers: list[Labels] = []
        self._mask = ""
        self.setLayout(row(self.box, self.button))
        self.setToolTip(_TIP)
        self.set_layers(None, [], [])
        forward(self.changed, self.box.currentIndexChanged)

    @property
    def layer(self) -> Labels | None:
        """The chosen map; None where the tissue is unknown."""
        index = self.box.currentData()
        return self.layers[index] if index is not None and 0 <= index < len(self.layers) else None

    def set_layers(self, mask: MaskLayer | None, maps: Sequence[Labels], images: Sequence[Image]) -> None:
        """List the layers that can be maps, and the images whose tissue can be mapped.

        Parameters
        ----------
        mask : Labels, Shapes or None
            The chosen mask; the same layer is not listed.
        maps : sequence of Labels
            As from `tissue_maps`.
        images : sequence of Image
            The images.
        """
        before, known, key = self.layer, self.layers, "" if mask is None else str(mask.unique_id)
        self.layers = [layer for layer in maps if str(layer.unique_id) != key]
        own = next((layer for layer in self.layers if mask is not None and layer_info(layer).get("mask") == key), None)
        wanted = own if key != self._mask or (own is not None and own not in known) else before
        self._mask = key
        chosen = self.layers.index(wanted) if wanted is not None and wanted in self.layers else -1
        choices = ((layer.name, index) for index, layer in enumerate(self.layers))
        list_choices(self.box, [("Unknown", -1), *choices], chosen)
        actions: dict[str, Any] = {"Empty": lambda: self.begun.emit(None)}
        for image in images:
            actions[f"That of “{image.name}”"] = lambda image=image: self.begun.emit(image)
        set_menu(self.button, actions)
        if self.layer is not before:
            self.changed.emit()

    def choose(self, layer: Labels) -> None:
        """Choose a map."""
        self.box.setCurrentIndex(self.box.findData(self.layers.index(layer)))


class MapMaker(QObject):
    """Begins tissue maps over masks: empty ones, or with the tissue of an image where that lies.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where the layers are.
    parent : QObject
        The widget that owns it.
    """

    finished = Signal(object)
    """The Labels layer."""
    failed = Signal(object)
    """A `NucleiganError`."""

    def __init__(self, viewer: Viewer, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._asked: tuple[MaskLayer, Image, float, TissueClasses] | None = None
        self._runner = Runner(self, activity=True)
        self._runner.finished.connect(self._mapped)
        self._runner.failed.connect(self.failed.emit)

    @property
    def running(self) -> bool:
        """Whether an image is being looked at."""
        return self._runner.running

    def cancel(self) -> None:
        """Stop."""
        self._runner.cancel()

    def begin(self, mask: MaskLayer, mpp: float, classes: TissueClasses, image: Image | None = None) -> None:
        """Begin a map.

        Parameters
        ----------
        mask : Labels or Shapes
            What it covers.
        mpp : float
            Microns per pixel of the mask.
        classes : TissueClasses
            Its classes.
        image : Image, optional
            Whose tissue it shows; by default all is unknown.
        """
        if self.running:
            return
        if image is None:
            shape = mask_reader(mask)().shape
            cells = np.full(mask_grid((shape[0], shape[1]), mpp, classes.mpp), UNKNOWN, np.uint8)
            self.finished.emit(add_map(self._viewer, mask, cells, classes))
        else:
            self._asked = mask, image, mpp, classes
            self._runner.start(_find_tissue(Source.of(image, layer_mpp(image)), classes), "mapping the tissue")

    def _mapped(self, found: np.ndarray[Any, Any]) -> None:
        assert self._asked is not None
        mask, image, mpp, classes = self._asked
        if mask in self._viewer.layers and image in self._viewer.layers:
            cells = _seen_by(mask, image, found, mpp, classes.mpp)
            self.finished.emit(add_map(self._viewer, mask, cells, classes))


def _find_tissue(source: Source, classes: TissueClasses) -> Job[np.ndarray[Any, Any]]:
    """Find the tissue of an image, at the scale of the classes; (h, w) uint8."""
    from napari_nucleigan.tissue.classes import tissue_map

    yield Progress(0, 1, "mapping the tissue")
    image = source.image()
    shape = image.pixels.shape[0], image.pixels.shape[1]
    scale = Scale.of(shape, image.mpp or classes.mpp, classes.mpp)
    return tissue_map(resize_image(image.pixels, scale.model_shape), classes)


def _seen_by(
    mask: MaskLayer, image: Image, cells: np.ndarray[Any, Any], mpp: float, classes_mpp: float
) -> np.ndarray[Any, Any]:
    """Bring the map of an image onto the cells of a mask, as both lie in the viewer; unknown beyond the image."""
    shape = mask_reader(mask)().shape
    grid = mask_grid((shape[0], shape[1]), mpp, classes_mpp)
    middles = [(np.arange(count) + 0.5) * length / count - 0.5 for count, length in zip(grid, shape, strict=True)]
    places = np.stack([*np.meshgrid(*middles, indexing="ij"), np.ones(grid)], -1)
    onto = np.linalg.solve(world_matrix(image), world_matrix(mask))
    pixels = (places @ onto.T)[..., :2] + 0.5
    at = np.floor(pixels * np.array(cells.shape) / image_shape(image)).astype(np.intp)
    within = ((at >= 0) & (at < cells.shape)).all(-1)
    at = np.clip(at, 0, np.array(cells.shape) - 1)
    return np.where(within, cells[at[..., 0], at[..., 1]], UNKNOWN)


def add_map(viewer: Viewer, mask: Layer, cells: np.ndarray[Any, Any], classes: TissueClasses) -> Labels:
    """Show a tissue map as a Labels layer over a mask, with a colour for each class.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where.
    mask : Labels or Shapes
        What it covers.
    cells : ndarray of integers, shape (h, w)
        The map.
    classes : TissueClasses
        Its classes.
    """
    from napari.utils.colormaps import DirectLabelColormap

    shape = mask_reader(mask)().shape
    factors = shape[0] / cells.shape[0], shape[1] / cells.shape[1]
    place = moved(labels_place(mask), factors, (0, 0))
    clear = (0.0, 0.0, 0.0, 0.0)
    colours: dict[int | None, tuple[float, ...]] = {None: clear, UNKNOWN: clear}
    colours |= {number: (*colour, 1.0) for number, colour in enumerate(class_colours(classes), 1)}
    known = {VIEW_KEY: _VIEW, "mask": str(mask.unique_id), "classes": classes.model_dump(mode="json")}
    with selection_kept(viewer):
        layer = viewer.add_labels(
            cells.astype(np.uint8),
            name=f"{mask.name} tissue",
            opacity=0.4,
            colormap=DirectLabelColormap(color_dict=colours),
            features={"index": range(len(classes.names) + 1), "tissue": ["unknown", *classes.names]},
            metadata={METADATA_KEY: known},
            **place,
        )
    layer.brush_size = _BRUSH
    layer.selected_label = 1
    return layer


def complete_map(layer: Labels, cells: np.ndarray[Any, Any]) -> None:
    """Write other cells where a map is unknown, as one step of its undo history."""
    data = np.asarray(layer.data)
    values = resize_labels(cells.astype(np.int32), (data.shape[0], data.shape[1]))
    places = np.nonzero((data == UNKNOWN) & (values != UNKNOWN))
    if len(places[0]):
        layer.data_setitem(places, values[places].astype(data.dtype))
