"""Table of the files of a folder that is being segmented, and what has become of each."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QBrush, QColor
from qtpy.QtWidgets import QHeaderView, QSizePolicy, QTreeWidget, QTreeWidgetItem, QVBoxLayout, QWidget

from napari_nucleigan.base.events import duration
from napari_nucleigan.training.runs.status import RunState
from napari_nucleigan.widgets.base.fields import set_text, small_label
from napari_nucleigan.widgets.base.run_watcher import colour

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_nucleigan.base.events import FileState
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
        self.tree.setStyleSheet("QTreeWidget::item { padding: 2px; }")
        header, titles = self.tree.header(), self.tree.headerItem()
        assert titles is not None
        for column, tip in enumerate(COLUMNS.values()):
            titles.setToolTip(column, tip)
            if column:
                header.resizeSection(column, self.tree.fontMetrics().horizontalAdvance(_WIDEST[column - 1]) + _MARGIN)
            if column > 1:
                titles.setTextAlignment(column, _RIGHT)
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
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.tree, 1)
        layout.addWidget(self.detail)
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
        for column, words in enumerate(shown, start=1):
            row.setData(column, _VALUE, values[column - 1])
            row.setText(column, words)
            row.setToolTip(column, text)
            if column > 1:
                row.setTextAlignment(column, _RIGHT)
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
