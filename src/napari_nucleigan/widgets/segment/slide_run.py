"""Slide run: the segmentation of a slide from the dock, and the layers that show it while it goes on and afterwards."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, QTimer, Signal

from napari_nucleigan.base.events import Note, Painted, Progress
from napari_nucleigan.segmentation.slides.assembly import DENSITY_PIXEL
from napari_nucleigan.widgets.base.dock import Figures
from napari_nucleigan.widgets.base.jobs import Runner
from napari_nucleigan.widgets.base.layers import (
    CONTOUR,
    METADATA_KEY,
    VIEW_KEY,
    image_shape,
    labels_place,
    layer_info,
    moved,
    nuclei_colormap,
    visible_box,
)
from napari_nucleigan.widgets.segment.jobs import SlideFindings, SlideRequest, open_levels, segment_levels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Image, Labels, Layer
    from napari.viewer import Viewer

    from napari_nucleigan.base.errors import NucleiganError

REFRESH_MS = 1000
"""Between two looks at what was painted; more where a look takes long."""

_SHARE = 10  # of the time at most is spent on drawing what was painted
_TILES = "segmenting tiles"
RUNNING, UNFINISHED = "so far", "unfinished"
_DENSITY = "density"


@dataclass(eq=False)
class SlideShown:
    """A slide that was segmented.

    Attributes
    ----------
    image : Image
        Its layer.
    labels : Labels or None
        The layer of its nuclei; None where the user has removed the slide meanwhile.
    findings : SlideFindings
        What was found.
    """

    image: Image
    labels: Labels | None
    findings: SlideFindings

    @property
    def figures(self) -> Figures:
        """What is said of it."""
        found = self.findings.result
        return Figures(found.nuclei, found.seconds, float(found.provenance["mpp"]), str(found.provenance["model"]))

    def remark(self) -> str:
        """Say where the results are, and what is missing."""
        found = self.findings.result
        names = ", ".join(path.name for path in found.outputs)
        missing = f" {len(found.lost)} tiles are missing: Run tries them again." if found.lost else ""
        return f"Written to {found.outputs[0].parent}: {names}.{missing}"


class SlideRun(QObject):
    """Segments one slide at a time, and shows its nuclei as they are found.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where they are shown.
    parent : QObject
        The widget that owns it.
    """

    progressed = Signal(object)
    """`events.Progress`."""
    noted = Signal(object)
    """`events.Note`."""
    finished = Signal(object)
    """The `SlideShown`."""
    failed = Signal(object)
    """A `NucleiganError`."""
    stopped = Signal()
    """The run was cancelled."""

    def __init__(self, viewer: Viewer, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._turn = threading.Lock()
        self._image: Image | None = None
        self._labels: Labels | None = None
        self._tiles: Progress | None = None
        self._nuclei = 0
        self.live: LiveLayer | None = None
        """What is shown of the run so far."""
        self._runner = Runner(self, activity=True)
        self._runner.progressed.connect(self._progressed)
        self._runner.noted.connect(self._told)
        self._runner.finished.connect(self._finished)
        self._runner.failed.connect(self._failed)
        self._runner.stopped.connect(self._stopped)
        self._timer = QTimer(self, singleShot=True, interval=REFRESH_MS)
        self._timer.timeout.connect(self._refresh)

    @property
    def running(self) -> bool:
        """Whether a slide is being segmented."""
        return self._runner.running

    def start(self, request: SlideRequest, image: Image) -> None:
        """Segment a slide that a layer shows."""
        self._image, self._labels, self._tiles, self._nuclei, self.live = image, None, None, 0, None
        self._runner.start(segment_levels(request, self._turn), f"segmenting {image.name}")

    def cancel(self) -> None:
        """Stop; finished tiles are kept, and the layer says that it is unfinished."""
        self._runner.cancel()

    def kept(self) -> str:
        """Say what is kept of a run that did not come to its end."""
        if self._tiles is None or not self._tiles.done:
            return ""
        return f"{self._tiles.done} of {self._tiles.total} tiles are kept: Run goes on from there."

    def _progressed(self, event: Progress) -> None:
        if event.what == _TILES:
            self._tiles = event
            count = "1 nucleus" if self._nuclei == 1 else f"{self._nuclei} nuclei"
            event = Progress(
                event.done, event.total, f"{event.done} of {event.total} tiles · {count}", event.seconds_left
            )
        self.progressed.emit(event)

    def _told(self, event: object) -> None:
        if isinstance(event, Note):
            self.noted.emit(event)
        elif isinstance(event, Painted):
            self._painted(event)
        elif isinstance(event, SlideFindings) and self._image is not None and self._image in self._viewer.layers:
            self._timer.stop()
            self._labels = show_findings(self._viewer, self._image, event, self.live)
            self.live = None

    def _painted(self, event: Painted) -> None:
        self._nuclei = event.nuclei
        if self._image is None or self._image not in self._viewer.layers:
            return
        if self.live is None:
            self.live = LiveLayer(self._viewer, self._image, event.path)
        self.live.mark(event)
        if not self._timer.isActive():
            self._timer.start()

    def _refresh(self) -> None:
        if self.live is None:
            return
        begun = time.perf_counter()
        self.live.refresh()
        spent = 1000 * (time.perf_counter() - begun)
        self._timer.setInterval(max(REFRESH_MS, round(_SHARE * spent)))

    def _finished(self, found: SlideFindings) -> None:
        image, labels = self._image, self._labels
        assert image is not None
        if labels is not None and labels in self._viewer.layers:
            describe(self._viewer, image, labels, found)
        self._end()
        self.finished.emit(SlideShown(image, labels, found))

    def _failed(self, error: NucleiganError) -> None:
        self._end()
        self.failed.emit(error)

    def _stopped(self) -> None:
        self._end()
        self.stopped.emit()

    def _end(self) -> None:
        self._timer.stop()
        if self.live is not None:
            self.live.leave()
        self.live = self._image = self._labels = None


class LiveLayer:
    """Labels that are being painted.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where they are shown.
    image : Image
        The slide.
    folder : str
        The pyramid that is painted. A layer of an earlier run that shows it is replaced.
    """

    def __init__(self, viewer: Viewer, image: Image, folder: str) -> None:
        self._viewer = viewer
        # napari reads the last level once and keeps it, so that is an array in memory which follows the one on disk.
        *finer, self._last = open_levels(Path(folder))
        self._small = self._last[:].copy()
        self._box: tuple[int, int, int, int] | None = None
        known = {VIEW_KEY: UNFINISHED, "path": folder, "image": image.name}
        before = _showing(viewer, folder)
        self.labels = _add_labels(viewer, image, [*finer, self._small], f"{image.name} nuclei {RUNNING}", known, before)

    def mark(self, event: Painted) -> None:
        """Note that a part was painted."""
        top, bottom, left, right = self._box or (event.top, event.bottom, event.left, event.right)
        self._box = min(top, event.top), max(bottom, event.bottom), min(left, event.left), max(right, event.right)

    def refresh(self) -> None:
        """Show what was painted, if that is in view."""
        if self._box is None or self.labels not in self._viewer.layers:
            return
        top, bottom, left, right = self._box
        self._box = None
        self._small[:] = self._last[:]
        seen = visible_box(self.labels)
        if seen is None or (top < seen[1] and bottom > seen[0] and left < seen[3] and right > seen[2]):
            self.labels.refresh(extent=False, highlight=False)

    def leave(self) -> None:
        """Say that nothing more will come."""
        self.refresh()
        self.labels.name = self.labels.name.replace(RUNNING, UNFINISHED)


def show_findings(viewer: Viewer, image: Image, found: SlideFindings, live: LiveLayer | None) -> Labels:
    """Show the labels of a slide in place of those that were painted, and of earlier ones from the same folder."""
    result = found.result
    path = str(found.output(".ome.zarr"))
    known = {**result.provenance, "image": image.name, "path": path, "notes": list(result.notes)}
    before = [*_showing(viewer, path), *([live.labels] if live is not None else [])]
    return _add_labels(viewer, image, found.levels, f"{image.name} nuclei", known, before)


def describe(viewer: Viewer, image: Image, labels: Labels, found: SlideFindings) -> None:
    """Add the table of the nuclei to their layer, and the map of density as a layer that is not shown."""
    if found.features is not None:
        labels.features = found.features
    if found.density is None:
        return
    path = str(found.output(".density.tif"))
    factor = DENSITY_PIXEL / float(found.result.provenance["mpp"])
    for layer in _showing(viewer, path):
        viewer.layers.remove(layer)
    viewer.add_image(
        found.density,
        name=f"{image.name} nuclei per mm²",
        colormap="inferno",
        opacity=0.5,
        visible=False,
        contrast_limits=(0.0, max(1.0, float(found.density.max(initial=0)))),
        metadata={METADATA_KEY: {VIEW_KEY: _DENSITY, "path": path}},
        **moved(labels_place(image), (factor, factor), (0, 0)),
    )
    viewer.layers.selection.active = labels


def _add_labels(
    viewer: Viewer, image: Image, levels: Sequence[Any], name: str, known: dict[str, Any], before: Sequence[Layer]
) -> Labels:
    """Add labels at the place of an image; they take over from other layers."""
    kept = [layer for layer in before if layer in viewer.layers]
    visible = kept[-1].visible if kept else image.visible
    place = min((viewer.layers.index(layer) for layer in kept), default=len(viewer.layers))
    for layer in kept:
        viewer.layers.remove(layer)
    factors = [whole / inner for whole, inner in zip(image_shape(image), levels[0].shape, strict=True)]
    single = len(levels) == 1
    layer = viewer.add_labels(
        np.asarray(levels[0]) if single else list(levels),
        multiscale=not single,
        name=name,
        visible=visible,
        opacity=1.0,
        colormap=nuclei_colormap(),
        metadata={METADATA_KEY: known},
        **moved(labels_place(image), factors, (0, 0)),
    )
    layer.contour = CONTOUR
    layer.editable = False
    viewer.layers.move(len(viewer.layers) - 1, place)
    return layer


def _showing(viewer: Viewer, path: str) -> list[Layer]:
    """Layers of this package that show a file or folder."""
    return [layer for layer in viewer.layers if layer_info(layer).get("path") == path]
