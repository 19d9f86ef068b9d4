"""The widget that segments folders of images.

It shows a form (`form`) and a table of files (`table`), and runs jobs (through `base.jobs`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from weakref import WeakSet

from napari.utils.notifications import show_warning
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QPushButton

from napari_nucleigan.base.errors import NucleiganError
from napari_nucleigan.base.events import FileState
from napari_nucleigan.segmentation.folders import segment_files
from napari_nucleigan.segmentation.resume_log import REPORT
from napari_nucleigan.widgets.base import image_sources
from napari_nucleigan.widgets.base.dock import Dock, column
from napari_nucleigan.widgets.base.fields import scrolled, set_text
from napari_nucleigan.widgets.base.jobs import Runner
from napari_nucleigan.widgets.base.layers import CONTOUR, add_once, nuclei_colormap
from napari_nucleigan.widgets.base.run_bar import RunBar
from napari_nucleigan.widgets.batch.form import BatchForm, BatchOrder, look_into
from napari_nucleigan.widgets.batch.table import FilesTable

if TYPE_CHECKING:
    from pathlib import Path

    from napari.layers import Layer
    from napari.viewer import Viewer

    from napari_nucleigan.base.errors import NucleiganError
    from napari_nucleigan.base.events import Progress
    from napari_nucleigan.contributions.layers import LayerData
    from napari_nucleigan.segmentation import FileResult, SegmentSettings
    from napari_nucleigan.segmentation.file_plan import FileTask


class BatchWidget(Dock):
    """Segment the nuclei of all images of a folder.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
        The viewer where images are opened.
    """

    done = Signal(object)
    """A run has come to its end: the list of its `FileResult`."""
    opened = Signal(object)
    """Layers of an image were opened: their list."""
    ready = Signal()
    """Models and devices are listed."""

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(napari_viewer)
        self._shown: WeakSet[Layer] = WeakSet()
        self._asked: tuple[BatchOrder, SegmentSettings] | None = None
        self._within = False  # a file: what is noted then is shown with it
        self.form = BatchForm()
        self.bar = RunBar("Segment the images. What is done already is skipped.")
        self.table = FilesTable()
        self.open_button = QPushButton("Open in the viewer")
        self._planner, self._runner = Runner(self, activity=True), Runner(self, activity=True)
        self._opener = Runner(self, apart=True)
        self.bar.cancel_button.setToolTip("Stop at once. What is done stays; Run goes on from it.")
        self.open_button.setToolTip("Open the chosen image and its nuclei as layers; a double click does it too.")
        self._fill(scrolled(column(self.form, self.bar, self.table, self.open_button, tall=self.table)))
        self._connect()
        self._theme()
        self.form.picker.look()

    def add_model_file(self, path: str | Path) -> None:
        """Add a model file to the list, and choose it."""
        self.form.picker.add(path)

    def problem(self) -> str:
        """Why a run is not possible now; empty where it is."""
        return self.form.picker.waiting or self.form.problem()

    def run(self) -> None:
        """Segment the images."""
        if self.running or self.problem():
            return
        self.form.remember()
        self.bar.begin()
        set_text(self.bar.figures, "")
        self._within = False
        self._asked = self.form.order(), self.form.settings().model_copy(update={"tile": self._preferences.tile})
        # The images may have become others since they were looked for.
        self._planner.start(look_into(self._asked[0]), "segmenting a folder")
        self._update()

    def open(self, task: FileTask) -> None:
        """Open an image with its nuclei as layers."""
        self._opener.start(image_sources.read_result(task), f"opening {task.source.name}")

    def _docked(self) -> None:
        self.form.picker.look()

    def _connect(self) -> None:
        self.form.picker.ready.connect(self.ready)
        self.form.changed.connect(self._update)
        self.form.looker.seen.connect(self.table.set_tasks)
        self.bar.run_clicked.connect(self.run)
        self.bar.cancel_clicked.connect(self.cancel)
        self.table.opened.connect(self.open)
        self.table.chosen.connect(self._update)
        self.open_button.clicked.connect(self._open_chosen)
        self._wire(self.form.picker, failed=self._complain, quiet=True)
        self._wire(self._planner, self._planned)
        self._wire(self._runner, self._finished)
        self._wire(self._opener, self._add_layers, failed=self._complain, quiet=True)

    def shut_down(self) -> None:
        """Stop all work; what is done stays."""
        self.form.looker.cancel()
        super().shut_down()

    def set_theme(self, theme: str) -> None:
        """Take the colours of a napari theme, by its name."""
        super().set_theme(theme)
        self.table.set_theme(theme)

    def _update(self) -> None:
        self.form.setEnabled(not self.running)
        self.bar.set_state(self.running, "" if self.running else self.problem())
        self.open_button.setEnabled(self.table.task is not None)

    def _progressed(self, event: Progress) -> None:
        # The table tells which image it is.
        super()._progressed(replace(event, what=event.what.partition(",")[0]))

    def _noted(self, event: object) -> None:
        if isinstance(event, FileState):
            self._within = event.state == "running"
            self.table.show_state(event)
            set_text(self.bar.figures, self.table.summary())
        elif not self._within:
            super()._noted(event)

    def _planned(self, tasks: list[FileTask]) -> None:
        assert self._asked is not None
        order, settings = self._asked
        job = segment_files(
            order.inputs, order.out, settings, order.formats, again=order.again, recursive=order.recursive
        )
        self._runner.start(job, "segmenting a folder")
        self.table.set_tasks(tasks)  # after the start: the form stays disabled

    def _finished(self, results: list[FileResult]) -> None:
        failed = sum(bool(result.error) for result in results)
        if failed:
            text = f"{failed} of {len(results)} images failed; choose one in the table to read why."
            self.bar.note(text)
            show_warning(f"{text} All reasons are in {self.form.order().out / REPORT}.")
        self._update()
        self.done.emit(results)

    def _stopped(self) -> None:
        self.table.stop()
        self.bar.note("Cancelled. What is done stays; Run goes on from it.")
        self._update()

    def _failed(self, error: NucleiganError) -> None:
        self.table.stop()
        super()._failed(error)

    def _open_chosen(self) -> None:
        if (task := self.table.task) is not None:
            self.open(task)

    def _add_layers(self, made: list[LayerData]) -> None:
        layers = add_once(self._viewer, made)
        for layer in layers[1:]:
            layer.colormap, layer.contour, layer.opacity = nuclei_colormap(), CONTOUR, 1.0
        # One image at a time: they lie over one another.
        self._shown.update(layers)
        for layer in self._shown:
            layer.visible = layer in layers
        self._viewer.reset_view()
        self.opened.emit(layers)
