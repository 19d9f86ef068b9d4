"""The Train widget: new runs, the run that is open, and the list of all runs.

Two pages show forms and start processes (`new_run`): one for trainings, one for adaptations to unlabelled images. A
thread of its own looks at the run folders (`base.training_runs`). What is started is a process of its own, which
outlives napari.
"""

from __future__ import annotations

import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_error, show_info, show_warning
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QTabWidget

from napari_nucleigan.adaptation.settings import KIND
from napari_nucleigan.base.errors import NucleiganError
from napari_nucleigan.training.runs.run_library import default_folder
from napari_nucleigan.training.runs.status import RunState, state_of
from napari_nucleigan.widgets.base import training_jobs
from napari_nucleigan.widgets.base.closing import Closing
from napari_nucleigan.widgets.base.dock import Dock, add_tabs
from napari_nucleigan.widgets.base.jobs import Runner
from napari_nucleigan.widgets.base.path_fields import confirm
from napari_nucleigan.widgets.base.steps import open_dock
from napari_nucleigan.widgets.base.training_runs import Activity, PreviewImage, RunWatcher
from napari_nucleigan.widgets.train.adapt_form import AdaptForm
from napari_nucleigan.widgets.train.charts import best_score
from napari_nucleigan.widgets.train.form import TrainForm
from napari_nucleigan.widgets.train.new_run import NewRun
from napari_nucleigan.widgets.train.preview import PreviewLayer
from napari_nucleigan.widgets.train.run_list import RunsList
from napari_nucleigan.widgets.train.runs import LOST, WIDGETS, RunPanel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.viewer import Viewer

    from napari_nucleigan.training.runs.status import RunStatus


