"""Filters moved on finished results of slides: nuclei are hidden where they are shown, and written only when asked for.

The files of the result keep all nuclei, so a filter that is taken back brings them back.
"""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QMenu, QPushButton

from napari_nucleigan.base.events import Note
from napari_nucleigan.labels.classes import CLASS
from napari_nucleigan.segmentation.settings import LARGEST_AREA, NucleiFilter
from napari_nucleigan.widgets.base.fields import push_button
from napari_nucleigan.widgets.base.jobs import Runner
from napari_nucleigan.widgets.base.layers import layer_file, layer_info, view_kind
from napari_nucleigan.widgets.base.mask_layers import is_labels
from napari_nucleigan.widgets.segment.jobs import SlideView, filter_slide, open_levels
from napari_nucleigan.widgets.segment.slide_run import showing

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from napari.layers import Image, Labels
    from napari.viewer import Viewer
    from qtpy.QtCore import QObject

    from napari_nucleigan.segmentation import SegmentSettings

_ALL = "All classes"
_MASKS = ("threshold", "prominence")


def slide_results(viewer: Viewer, images: Iterable[Image]) -> list[Labels]:
    """List the layers of finished results of some slides, which this dock or an opened file has brought."""
    names = {image.name for image in images}
    files = {str(path) for image in images if (path := layer_file(image)) is not None}
    found = []
    for layer in viewer.layers:
        known = layer_info(layer)
        of_slide = str(known.get("path") or "").endswith(".ome.zarr") and "model" in known and is_labels(layer)
        if of_slide and view_kind(layer) is None and (known.get("image") in names or known.get("slide") in files):
            found.append(layer)
    return found


def wanted_of(settings: SegmentSettings, classes: tuple[str, ...] | None) -> NucleiFilter:
    """Return those filters of a form that can be moved on the result of a slide."""
    return NucleiFilter(
        min_confidence=settings.min_confidence or 0.0,
        min_area=settings.min_area or 0.0,
        max_area=settings.max_area,
        classes=classes,
    )


def remarks(layer: Labels, settings: SegmentSettings) -> list[str]:
    """Say what filters cannot bring back of a slide: what its own run has left out."""
    run = layer_info(layer).get("settings") or {}
    said = []
    least, largest = float(run.get("min_area") or 0.0), float(run.get("max_area") or LARGEST_AREA)
    if (settings.min_area or 0.0) < least or (settings.max_area or LARGEST_AREA) > largest:
        said.append(f"its run has left out nuclei that are not {least:g} to {largest:g} µm² large")
    if (settings.min_confidence or 0.0) < float(run.get("min_confidence") or 0.0):
        said.append(f"its run has left out nuclei of less confidence than {run['min_confidence']:g}")
    if any(run.get(name) is not None and abs(run[name] - (getattr(settings, name) or 0)) > 1e-3 for name in _MASKS):
        said.append("threshold and prominence change the masks, which are not kept of a slide")
    return [f"“{layer.name}”: {each}; press Run to segment again." for each in said]


class ClassChoice(QPushButton):
    """A button with a menu of classes, each of which is shown or not."""

    changed = Signal()
    """Others are chosen."""

    def __init__(self) -> None:
        super().__init__(_ALL)
        self.setToolTip("Show only nuclei of these classes, where a classifier has given them some.")
        self.setMenu(QMenu(self))
        self._hidden: set[str] = set()
        self._names: tuple[str, ...] = ()

    @property
    def chosen(self) -> tuple[str, ...] | None:
        """The classes that are shown; None for all, and nuclei without one."""
        left = tuple(name for name in self._names if name not in self._hidden)
        return None if len(left) == len(self._names) else left

    def offer(self, names: Sequence[str]) -> None:
        """List classes; those that were hidden stay hidden."""
        if tuple(names) == self._names:
            return
        self._names = tuple(names)
        self.menu().clear()
        for name in names:
            action = self.menu().addAction(name)
            action.setCheckable(True)
            action.setChecked(name not in self._hidden)
            action.toggled.connect(lambda on, name=name: self._toggle(name, on))
        self._say()

    def _toggle(self, name: str, on: bool) -> None:
        (self._hidden.discard if on else self._hidden.add)(name)
        self._say()
        self.changed.emit()

    def _say(self) -> None:
        chosen = self.chosen
        self.setText(_ALL if chosen is None else ", ".join(chosen) or "None")


