"""Segmenting a slide from the widget: the job, and the layers that follow it."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer, Signal

from napari_nucleigan.base.events import Note, Painted, Progress
from napari_nucleigan.widgets.base.jobs import Runner
from napari_nucleigan.widgets.base.run_bar import Figures
from napari_nucleigan.widgets.segment.slide_jobs import SlideFindings, SlideOrder, segment_levels
from napari_nucleigan.widgets.segment.slide_layers import LiveLayer, describe, show_findings

if TYPE_CHECKING:
    from napari.layers import Image, Labels
    from napari.viewer import Viewer

    from napari_nucleigan.base.errors import NucleiganError

REFRESH_MS = 1000
"""Between two looks at what was painted; more where a look takes long."""

_SHARE = 10  # of the time at most is spent on drawing what was painted
_TILES = "segmenting tiles"


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

    def start(self, order: SlideOrder, image: Image) -> None:
        """Segment a slide that a layer shows."""
        self._image, self._labels, self._tiles, self._nuclei, self.live = image, None, None, 0, None
        self._runner.start(segment_levels(order, self._turn), f"segmenting {image.name}")

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
