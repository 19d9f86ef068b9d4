"""Mask layers: Labels layers, and Shapes layers with a polygon for each nucleus; what they hold, and live modes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from qtpy.QtCore import QObject, QTimer, Signal

from napari_nucleigan.labels.polygons import as_polygon, polygons_to_labels
from napari_nucleigan.widgets.base.jobs import Runner
from napari_nucleigan.widgets.base.layers import image_layers, image_shape, layer_mpp, layer_problem, pixels, view_kind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari.layers import Image, Labels, Shapes
    from napari.viewer import Viewer

    from napari_nucleigan.base.events import Job

    MaskLayer: TypeAlias = Labels | Shapes
    Reader: TypeAlias = Callable[[], np.ndarray[Any, Any]]
    """Makes a label image, (H, W); for a worker, since it may load from disk or draw polygons."""

_POLL_MS = 10  # what is live must not wait for the usual 50
_STEP = 64  # canvases of polygons grow by so many pixels, not with every corner that is moved


def mask_layers(viewer: Viewer) -> list[MaskLayer]:
    """All layers of a viewer that may hold a mask: Labels, then Shapes, the topmost first."""
    from napari.layers import Labels, Shapes

    layers = [layer for layer in reversed(viewer.layers) if view_kind(layer) is None]
    return [layer for kind in (Labels, Shapes) for layer in layers if isinstance(layer, kind)]


def is_labels(layer: MaskLayer) -> bool:
    """Whether a mask is a Labels layer."""
    from napari.layers import Labels

    return isinstance(layer, Labels)


def edits(layer: MaskLayer) -> tuple[str, ...]:
    """Events after which a mask may be another one: strokes and their parts, undo, new data."""
    return ("paint", "labels_update", "set_data", "data") if is_labels(layer) else ("set_data", "data")


def mask_problem(layer: MaskLayer) -> str:
    """Say why a layer cannot be painted; empty where it can."""
    if layer.ndim != 2:
        return (
            f"“{layer.name}” has {layer.ndim} dimensions, but masks are 2-D: right-click the layer, split the stack, "
            "and choose one plane."
        )
    if not is_labels(layer):
        return "" if len(layer.data) else f"“{layer.name}” has no shapes: draw a polygon for each nucleus."
    return "" if min(layer.level_shapes[0]) > 0 else f"“{layer.name}” is empty."


def mask_mpp(layer: MaskLayer) -> float | None:
    """Microns per pixel of a mask; None where its units are no length."""
    return None if mask_problem(layer) else layer_mpp(layer)


def mask_reader(layer: MaskLayer) -> Reader:
    """Return what reads a layer's mask.

    That of a Labels layer gives the mask as it is when it is called. That of a Shapes layer draws its shapes as they
    are now, on a canvas from the layer's origin to beyond the last corner.
    """
    if is_labels(layer):
        data = pixels(layer)
        return lambda: np.asarray(data)
    shapes = [(np.array(corners), str(kind)) for corners, kind in zip(layer.data, layer.shape_type, strict=True)]
    return lambda: _drawn(shapes)


def _drawn(shapes: list[tuple[np.ndarray[Any, Any], str]]) -> np.ndarray[Any, Any]:
    polygons = [as_polygon(corners, kind) for corners, kind in shapes]
    last = np.max([polygon.max(axis=0) for polygon in polygons], axis=0, initial=0)
    height, width = (int(-(-(end + 1) // _STEP) * _STEP) for end in last)
    return polygons_to_labels(polygons, (height, width))


def pairs_of(viewer: Viewer) -> list[tuple[Image, Labels]]:
    """All images with labels of the same size, the topmost first."""
    images = [layer for layer in image_layers(viewer) if not layer_problem(layer)]
    labels = [layer for layer in mask_layers(viewer) if is_labels(layer) and not mask_problem(layer)]
    return [
        (image, mask)
        for image in images
        for mask in labels
        if image_shape(image) == tuple(int(length) for length in mask.level_shapes[0])
    ]


class LiveUpdater(QObject):
    """Does a job again whenever layers have changed; a base class of the docks' live modes.

    Every edit only sets a mark. A thread takes the layers as they are; edits that come meanwhile are seen together by
    the next pass. So the latest edit wins, no edit is lost, whatever made it, and the viewer's own thread does nothing
    but show results.

    Parameters
    ----------
    what : str
        What the job does, for people.
    parent : QObject
        The widget that owns it.
    gather_ms : int
        Milliseconds to wait for more edits before a pass.
    """

    followed = Signal(float)
    """What is shown is up to date; seconds since the first edit that it did not show."""
    failed = Signal(object)
    """A `NucleiganError`."""

    def __init__(self, what: str, parent: QObject, gather_ms: int = 0) -> None:
        super().__init__(parent)
        self._what = what
        self._layers: tuple[MaskLayer, ...] = ()
        self._events: tuple[str, ...] = ()
        self._marked: float | None = None  # when the first edit came that no job has seen
        self._seen: float | None = None  # the same of those that the job on its way sees
        self._gather = QTimer(self, singleShot=True, interval=gather_ms)
        self._gather.timeout.connect(self._next)
        self._runner = Runner(self, poll_ms=_POLL_MS)
        self._runner.finished.connect(self._finished)
        self._runner.failed.connect(self._failed)

    @property
    def layers(self) -> tuple[MaskLayer, ...]:
        """The layers that are watched."""
        return self._layers

    @property
    def behind(self) -> bool:
        """Whether there are edits that are not shown yet."""
        return self._marked is not None or self._runner.running

    def watch(self, layers: Sequence[MaskLayer], moves: Sequence[str] = ()) -> None:
        """Watch layers instead of those before; none to stop.

        Parameters
        ----------
        layers : sequence of Labels or Shapes
            The layers.
        moves : sequence of str
            Events that count beside edits.
        """
        self._connect(False)
        self._runner.cancel()
        self._gather.stop()
        self._marked = self._seen = None
        self._layers, self._events = tuple(layers), tuple(moves)
        self._connect(True)

    def stop(self) -> None:
        """Watch no layer any more; what has been shown stays."""
        self.watch(())

    def mark(self, event: object = None) -> None:
        """Note that something has changed."""
        if self._marked is None:
            self._marked = time.monotonic()
        if not self._runner.running and not self._gather.isActive():
            self._gather.start()

    def _connect(self, on: bool) -> None:
        for layer in self._layers:
            for name in (*edits(layer), *self._events):
                emitter = getattr(layer.events, name)
                (emitter.connect if on else emitter.disconnect)(self.mark)

    def _next(self) -> None:
        """Begin the next pass, if there is anything to see."""
        if self._marked is None or self._runner.running:
            return
        self._seen, self._marked = self._marked, None
        if (job := self._job()) is not None:
            self._runner.start(job, self._what)

    def _tell_followed(self) -> None:
        # Who listens to results may have switched live mode off.
        if self._seen is not None:
            self.followed.emit(time.monotonic() - self._seen)

    def _job(self) -> Job[Any] | None:
        """Make the job of a pass; None where there is nothing to do."""
        raise NotImplementedError

    def _finished(self, result: Any) -> None:
        """Take the result of a pass."""
        raise NotImplementedError

    def _failed(self, error: Any) -> None:
        """Take the error of a pass."""
        raise NotImplementedError
