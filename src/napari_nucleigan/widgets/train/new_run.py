"""Page of a new run in the Train widget: a form, what it will take, and the button that starts it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QPushButton

from napari_nucleigan.widgets.base import training_jobs
from napari_nucleigan.widgets.base.dock import Page
from napari_nucleigan.widgets.base.fields import column, set_text, small_label
from napari_nucleigan.widgets.base.jobs import Runner
from napari_nucleigan.widgets.base.run_bar import RunBar
from napari_nucleigan.widgets.base.scrolling import scrolled

if TYPE_CHECKING:
    from napari_nucleigan.widgets.train.run_form import RunForm


class NewRun(Page):
    """Starts runs as a form says, each in a process of its own.

    Parameters
    ----------
    form : RunForm
        The form.
    folder : Path
        Folder of the runs.
    tip : str
        What *Start* does.
    """

    started = Signal(object)
    """Path of a run whose process was started."""
    estimated = Signal(object)
    """What a run will take; its text is for people."""

    def __init__(self, form: RunForm, folder: Path, tip: str) -> None:
        super().__init__()
        self.form, self._folder = form, folder
        self._estimate = ""  # what was measured
        self.bar = RunBar(tip)
        self.bar.run_button.setText("Start")
        self.estimate_button = QPushButton("Estimate")
        self.estimate = small_label()
        self._estimator = Runner(self)
        self._starter = Runner(self, activity=True)
        fields = scrolled(column(form))
        # In sight however far the form is scrolled.
        parts = (fields, self.estimate_button, self.estimate, self.bar)
        column(*parts, inside=self, margins=(0, 0, 0, 6), tall=fields)
        form.changed.connect(self._changed)
        form.failed.connect(self._complain)
        form.picker.ready.connect(self._update)
        self.bar.run_clicked.connect(self.start)
        self.bar.cancel_clicked.connect(self.cancel)
        self.estimate_button.clicked.connect(self.estimate_now)
        self._wire(self._starter, self._started)
        self._wire(
            self._estimator,
            self._estimated,
            failed=lambda error: self._tell_estimate(f"No estimate: {error}"),
            stopped=lambda: self._tell_estimate(""),
            quiet=True,
        )
        self._update()

    def problem(self) -> str:
        """Why no run can be started now; empty where one can."""
        return self.form.problem()

    def start(self) -> None:
        """Start a run as the form says."""
        if self.running or self.problem():
            return
        self._estimator.cancel()
        self.bar.begin()
        request = self.form.request(self._folder)
        self._starter.start(training_jobs.begin(request), f"starting {request.name}")
        self._update()

    def estimate_now(self) -> None:
        """Estimate what the run of the form will take."""
        if self.problem():
            return
        self._estimate = "Trying a few steps…"
        self._estimator.start(training_jobs.reckon(self.form.request(self._folder)), "estimating")
        self._update()

    def shut_down(self) -> None:
        """Stop looking and estimating; runs that were started go on."""
        super().shut_down()
        self.form.cancel()

    def _changed(self) -> None:
        if self._estimator.running:
            self._estimator.cancel()
        self._tell_estimate("")  # it was of other settings

    def _update(self) -> None:
        problem = self.problem()
        self.form.setEnabled(not self.running)
        self.bar.set_state(self.running, "" if self.running else problem)
        set_text(self.estimate, self._estimate or ("" if problem else self.form.outlook()))
        can = not self.running and not problem and not self._estimator.running
        self.estimate_button.setEnabled(can)
        self.estimate_button.setToolTip(
            problem or "Make a few steps in a process of its own: images, steps, time and memory on this device."
        )

    def _tell_estimate(self, text: str) -> None:
        self._estimate = text
        self._update()

    def _estimated(self, found: object) -> None:
        self._tell_estimate(str(found))
        self.estimated.emit(found)

    def _started(self, path: Path) -> None:
        self._update()
        self.started.emit(path)
