"""The widget that segments folders of images.

It shows a form (`batch_form`) and a table of files (`batch_table`), and runs jobs (`batch_work`, through `jobs`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from weakref import WeakSet

from napari.utils.notifications import show_error, show_warning
from qtpy.QtCore import QEvent, Signal
from qtpy.QtWidgets import QApplication, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from napari_nucleigan.base.errors import NucleiganError
from napari_nucleigan.base.events import FileState, Note
from napari_nucleigan.models import ModelFile, list_models
from napari_nucleigan.segmentation.resume_log import REPORT
from napari_nucleigan.widgets.base import image_sources, preferences
from napari_nucleigan.widgets.base.fields import scrolled, set_text, warning_style
from napari_nucleigan.widgets.base.jobs import Runner
from napari_nucleigan.widgets.base.layers import add_once
from napari_nucleigan.widgets.base.palette import CONTOUR, nuclei_colormap
from napari_nucleigan.widgets.base.pickers import own_model_file
from napari_nucleigan.widgets.base.run_bar import RunBar
from napari_nucleigan.widgets.batch import jobs
from napari_nucleigan.widgets.batch.form import BatchForm
from napari_nucleigan.widgets.batch.table import FilesTable

if TYPE_CHECKING:
    from pathlib import Path

    from napari.layers import Layer
    from napari.viewer import Viewer

    from napari_nucleigan.base.events import Progress
    from napari_nucleigan.contributions.layers import LayerData
    from napari_nucleigan.segmentation import FileResult
    from napari_nucleigan.segmentation.file_plan import FileTask


class BatchWidget(QWidget):
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
    failed = Signal(object)
    """Something went wrong: a `NucleiganError`, already shown to the user."""
    ready = Signal()
    """Models and devices are listed."""

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._preferences = preferences.preferences()
        self._extra_models: list[ModelFile] = []
        self._shown: WeakSet[Layer] = WeakSet()
        self._within = False  # a file: what is noted then is shown with it
        self.form = BatchForm()
        self.bar = RunBar("Segment the images. What is done already is skipped.")
        self.table = FilesTable()
        self.open_button = QPushButton("Open in the viewer")
        self._runner = Runner(self, activity=True)
        self._opener = Runner(self, apart=True)
        self._surveyor = Runner(self)
        self._build()
        self._connect()
        self._theme()
        self.refresh_models()

    @property
    def running(self) -> bool:
        """Whether images are being segmented."""
        return self._runner.running

    def refresh_models(self) -> None:
        """Look for models and devices again."""
        self._surveyor.start(image_sources.take_inventory(), "looking for models and devices")

    def add_model_file(self, path: str | Path) -> None:
        """Add a model file to the list, and choose it."""
        try:
            file = own_model_file(path, "segmenter")
        except NucleiganError as error:
            self._failed(error)
            return
        self._extra_models = [*(each for each in self._extra_models if each.path != file.path), file]
        self.form.set_models([*list_models("segmenter"), *self._extra_models], str(path))
        self._update()

    def problem(self) -> str:
        """Why a run is not possible now; empty where it is."""
        if self._surveyor.running and self.form.model.count() == 0:
            return "Looking for models and devices…"
        return self.form.problem()

    def run(self) -> None:
        """Segment the images."""
        if self.running or self.problem():
            return
        self.form.remember()
        self.bar.begin()
        set_text(self.bar.figures, "")
        chosen = self.form.settings().model_copy(update={"tile": self._preferences.tile})
        self._within = False
        self._runner.start(jobs.segment_order(self.form.order(), chosen), "segmenting a folder")
        self._update()

    def cancel(self) -> None:
        """Stop; what is done stays."""
        self._runner.cancel()

    def open(self, task: FileTask) -> None:
        """Open an image with its nuclei as layers."""
        self._opener.start(jobs.read_result(task), f"opening {task.source.name}")

    def event(self, event: QEvent) -> bool:
        """Stop all jobs when the widget leaves its window."""
        if event.type() == QEvent.Type.ParentChange:
            if self.parent() is None:
                self._shut_down()
            elif self.form.model.count() == 0 and not self._surveyor.running:
                self.refresh_models()
        return bool(super().event(event))

    def _build(self) -> None:
        self.bar.cancel_button.setToolTip("Stop at once. What is done stays; Run goes on from it.")
        self.open_button.setToolTip("Open the chosen image and its nuclei as layers; a double click does it too.")
        inner = QWidget()
        layout = QVBoxLayout(inner)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.addWidget(self.form)
        layout.addWidget(self.bar)
        layout.addWidget(self.table, 1)
        layout.addWidget(self.open_button)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(scrolled(inner))
        self.setMinimumWidth(340)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)

    def _connect(self) -> None:
        self.form.model_file_chosen.connect(self.add_model_file)
        self.form.changed.connect(self._update)
        self.form.looker.seen.connect(self.table.set_tasks)
        self.bar.run_clicked.connect(self.run)
        self.bar.cancel_clicked.connect(self.cancel)
        self.table.opened.connect(self.open)
        self.table.chosen.connect(self._update)
        self.open_button.clicked.connect(self._open_chosen)
        self._surveyor.finished.connect(self._surveyed)
        self._surveyor.failed.connect(self._failed)
        self._runner.progressed.connect(self._progressed)
        self._runner.noted.connect(self._noted)
        self._runner.finished.connect(self._finished)
        self._runner.failed.connect(self._failed_run)
        self._runner.stopped.connect(self._stopped)
        self._opener.finished.connect(self._add_layers)
        self._opener.failed.connect(self._failed)
        self._viewer.events.theme.connect(self._theme)
        # A docked widget never sees a close event; `event` above and this are what there is.
        app = QApplication.instance()
        assert app is not None
        app.aboutToQuit.connect(self._shut_down)

    def _shut_down(self) -> None:
        self.form.looker.cancel()
        for runner in (self._runner, self._opener, self._surveyor):
            runner.cancel()

    def _theme(self, event: object = None) -> None:
        self.bar.problem.setStyleSheet(warning_style(self._viewer.theme))
        self.table.set_theme(self._viewer.theme)

    def _update(self) -> None:
        self.form.setEnabled(not self.running)
        self.bar.set_state(self.running, "" if self.running else self.problem())
        self.open_button.setEnabled(self.table.task is not None)

    def _progressed(self, event: Progress) -> None:
        # The table tells which image it is.
        self.bar.show_progress(replace(event, what=event.what.partition(",")[0]))

    def _noted(self, event: object) -> None:
        if isinstance(event, FileState):
            self._within = event.state == "running"
            self.table.show_state(event)
            set_text(self.bar.figures, self.table.summary())
        elif isinstance(event, list):
            self.table.set_tasks(event)
        elif isinstance(event, Note) and not self._within:
            self.bar.note(event.text)

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

    def _failed_run(self, error: NucleiganError) -> None:
        self.table.stop()
        self.bar.note(str(error))
        self._failed(error)

    def _failed(self, error: NucleiganError) -> None:
        show_error(str(error))
        self._update()
        self.failed.emit(error)

    def _surveyed(self, found: image_sources.Inventory) -> None:
        self.form.set_devices(found.devices, self._preferences.device)
        self.form.set_models([*found.models, *self._extra_models])
        self._update()
        self.ready.emit()

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
