"""The part of the Segment widget that learns from corrections: regions in, a model that knows the image's look out.

The training is a run like any other, in a process of its own: the Train widget lists it, and it outlives napari.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QToolButton

from napari_nucleigan.base.errors import NucleiganError
from napari_nucleigan.base.events import Progress
from napari_nucleigan.base.settings import field_facts
from napari_nucleigan.training.recipe_files import read_recipe
from napari_nucleigan.training.recipes import FINE_TUNING, SegmenterRecipe
from napari_nucleigan.training.runs.run_library import default_folder
from napari_nucleigan.training.runs.status import RunState
from napari_nucleigan.training.starts import fixed_by
from napari_nucleigan.widgets.base import layers, training_jobs
from napari_nucleigan.widgets.base.closing import Closing
from napari_nucleigan.widgets.base.dock import Page
from napari_nucleigan.widgets.base.drawn_shapes import ShapesPicker
from napari_nucleigan.widgets.base.fields import NO_MARGINS, Form, check, column, combo, list_layers, push_button, spin
from napari_nucleigan.widgets.base.image_sources import Source
from napari_nucleigan.widgets.base.jobs import Runner
from napari_nucleigan.widgets.base.layers import file_name
from napari_nucleigan.widgets.base.mask_layers import mask_reader, pairs_of
from napari_nucleigan.widgets.base.run_bar import RunBar
from napari_nucleigan.widgets.base.scrolling import reveal
from napari_nucleigan.widgets.base.training_runs import Activity, RunWatcher
from napari_nucleigan.widgets.segment.proposals import Proposals
from napari_nucleigan.widgets.segment.regions import regions_reader

if TYPE_CHECKING:
    from napari.layers import Image, Labels
    from napari.viewer import Viewer

    from napari_nucleigan.models import ModelCard
    from napari_nucleigan.training.runs.status import RunStatus
    from napari_nucleigan.widgets.segment.form import SegmentForm
    from napari_nucleigan.widgets.segment.results import Results

_FEWEST_MINUTES = 0.1


class Corrections(Page):
    """Regions of an image whose nuclei the user has corrected, and a model fine-tuned on them.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer whose layers hold the corrections.
    results : Results
        What was found in images, from which it is told where to correct.
    run_folder : str
        Folder of the runs; empty for the usual one.
    """

    started = Signal(object)
    """Path of a run whose process was started."""
    ended = Signal(object)
    """The `RunStatus` of the run that has ended."""
    model_made = Signal(object, object)
    """Path of the model, and the image that is to be segmented with it now; None for none."""

    def __init__(self, viewer: Viewer, results: Results, run_folder: str = "") -> None:
        super().__init__()
        self._viewer = viewer
        self._folder = Path(run_folder).expanduser() if run_folder else default_folder()
        self._image: Image | None = None
        self._mpp: float | None = None
        self._model: tuple[str, ModelCard] | None = None
        self._device = "auto"
        self._labels: list[Labels] = []
        self._run: Path | None = None
        self.model: Path | None = None
        """The model of the last run that has one."""
        self._learnt_from: Image | None = None

        self.button = QToolButton()
        self.page = Form()
        labels = combo({}, "The nuclei of the chosen image, with your corrections in the regions below.")
        regions = ShapesPicker(
            viewer,
            "corrected",
            "A Shapes layer with rectangles, polygons or ellipses around what you have corrected. Every nucleus in "
            "them must be right: what is not labelled there is background. What lies outside counts for nothing.",
        )
        tip = field_facts(SegmenterRecipe)["minutes"].description
        self.labels = self.page.add("Labels", labels, call=self._update)
        self.regions = self.page.add("Regions", regions, call=self._update)
        self.proposals = Proposals(viewer, results, regions, self)
        for part in self.proposals.parts:
            self.page.rows.addRow(part)
        self.minutes = self.page.add("Learning", spin(600.0, 1.0, 1, "no limit", " min", tip))
        self.again = check(
            "Segment again when done",
            "Segment the image with the new model as soon as it has learnt. Your layers stay.",
            checked=True,
        )
        self.bar = RunBar("Train the chosen model further, on the corrected regions only, in a process of its own.")
        self.again_button = push_button("Segment again", "Choose the new model above, and segment the image with it.")
        self._runner, self._actor = Runner(self, activity=True), Runner(self)
        self._watcher = RunWatcher(self._folder, self)
        self._activity = Activity(self)
        self._closing = Closing(self, self._training, training_jobs.stop_all)
        self._build()
        self._connect()
        self.reset_choices()

    @property
    def run(self) -> Path | None:
        """The run that is being trained, if there is one."""
        return self._run

    @property
    def running(self) -> bool:
        """Whether a run is started or trained."""
        return self._runner.running or self._run is not None

    def look(self, image: Image | None, mpp: float | None, form: SegmentForm) -> None:
        """Take what is chosen in the form.

        Parameters
        ----------
        image : Image or None
            The one image that is chosen; None for none or several.
        mpp : float or None
            Its microns per pixel.
        form : SegmentForm
            Where model and device are chosen.
        """
        self._mpp, self._device = mpp, form.device.currentData()
        card = form.picker.card
        self._model = None if card is None else (form.picker.path, card)
        if image is not self._image:
            self._image = image
            self.reset_choices()
        self._update()

    def reset_choices(self) -> None:
        """List the layers again; what was chosen stays chosen."""
        self._labels = [labels for image, labels in pairs_of(self._viewer) if image is self._image]
        list_layers(self.labels, self._labels)
        self.regions.reset_choices()
        self._update()

    def problem(self) -> str:
        """Why nothing can be learnt; empty where something can."""
        if self._image is None:
            return "Choose one image above."
        if text := layers.layer_problem(self._image):
            return text
        if self._mpp is None:
            return "Type the microns per pixel of the image above."
        if self._model is None:
            return "Choose the model to be fine-tuned above."
        if not self._labels:
            return "Press Run above, then correct the nuclei of some region in the Labels layer."
        text = self.regions.problem("draw a rectangle around a region in which every nucleus is right.")
        if text and self.proposals.proposals:
            return "Make every nucleus in the rectangle right, then press Corrected."
        return text

    def draw_regions(self) -> None:
        """Add a Shapes layer for the regions, with the rectangle tool at hand."""
        if self._image is not None:
            self.regions.draw(self._image)

    def start(self) -> None:
        """Start to fine-tune."""
        if self.running or self.problem():
            return
        assert self._image is not None and self._model is not None
        image, (path, card), shapes = self._image, self._model, self.regions.chosen
        labels = self._labels[self.labels.currentIndex()]
        assert shapes is not None
        self.bar.begin()
        try:
            recipe = read_recipe(
                FINE_TUNING, {**fixed_by(card), "start_from": path, "minutes": self.minutes.value()}, SegmenterRecipe
            )
            regions = regions_reader(shapes, labels)
        except NucleiganError as error:
            self._failed(error)
            return
        request = training_jobs.TrainRequest(
            kind="segmenter",
            recipe=recipe,
            name=f"{file_name(image.name)} fine-tuned",
            runs=self._folder,
            device=self._device,
            data=(training_jobs.TrainingPair(Source.of(image, self._mpp), mask_reader(labels), regions),),
        )
        # Another image may be chosen before it has learnt.
        self._learnt_from = image
        self._runner.start(training_jobs.begin(request), f"starting {request.name}")
        self._update()

    def stop(self) -> None:
        """Ask the run to save its state and end."""
        self._runner.cancel()
        if self._run is not None:
            self.bar.note("Stopping after the present step…")
            self._actor.start(training_jobs.act(self._run, "stop"), f"stop {self._run.name}")

    def shut_down(self) -> None:
        """Look at nothing any more; a run goes on, and the Train widget finds it."""
        self._forget()
        self.proposals.rest()
        super().shut_down()

    def _build(self) -> None:
        self.button.setText("Corrections")
        self.button.setToolTip("Correct the nuclei of a region, and let the model learn from it.")
        self.button.setCheckable(True)
        self.button.setArrowType(Qt.ArrowType.RightArrow)
        self.button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.minutes.setMinimum(_FEWEST_MINUTES)
        self.minutes.setValue(read_recipe(FINE_TUNING).minutes)
        self.bar.run_button.setText("Fine-tune")
        self.bar.cancel_button.setText("Stop")
        self.bar.cancel_button.setToolTip("Save what was learnt so far, and end.")
        for part in (self.again, self.bar, self.again_button):
            self.page.rows.addRow(part)
        self.page.hide()
        column(self.button, self.page, inside=self, margins=NO_MARGINS, stretch=False)

    def _connect(self) -> None:
        self.button.toggled.connect(self._open)
        self.regions.button.clicked.connect(lambda: self.draw_regions())
        self.bar.run_clicked.connect(self.start)
        self.bar.cancel_clicked.connect(self.stop)
        self.again_button.clicked.connect(lambda: self._offer(self._image or self._learnt_from))
        self._wire(self._runner, self._started, stopped=self._update)
        self._wire(self._actor, quiet=True)
        self.proposals.noted.connect(lambda note: self.bar.note(note.text))
        self.proposals.failed.connect(self._failed)
        self._watcher.status.connect(self._told)
        self._watcher.gone.connect(self._gone)
        self._watcher.failed.connect(self._failed)

    def _open(self, shown: bool) -> None:
        self.page.setVisible(shown)
        self.button.setArrowType(Qt.ArrowType.DownArrow if shown else Qt.ArrowType.RightArrow)
        self._update()
        if shown:
            reveal(self.button)

    def _update(self) -> None:
        for part in (self.labels, self.regions, self.minutes):
            part.setEnabled(not self.running)
        self.regions.button.setEnabled(self._image is not None and not self.running)
        self.proposals.look(self._image, self.running)
        self.bar.set_state(self.running, "" if self.running else self.problem())
        self.again_button.setEnabled(self.model is not None)

    def _started(self, path: Path) -> None:
        self._run = path
        self._closing.attach()
        self._watcher.start()
        self._watcher.watch([path])
        self._update()
        self.started.emit(path)

    def _forget(self) -> None:
        """Watch the run no longer."""
        self._run = None
        self._closing.detach()
        self._watcher.stop()
        self._activity.clear()

    def _training(self) -> dict[object, str]:
        return {} if self._run is None else {self._run: self._run.name}

    def _told(self, status: RunStatus) -> None:
        if status.path != self._run:
            return
        for path in self._activity.update([status]):
            self._actor.start(training_jobs.act(path, "stop"), f"stop {path.name}")
        if status.state.alive:
            what = status.what or str(status.state)
            self.bar.show_progress(Progress(status.step or 0, status.steps or 0, what, status.seconds_left))
            return
        self._forget()
        if status.state is RunState.FINISHED:
            self.bar.note(f"Fine-tuned: {status.name}. {status.behind}".strip())
        elif status.state is RunState.STOPPED:
            self.bar.note("Stopped. “Train a model” can resume it.")
        else:
            self._failed(NucleiganError(f"Fine-tuning has ended: {status.message}"))
        if status.model is not None and not status.behind:
            self.model = status.model
            at_once = status.state is RunState.FINISHED and self.again.isChecked()
            self._offer(self._learnt_from if at_once else None)
        self._update()
        self.ended.emit(status)

    def _offer(self, image: Image | None) -> None:
        if self.model is not None:
            self.model_made.emit(self.model, image)

    def _gone(self, path: Path) -> None:
        if path == self._run:
            self._forget()
            self.bar.note("The folder of the run is gone.")
            self._update()
