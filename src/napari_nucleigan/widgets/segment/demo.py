"""Demonstration: the sample image, segmented by the default model in the real widget."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer
from qtpy.QtWidgets import QApplication

from napari_nucleigan.base.errors import ModelError, NucleiganError
from napari_nucleigan.base.files import make_folder, refuse_foreign
from napari_nucleigan.data.images.files import write_labels
from napari_nucleigan.widgets.base.preferences import PLUGIN

if TYPE_CHECKING:
    from pathlib import Path

    from napari.viewer import Viewer

    from napari_nucleigan.widgets.segment.dock import SegmentWidget
    from napari_nucleigan.widgets.segment.results import Result

SAMPLE = "synthetic_he"
WIDGET = "Segment nuclei"
WINDOW = (1400, 900)
_SETTLE_MS = 600  # for docks and canvas to be laid out and drawn
_LONGEST_MS = 10 * 60 * 1000


def run_demo(screenshot: Path | None = None, labels_path: Path | None = None) -> int:
    """Open napari with the sample image, its nuclei and a line of figures.

    Parameters
    ----------
    screenshot : Path, optional
        Where to save a picture (PNG) of the napari window. If given, napari closes when the
        picture is taken, for machines without a display (under Xvfb); else it stays open.
    labels_path : Path, optional
        Where to save the label image (TIFF).

    Returns
    -------
    int
        Exit code: 0.

    Raises
    ------
    NucleiganError
        If the sample cannot be segmented.
    OutputError
        If an output cannot be written.
    """
    import napari

    # What cannot be written should be said before the work, not after it.
    for path in (screenshot, labels_path):
        if path is not None:
            make_folder(path.parent)
            refuse_foreign(path)
    viewer = napari.Viewer(title="NucleiGAN demo", show=True)
    room = QApplication.primaryScreen().availableSize()
    viewer.window.resize(min(WINDOW[0], room.width()), min(WINDOW[1], room.height()))
    demo = _Demo(viewer, screenshot, labels_path)
    napari.run()
    if demo.error is not None:
        raise demo.error
    return 0


def open_sample(viewer: Viewer) -> Any:
    """Open the synthetic sample; its image layer is returned, its true labels are hidden."""
    opened = viewer.open_sample(PLUGIN, SAMPLE)
    for layer in opened[1:]:
        layer.visible = False
    return opened[0]


def show_figures(viewer: Viewer, text: str) -> None:
    """Write a line into the canvas and into the status bar."""
    caption, bar = viewer.canvas.overlays.text, viewer.canvas.overlays.scale_bar
    for overlay in (caption, bar):
        overlay.visible = overlay.box = True
    caption.text, caption.position, caption.font_size = text, "top_left", 12
    viewer.status = text


class _Demo(QObject):
    """Drives the real widget, and keeps the error if there was one."""

    def __init__(self, viewer: Viewer, screenshot: Path | None, labels_path: Path | None) -> None:
        super().__init__()
        self.error: NucleiganError | None = None
        self._viewer, self._screenshot, self._labels_path = viewer, screenshot, labels_path
        self._image = open_sample(viewer)
        _, self._widget = viewer.window.add_plugin_dock_widget(PLUGIN, WIDGET)
        widget: SegmentWidget = self._widget
        widget.select_image(self._image)
        widget.ready.connect(self._run)
        widget.done.connect(self._done)
        widget.bar.figures_changed.connect(partial(show_figures, viewer))
        widget.failed.connect(self._failed)
        if screenshot is not None:
            QTimer.singleShot(_LONGEST_MS, self._late)

    def _run(self) -> None:
        problem = self._widget.problem()
        if problem:
            self._failed(ModelError(problem))
        else:
            self._widget.run()

    def _done(self, results: list[Result]) -> None:
        self._widget.done.disconnect(self._done)
        if not results:
            return
        segmentation = results[0].segmentation
        self._viewer.reset_view()
        try:
            if self._labels_path is not None:
                write_labels(self._labels_path, segmentation.labels, segmentation.mpp)
        except NucleiganError as error:
            self._failed(error)
        if self._screenshot is not None:
            QTimer.singleShot(_SETTLE_MS, self._snap)

    def _snap(self) -> None:
        try:
            take_screenshot(self._viewer, self._screenshot)
        except NucleiganError as error:
            self._failed(error)
        self._quit()

    def _failed(self, error: NucleiganError) -> None:
        # With a display the widget says it, and the user goes on from there.
        if self._screenshot is not None:
            self.error = self.error or error
            self._quit()

    def _late(self) -> None:
        self._failed(NucleiganError("The demo took more than 10 minutes; the machine is too busy."))

    def _quit(self) -> None:
        self._viewer.close()
        QApplication.quit()


def take_screenshot(viewer: Viewer, path: Path | None) -> None:
    """Save a picture of the whole napari window."""
    from napari_nucleigan.data.images.files import write_image

    assert path is not None
    write_image(path, viewer.screenshot(canvas_only=False, flash=False)[..., :3], level=9)