class TrainWidget(Dock):
    """Train segmenters and synthesizers, and adapt segmenters to unlabelled images, in the background.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
        The viewer whose layers can be learnt from.
    """

    ready = Signal()
    """Models and devices are listed."""
    started = Signal(object)
    """Path of a run whose process was started."""
    ended = Signal(object)
    """The `RunStatus` of a run that has ended, was stopped, or has failed."""
    acted = Signal(object)
    """Path of a run with which was done what the user asked."""
    estimated = Signal(object)
    """An `Estimate`."""

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(napari_viewer)
        chosen = self._preferences.run_folder
        self.folder = Path(chosen).expanduser() if chosen else default_folder()
        self._states: dict[Path, RunState] = {}
        self._found = False
        self._killed: set[Path] = set()
        self._pictures: dict[Path, PreviewImage] = {}

        tip = "Start {} in a process of its own, which stands back while you work in napari."
        self.form = TrainForm(napari_viewer)
        self.new = NewRun(self.form, self.folder, tip.format("the training"))
        self.adapt = NewRun(AdaptForm(), self.folder, tip.format("the adaptation"))
        self.panel = RunPanel()
        self.list = RunsList(self.folder)
        self.tabs = QTabWidget()
        self.watcher = RunWatcher(self.folder, self)
        self._reader = Runner(self)
        self._preview = PreviewLayer(napari_viewer)
        self._activity = Activity(self)
        # The dock that the widget is put into is in no window yet at that moment.
        self._closing = Closing(self, self._running, training_jobs.stop_all)
        self._in_window = self._after(0, self._closing.attach)
        self._build()
        self._connect()
        self._theme()
        self._wake()

    def reset_choices(self, event: object = None) -> None:
        """List the layers again; napari calls this when layers come, go or are renamed."""
        self.form.refresh()

    def open_run(self, path: Path) -> None:
        """Show a run."""
        self.compare([path])

    def compare(self, paths: Sequence[Path]) -> None:
        """Show runs in the same plots; the first one with its state."""
        if not paths:
            return
        self._preview.begin()
        self.panel.show_runs(paths)
        if (status := self.list.status(paths[0])) is not None:
            self.panel.set_status(status)
        self.watcher.watch(paths)
        self.tabs.setCurrentWidget(self.panel)

    def act(self, path: Path, what: str, name: str = "") -> None:
        """Pause, resume, stop, kill, rename or delete a run."""
        # Each at once and by itself: none may wait for another, or take its place.
        actor = Runner(self, apart=True)
        if what == "kill":
            if not confirm(self, "Kill the run", f"End “{path.name}” at once? {LOST}", "Kill"):
                return
            self._killed.add(path)
        actor.finished.connect(lambda after: self._acted(path, what, after))
        actor.failed.connect(self._complain)
        actor.failed.connect(lambda _: self._killed.discard(path))
        for over in (actor.finished, actor.failed):
            over.connect(lambda _: actor.deleteLater())
        actor.start(training_jobs.act(path, what, name), f"{what} {path.name}")  # type: ignore[arg-type]

    def use_model(self, path: Path) -> None:
        """Open the widget that uses the model of a run, and choose it there."""
        status = self.list.status(path) or self.panel.status
        if status is None or status.model is None or status.kind not in WIDGETS:
            return
        open_dock(self._viewer, WIDGETS[status.kind]).add_model_file(status.model)

    def learn_from(self, folder: Path) -> None:
        """Choose a data set for a new run."""
        self.form.learn_from(folder)
        self.tabs.setCurrentIndex(0)

    def _build(self) -> None:
        add_tabs(
            self.tabs,
            (self.new, "New run", "What to train, from what, and how."),
            (self.adapt, "Adapt", "Let a model learn the look of your tissue, of which nothing is labelled."),
            (self.panel, "Run", "State and plots of the run that is open."),
            (self.list, "Runs", "All runs."),
        )
        self._fill(self.tabs)

    def _connect(self) -> None:
        for page in (self.new, self.adapt):
            self._add_page(page)
            page.started.connect(self._started)
            page.estimated.connect(self.estimated.emit)
            page.failed.connect(lambda _: self.watcher.look())
        self.panel.asked.connect(self.act)
        self.panel.use_clicked.connect(self.use_model)
        self.panel.preview_toggled.connect(self._preview_toggled)
        self.panel.plots.failed.connect(self._complain)
        self.list.opened.connect(self.open_run)
        self.list.compared.connect(self.compare)
        self.list.asked.connect(self.act)
        self.list.used.connect(self.use_model)
        self.watcher.listed.connect(self._listed)
        self.watcher.status.connect(self.panel.set_status)
        self.watcher.status.connect(self._read_report)
        self.watcher.told.connect(self.panel.take)
        self.watcher.pictured.connect(self._pictured)
        self.watcher.gone.connect(self._gone)
        self.watcher.failed.connect(self._complain)
        self.form.picker.ready.connect(self.ready)
        self._wire(self._reader, lambda found: self.panel.show_report(*found), failed=self._complain, quiet=True)

    def _docked(self) -> None:
        self._wake()
        self._in_window.start()

    def _wake(self) -> None:
        if not self.watcher.running:
            self.watcher.start()
            self.watcher.watch(self.panel.paths)
        for page in (self.new, self.adapt):
            page.form.picker.look()

    def shut_down(self) -> None:
        """Look at the runs no longer; they go on."""
        super().shut_down()
        self._closing.detach()
        self.watcher.stop()
        self._activity.clear()

    def set_theme(self, theme: str) -> None:
        """Take the colours of a napari theme, by its name."""
        for page in (self.new, self.adapt):
            page.set_theme(theme)
        self.panel.set_theme(theme)
        self.list.set_theme(theme)

    def _started(self, path: Path) -> None:
        self._found = True
        self.open_run(path)
        self.watcher.look()
        self.started.emit(path)

    def _complain(self, error: NucleiganError) -> None:
        super()._complain(error)
        self.watcher.look()

    def _acted(self, path: Path, what: str, after: Path) -> None:
        if what == "rename":
            self.panel.renamed(path, after)
            self.watcher.watch(self.panel.paths)
        elif what == "delete":
            self._gone(path)
        self.watcher.look()
        self.acted.emit(after)

    def _gone(self, path: Path) -> None:
        self.panel.show_runs([other for other in self.panel.paths if other != path])
        self.watcher.watch(self.panel.paths)

    def _listed(self, statuses: list[RunStatus]) -> None:
        self.list.set_statuses(statuses)
        for path in self._activity.update(statuses):
            self.act(path, "stop")
        for status in statuses:
            before = self._states.get(status.path)
            if before is not None and before.alive and not status.state.alive:
                self._tell(status)
                self.ended.emit(status)
        self._states = {status.path: status.state for status in statuses}
        if not self._found:
            # A run that has gone on without napari is found again.
            self._found = True
            if self.panel.path is None and (alive := next((s for s in statuses if s.state.alive), None)) is not None:
                self.open_run(alive.path)

    def _read_report(self, status: RunStatus) -> None:
        """Read what an adaptation has found out, once for each time that it has ended."""
        key = status.path, status.activity
        if status.kind != KIND or status.state is not RunState.FINISHED or key == self.panel.reported:
            return
        self.panel.reported = key
        self._reader.start(training_jobs.read_report(status.path), "reading the report")

    def _tell(self, status: RunStatus) -> None:
        best = best_score(status)
        score = f" Best {best[0]}: {best[1]:.3f}." if best else ""
        if status.state is RunState.FINISHED:
            what = "" if status.kind == KIND else " training"
            (show_warning if status.behind else show_info)(
                f"“{status.name}” has finished{what}.{score} {status.behind}".strip()
            )
        elif status.state is RunState.FAILED:
            show_error(f"“{status.name}” has failed: {status.message}")
        elif status.state is RunState.INTERRUPTED and status.path not in self._killed:
            show_warning(f"“{status.name}”: {status.message}")
        self._killed.discard(status.path)

    def _pictured(self, path: Path, picture: PreviewImage) -> None:
        if path != self.panel.path:
            return
        self._pictures = {path: picture}
        self.panel.picture.show_pixels(picture.pixels)
        if self.panel.preview.isChecked():
            self._preview.show(path.name, picture)

    def _preview_toggled(self, shown: bool) -> None:
        path: Any = self.panel.path
        if not shown:
            self._preview.remove()
        elif path in self._pictures:
            self._preview.begin()
            self._preview.show(path.name, self._pictures[path])
            self._viewer.reset_view()  # it lies beside what is in view

    def _running(self) -> dict[object, str]:
        """Find the runs of this machine that are training at this moment."""
        found: dict[object, str] = {}
        for path, state in self._states.items():
            if not state.alive:
                continue
            try:
                status = state_of(path)
            except NucleiganError:
                continue
            if status.state.alive and status.host in ("", platform.node()):
                found[path] = status.name
        return found
