"""A mask in the viewer: a Labels layer, on demand a Shapes layer of its polygons, and what keeps them alike.

Both layers are compared with the `MaskDocument`, never with the events that they send, so the changes that are made
here lead to no further ones. All changes of the labels go through `Labels.data_setitem`, so that the layer's own undo
history holds strokes, fills, edits and drawn polygons in one order: its Ctrl-Z and the widget's Undo are the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, QTimer, Signal

from napari_nucleigan.base.errors import LabelsError, NucleiganError
from napari_nucleigan.masks.editing.document import MaskDocument
from napari_nucleigan.widgets.base.layers import METADATA_KEY, labels_place

if TYPE_CHECKING:
    from collections.abc import Collection

    from napari.layers import Labels, Shapes
    from napari.viewer import Viewer

MOST_POLYGONS = 10_000
"""A Shapes layer of more polygons answers too slowly to be of use."""
MANY_POLYGONS = 3_000
"""From so many on, the user is told that a Shapes layer is slow."""
ID = "nucleus"
"""Column of the Shapes layer's features that holds the label of each polygon."""
UNDO_KEYS, REDO_KEYS = "Control-Z", "Control-Shift-Z"
_REST_MS = 20
_DONE = ("added", "removed", "changed")
_MOVES = ("scale", "translate", "rotate", "shear", "affine")
_EDGE = "#ffd400"
_WIDTH = 1  # pixels of the mask


def editing_problem(layer: Labels) -> str:
    """Say why a Labels layer cannot be edited as a mask; empty where it can."""
    if layer.multiscale:
        return f"“{layer.name}” has several resolutions; a mask has one: make a new mask over it."
    if layer.ndim != 2:
        return f"“{layer.name}” has {layer.ndim} dimensions, but masks are 2-D: split the stack and choose one plane."
    if not isinstance(layer.data, np.ndarray):
        return f"“{layer.name}” is not in memory, so it cannot be painted: duplicate it with “Convert data type” first."
    if 0 in layer.data.shape:
        return f"“{layer.name}” is empty."
    return ""


