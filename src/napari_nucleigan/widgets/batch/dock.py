"""The widget that segments folders of images: a form (`form`), a table of files, and jobs (through `base.jobs`)."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakSet

from napari.utils.notifications import show_warning
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QBrush, QColor
from qtpy.QtWidgets import QHeaderView, QSizePolicy, QTreeWidget, QTreeWidgetItem, QWidget

from napari_nucleigan.base.errors import NucleiganError
from napari_nucleigan.base.events import FileState, duration
from napari_nucleigan.segmentation.file_plan import REPORT
from napari_nucleigan.segmentation.folders import segment_files
from napari_nucleigan.training.runs.status import RunState
from napari_nucleigan.widgets.base import image_sources
from napari_nucleigan.widgets.base.dock import ModelDock
from napari_nucleigan.widgets.base.fields import NO_MARGINS, column, push_button, set_text, small_label
from napari_nucleigan.widgets.base.jobs import Runner
from napari_nucleigan.widgets.base.layers import CONTOUR, add_once, nuclei_colormap
from napari_nucleigan.widgets.base.run_bar import RunBar
from napari_nucleigan.widgets.base.scrolling import pinned
from napari_nucleigan.widgets.base.training_runs import colour
from napari_nucleigan.widgets.batch.form import BatchForm, BatchImages, BatchOrder, look_into

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Layer
    from napari.viewer import Viewer

    from napari_nucleigan.base.errors import NucleiganError
    from napari_nucleigan.base.events import Progress
    from napari_nucleigan.contributions.layers import LayerData
    from napari_nucleigan.segmentation import FileResult, SegmentSettings
    from napari_nucleigan.segmentation.file_plan import FileTask


COLUMNS = {
    "Image": "The file, from the folder that all lie in.",
    "State": "waiting, running, done, skipped (an earlier run has done it), or failed.",
    "Nuclei": "How many were found.",
    "Seconds": "Time that it took, with reading and writing.",
}
WAITING = "waiting"
# In the order in which they are sorted: what needs the user comes first. The colours are those of training runs.
_STATES = {
    "failed": RunState.FAILED,
    "running": RunState.RUNNING,
    WAITING: RunState.QUEUED,
    "done": RunState.FINISHED,
    "skipped": RunState.STOPPED,
}
_ORDER = list(_STATES)
_WIDEST, _MARGIN = ("running", "000000", "Seconds"), 12  # what columns have room for, and pixels beside it
_PLACE, _VALUE, _TEXT = (Qt.ItemDataRole.UserRole + step for step in range(3))
_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter


class FilesTable(QWidget):
    """Rows of files: state, nuclei, seconds; and all there is to say of the chosen one."""

    opened = Signal(object)
    """The `FileTask` that the user wants to see."""
    chosen = Signal()
    """Another row was chosen."""

    def __init__(self) -> None:
        super().__init__()
        self._tasks: list[FileTask] = []
        self._rows: dict[str, _Row] = {}
        self._counts: Counter[str] = Counter()
        self._nuclei, self._seconds = 0, 0.0
        self._dark = True
        self.tree = QTreeWidget()
        self.tree.setColumnCount(len(COLUMNS))
        self.tree.setHeaderLabels(list(COLUMNS))
        self.tree.setToolTip("The images. A click on a heading sorts; a double click opens an image with its nuclei.")
        self.tree.setRootIsDecorated(False)
        self.tree.setUniformRowHeights(True)
        self.tree.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.tree.setStyleSheet("QTreeWidget::item { padding: 2px; }")
        header, titles = self.tree.header(), self.tree.headerItem()
        assert titles is not None
        for at, tip in enumerate(COLUMNS.values()):
            titles.setToolTip(at, tip)
            if at:
                header.resizeSection(at, self.tree.fontMetrics().horizontalAdvance(_WIDEST[at - 1]) + _MARGIN)
            if at > 1:
                titles.setTextAlignment(at, _RIGHT)
        header.setStretchLastSection(False)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        header.setMinimumSectionSize(30)
        # As high as there is room for, but the form comes first.
        self.tree.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Ignored)
        self.tree.setMinimumHeight(130)
        self.tree.sortByColumn(0, Qt.SortOrder.AscendingOrder)
        self.detail = small_label()
        # It gets the height that its text needs, and does not ask for that of a narrower one.
        self.detail.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Ignored)
        column(self.tree, self.detail, inside=self, margins=NO_MARGINS, tall=self.tree)
        self.tree.itemSelectionChanged.connect(self._selected)
        self.tree.itemDoubleClicked.connect(lambda row, _: self.opened.emit(self._tasks[row.data(0, _PLACE)]))

    @property
    def task(self) -> FileTask | None:
        """The chosen image."""
        row = self._current()
        return self._tasks[row.data(0, _PLACE)] if row is not None else None

    @property
    def counts(self) -> Counter[str]:
        """How many files are in each state."""
        return +self._counts

    def set_tasks(self, tasks: Sequence[FileTask]) -> None:
        """List images, all of them waiting."""
        self._tasks, self._rows = list(tasks), {}
        self._counts, self._nuclei, self._seconds = Counter(), 0, 0.0
        self.tree.clear()
        names = _short_names([task.source for task in tasks])
        for place, (task, name) in enumerate(zip(tasks, names, strict=True)):
            row = self._rows[str(task.source)] = _Row([name])
            row.setData(0, _PLACE, place)
            row.setToolTip(0, str(task.source))
            self._fill(row, WAITING)
        # As one list, and sorted once: there may be thousands.
        self.tree.setSortingEnabled(False)
        self.tree.addTopLevelItems(list(self._rows.values()))
        self.tree.setSortingEnabled(True)
        self._selected()

    def show_state(self, event: FileState) -> None:
        """Show what has become of a file."""
        row = self._rows.get(event.path)
        if row is not None:
            self._fill(row, event.state, event.nuclei, event.seconds, event.text)
            # Those of an earlier run took no time in this one.
            self._nuclei += event.nuclei or 0
            self._seconds += (event.seconds or 0.0) * (event.state == "done")
            if event.state == "running" and self._current() is None:
                self.tree.scrollToItem(row)
            if row is self._current():
                self._selected()

    def stop(self) -> None:
        """Let what was running wait again."""
        for row in self._rows.values():
            if row.text(1) == "running":
                self._fill(row, WAITING)

    def choose(self, name: str) -> None:
        """Choose a row by the name that it shows."""
        for row in self.tree.findItems(name, Qt.MatchFlag.MatchExactly):
            self.tree.setCurrentItem(row)

    def state(self, name: str) -> tuple[str, ...]:
        """Return the texts of a row by the name that it shows."""
        (row,) = self.tree.findItems(name, Qt.MatchFlag.MatchExactly)
        return tuple(row.text(column) for column in range(len(COLUMNS)))

    def summary(self) -> str:
        """Sum all up in a line."""
        counts = self.counts
        parts = [f"{counts[state]} {state}" for state in ("done", "skipped", "failed", WAITING) if counts[state]]
        parts += [f"{self._nuclei} nuclei"] * bool(self._nuclei) + [duration(self._seconds)] * bool(self._seconds)
        return " · ".join(parts)

    def set_theme(self, theme: str) -> None:
        """Take the colours of a napari theme, by its name."""
        from napari.utils.theme import get_theme

        self._dark = get_theme(theme).type == "dark"
        for row in self._rows.values():
            self._tint(row)

    def _current(self) -> QTreeWidgetItem | None:
        return next(iter(self.tree.selectedItems()), None)

    def _fill(
        self, row: _Row, state: str, nuclei: int | None = None, seconds: float | None = None, text: str = ""
    ) -> None:
        self._counts.subtract([row.text(1)] if row.text(1) else [])
        self._counts[state] += 1
        values = (_ORDER.index(state), nuclei, seconds)
        shown = (state, "" if nuclei is None else str(nuclei), "" if seconds is None else f"{seconds:.1f}")
        for at, words in enumerate(shown, start=1):
            row.setData(at, _VALUE, values[at - 1])
            row.setText(at, words)
            row.setToolTip(at, text)
            if at > 1:
                row.setTextAlignment(at, _RIGHT)
        row.setData(0, _TEXT, text)
        self._tint(row)

    def _tint(self, row: _Row) -> None:
        row.setForeground(1, QBrush(QColor(colour(_STATES[row.text(1)], self._dark))))

    def _selected(self) -> None:
        row = self._current()
        set_text(self.detail, row.data(0, _TEXT) if row is not None else "")
        self.chosen.emit()


class _Row(QTreeWidgetItem):
    """A row that sorts by its numbers; where there is none it comes first."""

    def __lt__(self, other: QTreeWidgetItem) -> bool:
        tree = self.treeWidget()
        column = tree.sortColumn() if tree is not None else 0
        mine, its = self.data(column, _VALUE), other.data(column, _VALUE)
        if column == 0 or mine == its:
            return self.text(0) < other.text(0)
        return (mine is not None, mine or 0) < (its is not None, its or 0)


def _short_names(paths: Sequence[Path]) -> list[str]:
    """Names from the folder that all lie in."""
    if not paths:
        return []
    try:
        top = Path(os.path.commonpath([path.parent for path in paths]))
    except ValueError:  # on drives of their own
        return [str(path) for path in paths]
    return [path.relative_to(top).as_posix() for path in paths]


class BatchWidget(ModelDock):
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

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__(napari_viewer)
        self._shown: WeakSet[Layer] = WeakSet()
        self._asked: tuple[BatchOrder, SegmentSettings] | None = None
        self._within = False  # a file: what is noted then is shown with it
        self.form = BatchForm()
        self.bar = RunBar("Segment the images. What is done already is skipped.")
        self.table = FilesTable()
        self.open_button = push_button(
            "Open in the viewer", "Open the chosen image and its nuclei as layers; a double click does it too."
        )
        self._planner, self._runner = Runner(self, activity=True), Runner(self, activity=True)
        self._opener = Runner(self, apart=True)
        self.bar.cancel_button.setToolTip("Stop at once. What is done stays; Run goes on from it.")
        self._fill(pinned(column(self.form, self.table, self.open_button, tall=self.table), self.bar))
        self._connect()
        self._theme()
        self.form.picker.look()

    def problem(self) -> str:
        """Why a run is not possible now; empty where it is."""
        return self.form.problem()

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

    def _connect(self) -> None:
        self._connect_model(failed=self._complain)
        self.form.changed.connect(self._update)
        self.form.looker.seen.connect(lambda found: self.table.set_tasks(found.tasks))
        self.table.opened.connect(self.open)
        self.table.chosen.connect(self._update)
        self.open_button.clicked.connect(self._open_chosen)
        self._quiet.append(self.form.scale.runner)
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
        self.form.offer_scale()
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

    def _planned(self, found: BatchImages) -> None:
        assert self._asked is not None
        order, settings = self._asked
        job = segment_files(
            order.inputs, order.out, settings, order.formats, again=order.again, recursive=order.recursive
        )
        self._runner.start(job, "segmenting a folder")
        self.table.set_tasks(found.tasks)  # after the start: the form stays disabled

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