class SlideFilter(Runner):
    """Hides nuclei of finished results of slides in their layers, one layer after the other.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where they are shown.
    parent : QObject
        The widget that owns it.
    """

    shown = Signal(object, object)
    """A layer, and the `jobs.SlideView` that it shows."""

    def __init__(self, viewer: Viewer, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        # By the ids of layers: what they show, by which filter, and the features of all nuclei.
        self._views: dict[str, SlideView] = {}
        self._filters: dict[str, NucleiFilter] = {}
        self._tables: dict[str, Any] = {}
        self._waiting: deque[Labels] = deque()
        self._wanted = NucleiFilter()
        self.finished.connect(self._finished)
        self.failed.connect(lambda _: self._skip())

    def filter(self, layers: Iterable[Labels], settings: SegmentSettings, classes: tuple[str, ...] | None) -> None:
        """Give layers the filters of some settings; what is still on its way is left."""
        self.cancel()
        there = {layer.unique_id for layer in self._viewer.layers}
        for known in (self._views, self._filters, self._tables):
            for gone in known.keys() - there:
                del known[gone]
        self._wanted = wanted_of(settings, classes)
        self._waiting = deque(layers)
        for layer in self._waiting:
            for text in remarks(layer, settings):
                self.noted.emit(Note(text))
        self._next()

    def cancel(self) -> None:
        """Leave the layers as they are."""
        self._waiting.clear()
        super().cancel()

    def hidden(self, layers: Iterable[Labels]) -> list[tuple[Path, NucleiFilter]]:
        """Tell of which layers nuclei are hidden now: their files, and by which filter."""
        return [
            (Path(layer_info(layer)["path"]), self._filters[layer.unique_id])
            for layer in layers
            if layer.unique_id in self._views and self._views[layer.unique_id].hidden
        ]

    def _next(self) -> None:
        while self._waiting and self._waiting[0] not in self._viewer.layers:
            self._waiting.popleft()
        if self._waiting:
            layer = self._waiting[0]
            known = layer_info(layer)
            before = self._views.get(layer.unique_id)
            table = None if before is None else before.table
            job = filter_slide(Path(known["path"]), self._wanted, table, tuple(known.get("classes") or ()))
            self.start(job, "filtering the nuclei")

    def _skip(self) -> None:
        if self._waiting:
            self._waiting.popleft()
        self._next()

    def _finished(self, view: SlideView) -> None:
        layer = self._waiting.popleft()
        if layer in self._viewer.layers:
            self._show(layer, view)
            self.shown.emit(layer, view)
        self._next()

    def _show(self, layer: Labels, view: SlideView) -> None:
        path = Path(layer_info(layer)["path"])
        self._views[layer.unique_id], self._filters[layer.unique_id] = view, self._wanted
        levels = [level.hiding(view.keep) if view.hidden else level for level in open_levels(path)]
        layer.data = levels if layer.multiscale else np.asarray(levels[0])
        layer.editable = False
        table = self._tables.setdefault(layer.unique_id, layer.features)
        if "index" in table:
            layer.features = table[view.keep[table["index"].to_numpy()]].reset_index(drop=True)
        density = path.with_name(path.name.removesuffix(".ome.zarr") + ".density.tif")
        for each in showing(self._viewer, str(density)):
            if each.data.shape == view.density.shape:
                each.data = view.density


class FilteredFiles(Runner):
    """Writes what filters leave of slides' results to another folder.

    Parameters
    ----------
    parent : QWidget
        The widget that owns it.

    Attributes
    ----------
    button : QPushButton
        Asks for the folder.
    """

    def __init__(self, parent: Any) -> None:
        super().__init__(parent, activity=True)
        self._parent = parent
        self._what: list[tuple[Path, NucleiFilter]] = []
        self.button = push_button(
            "Save filtered",
            "Write all files of the slide's result to another folder, with the nuclei that the filters leave. The "
            "result itself keeps all.",
        )
        self.button.clicked.connect(self._ask)

    def look(self, hidden: list[tuple[Path, NucleiFilter]]) -> None:
        """Take the results of which nuclei are hidden."""
        self._what = hidden

    def _ask(self) -> None:
        if not self._what or self.running:
            return
        folder = QFileDialog.getExistingDirectory(
            self._parent, "Another folder for the filtered results", str(self._what[0][0].parent)
        )
        if folder:
            from napari_nucleigan.segmentation.filter_files import filter_results

            path, wanted = self._what[0]
            self.start(filter_results([path], folder, wanted), "writing the filtered nuclei")


def class_names(layers: Iterable[Labels]) -> list[str]:
    """Name the classes that nuclei of some results may have, in the classifier's order."""
    names: dict[str, None] = {}
    for layer in layers:
        known = layer_info(layer).get("classes")
        names |= dict.fromkeys(known or ())
        if not known and CLASS in layer.features:
            names |= dict.fromkeys(sorted(set(layer.features[CLASS].dropna().astype(str)) - {""}))
    return list(names)