class MaskSync(QObject):
    """Keeps the layers of one mask alike.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where the layers are.
    labels : napari.layers.Labels
        The mask, for which `editing_problem` has nothing to say.
    parent : QObject
        The widget that owns it.

    Raises
    ------
    LabelsError
        If its labels cannot be those of a mask.
    """

    changed = Signal()
    """Nuclei have changed, in whichever layer."""
    selected = Signal()
    """Other nuclei may be selected."""
    noted = Signal(str)
    """Something that the user should know."""
    failed = Signal(object)
    """A `NucleiganError`."""

    def __init__(self, viewer: Viewer, labels: Labels, parent: QObject) -> None:
        super().__init__(parent)
        self.viewer, self.labels = viewer, labels
        self.document = MaskDocument(labels.data)
        self.shapes: Shapes | None = None
        self._labels_dirty = self._shapes_dirty = False
        self._rest = QTimer(self, singleShot=True, interval=_REST_MS)
        self._rest.timeout.connect(self.sync)
        self._links = [
            *((getattr(labels.events, name), self._mark_labels) for name in ("paint", "set_data", "data")),
            *((getattr(labels.events, name), self._moved) for name in _MOVES),
            (labels.events.selected_label, self._selection_changed),
            (viewer.layers.events.removed, self._removed),
            (viewer.layers.selection.events.active, self._selection_changed),
        ]
        for event, call in self._links:
            event.connect(call)

    def close(self) -> None:
        """Let go of the layers; they stay as they are."""
        self._rest.stop()
        for event, call in self._links:
            event.disconnect(call)
        self._let_go()

    def show_polygons(self) -> Shapes:
        """Show the nuclei as polygons in a Shapes layer.

        Raises
        ------
        LabelsError
            If there are too many.
        """
        self.sync()
        if self.shapes is not None:
            return self.shapes
        count = len(self.document.ids)
        if count > MOST_POLYGONS:
            raise LabelsError(
                f"The mask has {count} nuclei; as polygons they would be too slow to work with beyond {MOST_POLYGONS}. "
                "Draw with the polygon tool of the Labels layer instead."
            )
        if count > MANY_POLYGONS:
            self.noted.emit(f"With {count} polygons each change takes a moment; painting labels stays fast.")
        forgotten = self._forgotten()
        self.shapes = self.viewer.add_shapes(
            self.document.polygons or None,
            shape_type="polygon",
            ndim=2,
            name=f"{self.labels.name} polygons",
            edge_color=_EDGE,
            face_color="transparent",
            edge_width=_WIDTH,
            opacity=1.0,
            features={ID: np.array(self.document.polygon_ids, np.int64)},
            feature_defaults={ID: 0},
            metadata={METADATA_KEY: {"mask": str(self.labels.unique_id)}},
            **labels_place(self.labels),
        )
        self.shapes.current_edge_color, self.shapes.current_face_color = _EDGE, "transparent"
        self.shapes.current_edge_width = _WIDTH
        for name in ("data", "features"):
            getattr(self.shapes.events, name).connect(self._mark_shapes)
        self.shapes.events.highlight.connect(self._selection_changed)
        self.shapes.bind_key(UNDO_KEYS, lambda _: self.undo())
        self.shapes.bind_key(REDO_KEYS, lambda _: self.redo())
        if forgotten:
            self.shapes.add([corners for corners, _ in forgotten], shape_type=[kind for _, kind in forgotten])
            self._shapes_dirty = True
            self.sync()
        return self.shapes

    def hide_polygons(self) -> None:
        """Remove the Shapes layer; the nuclei stay in the Labels layer."""
        self.sync()
        if self.shapes is not None:
            self.viewer.layers.remove(self.shapes)

    def sync(self) -> None:
        """Bring both layers to the same nuclei now."""
        changed = False
        try:
            if self._shapes_dirty and self.shapes is not None:
                changed |= self._follow_shapes()
            if self._labels_dirty:
                changed |= self._follow_labels()
        except NucleiganError as error:
            self.failed.emit(error)
        # What was written above has marked the layers again.
        self._labels_dirty = self._shapes_dirty = False
        self._rest.stop()
        if changed:
            self.changed.emit()
        self.selected.emit()

    def write(self, labels: np.ndarray[Any, Any], before: np.ndarray[Any, Any]) -> bool:
        """Write an edit to the mask, as one step of its undo history.

        Parameters
        ----------
        labels : ndarray of int, shape (H, W)
            The mask after the edit.
        before : ndarray of int, shape (H, W)
            The mask that was edited.

        Returns
        -------
        bool
            False, and nothing is written, where the mask has changed since.
        """
        self.sync()
        if labels.shape != self.labels.data.shape or not np.array_equal(before, self.labels.data):
            return False
        chosen = self.selection()
        rows, columns = np.nonzero(labels != before)
        self._set(rows, columns, labels[rows, columns])
        self.sync()
        self.select(chosen)
        return True

    def delete(self, ids: Collection[int]) -> None:
        """Delete nuclei; what lies below them as polygons comes to light."""
        self.sync()
        if self.shapes is not None:
            self.shapes.remove(self._positions(ids))
        else:
            rows, columns = np.nonzero(np.isin(self.labels.data, list(ids)))
            self._set(rows, columns, np.zeros(len(rows), np.int32))
        self.sync()

    def record(self, kind: str, what: dict[str, Any]) -> None:
        """Write down in the mask's metadata how nuclei came to be there."""
        known = self.labels.metadata.get(METADATA_KEY, {})
        known = {**known, kind: [*known.get(kind, []), what]}
        self.labels.metadata = {**self.labels.metadata, METADATA_KEY: known}

    def undo(self) -> bool:
        """Take back the last stroke, fill, edit or polygon; False where there is none."""
        return self._replay(self.labels.undo)

    def redo(self) -> bool:
        """Do again what was taken back; False where there is nothing."""
        return self._replay(self.labels.redo)

    def selection(self) -> list[int]:
        """Nuclei that are selected: shapes, or the label that is picked where the Labels layer is the active one."""
        active = self.viewer.layers.selection.active
        if self.shapes is not None and active != self.labels:
            ids = self._shape_ids()
            return sorted(ids[at] for at in self.shapes.selected_data if at < len(ids) and ids[at] > 0)
        picked = int(self.labels.selected_label)
        return [picked] if picked in set(self.document.ids) else []

    def select(self, ids: Collection[int]) -> None:
        """Select nuclei."""
        if self.shapes is not None and self.viewer.layers.selection.active != self.labels:
            self.shapes.selected_data = set(self._positions(ids))
        elif len(ids) == 1:
            self.labels.selected_label = next(iter(ids))
        self.selected.emit()

    def _replay(self, step: Any) -> bool:
        self.sync()
        before = self.labels.data.copy()
        step()
        self._labels_dirty = True
        self.sync()
        return not np.array_equal(before, self.labels.data)

    def _follow_shapes(self) -> bool:
        assert self.shapes is not None
        shapes = self.shapes
        given = self._shape_ids()
        heights = shapes.z_index
        order = sorted(range(len(given)), key=lambda at: heights[at])
        kinds = [str(kind) for kind in shapes.shape_type]
        change = self.document.follow_polygons(shapes.data, kinds, given, order)
        if change is None:
            return False
        if change.ids != given:
            self._number(change.ids)
        if change.refused:
            shapes.remove([at for at, number in enumerate(change.ids) if not number])
            self.noted.emit(change.refused[0])
        self._set(change.rows, change.columns, change.values)
        return True

    def _follow_labels(self) -> bool:
        if self.labels.data.shape != self.document.shape:
            self.document = MaskDocument(self.labels.data)
            if self.shapes is not None:
                self.viewer.layers.remove(self.shapes)
                self.show_polygons()
            return True
        change = self.document.follow_labels(self.labels.data)
        if change is None or self.shapes is None:
            return change is not None
        chosen = self.selection()
        places = self._positions(change.removed)
        if places:
            self.shapes.remove(places)
        if change.polygons:
            kept = self._shape_ids()
            self.shapes.add_polygons(change.polygons, edge_color=_EDGE, face_color="transparent", edge_width=_WIDTH)
            self._number([*kept, *change.ids])
        if chosen != self.selection():
            self.select(chosen)
        return True

    def _set(self, rows: np.ndarray[Any, Any], columns: np.ndarray[Any, Any], values: np.ndarray[Any, Any]) -> None:
        if not len(rows):
            return
        kind = self.labels.data.dtype
        if values.max(initial=0) > np.iinfo(kind).max:
            self.labels.data = self.labels.data.astype(np.int32)
            self.noted.emit(f"The mask's numbers were {kind}, which has no room for more nuclei; now they are int32.")
        # The history keeps these arrays for long: small ones.
        small = np.uint16 if max(self.labels.data.shape) <= np.iinfo(np.uint16).max else np.int32
        places = rows.astype(small), columns.astype(small)
        self.labels.data_setitem(places, values.astype(self.labels.data.dtype))
        self._labels_dirty = True

    def _number(self, ids: list[int]) -> None:
        assert self.shapes is not None
        self.shapes.features = {ID: np.array(ids, np.int64)}
        self.shapes.feature_defaults = {ID: 0}

    def _forgotten(self) -> list[tuple[np.ndarray[Any, Any], str]]:
        """Remove the Shapes layer of an earlier widget; return what was drawn in it since."""
        from napari.layers import Shapes

        found = []
        for layer in [layer for layer in self.viewer.layers if isinstance(layer, Shapes)]:
            if layer.metadata.get(METADATA_KEY, {}).get("mask") != str(self.labels.unique_id):
                continue
            self.shapes = layer
            known = set(self.document.ids)
            for number, corners, kind in zip(self._shape_ids(), layer.data, layer.shape_type, strict=True):
                if number not in known:
                    found.append((corners, str(kind)))
            self.shapes = None
            self.viewer.layers.remove(layer)
        return found

    def _shape_ids(self) -> list[int]:
        assert self.shapes is not None
        column = self.shapes.features.get(ID)
        if column is None:
            return [0] * self.shapes.nshapes
        ids = np.nan_to_num(np.asarray(column, np.float64)).astype(np.int64).tolist()
        return [*ids, *[0] * (self.shapes.nshapes - len(ids))]

    def _positions(self, ids: Collection[int]) -> list[int]:
        wanted = set(ids)
        return [at for at, number in enumerate(self._shape_ids()) if number in wanted]

    def _mark_labels(self, event: object = None) -> None:
        self._labels_dirty = True
        self._rest.start()

    def _mark_shapes(self, event: Any) -> None:
        # Drawing and dragging are over when the event has one of these; pasting only changes the features.
        if str(getattr(event, "action", "changed")).rsplit(".", 1)[-1].lower() in _DONE:
            self._shapes_dirty = True
            self._rest.start()

    def _selection_changed(self, event: object = None) -> None:
        self.selected.emit()

    def _moved(self, event: object = None) -> None:
        if self.shapes is not None:
            for name in _MOVES:
                setattr(self.shapes, name, getattr(self.labels, name))

    def _removed(self, event: Any) -> None:
        # A layer that a plugin sees is wrapped; compared, not identical.
        if self.shapes is not None and self.shapes == event.value:
            self._let_go()
            self.document.forget_polygons()
            self.selected.emit()

    def _let_go(self) -> None:
        if self.shapes is not None:
            for name in ("data", "features"):
                getattr(self.shapes.events, name).disconnect(self._mark_shapes)
            self.shapes.events.highlight.disconnect(self._selection_changed)
            self.shapes.bind_key(UNDO_KEYS, None)
            self.shapes.bind_key(REDO_KEYS, None)
            self.shapes = None
