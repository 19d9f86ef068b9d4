"""List of the runs in the Train widget."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QBrush, QColor
from qtpy.QtWidgets import (
    QAbstractItemView,
    QGridLayout,
    QHeaderView,
    QInputDialog,
    QLabel,
    QSizePolicy,
    QTreeWidget,
    QTreeWidgetItem,
    QWidget,
)

from napari_nucleigan.widgets.base.fields import column, is_dark, push_button, silent
from napari_nucleigan.widgets.base.training_runs import colour
from napari_nucleigan.widgets.train.charts import ago, allowed, best_score, word
from napari_nucleigan.widgets.train.plots import MOST_RUNS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_nucleigan.training.runs.status import RunStatus

COLUMNS = ("Run", "State", "Best", "Active", "Recipe")
_PATH = Qt.ItemDataRole.UserRole
_NAME = 130  # pixels of the first column
_BUTTONS = {
    "open": ("Open", "Show the run's state and plots."),
    "compare": ("Compare", f"Show 2 to {MOST_RUNS} selected runs in the same plots."),
    "use": ("Use the model", "Open Segment nuclei or Synthesize H&E with the best model of the run."),
    "resume": ("Resume", "Go on from the last checkpoint."),
    "rename": ("Rename…", "Give the run another name, when it has ended."),
    "delete": ("Delete", "Move the run to the trash folder “.trash” beside the runs, when it has ended."),
}


class RunsList(QWidget):
    """All runs with state, best score, recipe and last activity; it asks for what the user wants by signals."""

    opened = Signal(object)
    """Path of a run to be shown."""
    compared = Signal(object)
    """Paths of runs to be shown in the same plots."""
    asked = Signal(object, str, str)
    """Path of a run, what the user wants with it (``"resume"``, ``"rename"``, ``"delete"``), and a new name."""
    used = Signal(object)
    """Path of a run whose model is to be used."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._statuses: dict[Path, RunStatus] = {}
        self._dark = True
        self.tree = QTreeWidget()
        self.tree.setColumnCount(len(COLUMNS))
        self.tree.setHeaderLabels(COLUMNS)
        self.tree.setRootIsDecorated(False)
        self.tree.setUniformRowHeights(True)
        # Names of runs that differ often do so at their end.
        self.tree.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.tree.setStyleSheet("QTreeWidget::item { padding: 3px 2px; }")
        self.tree.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.tree.setToolTip(f"The runs of {folder}. Select several to compare them.")
        header = self.tree.header()
        header.setStretchLastSection(False)
        header.setMinimumSectionSize(30)
        header.resizeSection(0, _NAME)
        for at in range(1, len(COLUMNS)):
            header.setSectionResizeMode(at, QHeaderView.ResizeMode.ResizeToContents)
        self.empty = QLabel(f"There are no runs in {folder} yet.")
        self.empty.setWordWrap(True)
        self.empty.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.buttons = {name: push_button(*texts) for name, texts in _BUTTONS.items()}
        grid = QGridLayout()
        grid.setSpacing(4)
        for index, button in enumerate(self.buttons.values()):
            grid.addWidget(button, index // 3, index % 3)
        column(self.empty, self.tree, grid, inside=self, tall=self.tree)
        self.tree.itemSelectionChanged.connect(self._update)
        self.tree.itemDoubleClicked.connect(lambda item, _: self.opened.emit(item.data(0, _PATH)))
        self.buttons["open"].clicked.connect(lambda: self.opened.emit(self.selected[0]))
        self.buttons["compare"].clicked.connect(lambda: self.compared.emit(self.selected))
        self.buttons["use"].clicked.connect(lambda: self.used.emit(self.selected[0]))
        self.buttons["resume"].clicked.connect(lambda: self._ask("resume"))
        self.buttons["delete"].clicked.connect(lambda: self._ask("delete"))
        self.buttons["rename"].clicked.connect(self._rename)
        self._update()

    @property
    def selected(self) -> list[Path]:
        """Paths of the selected runs, from top to bottom."""
        return [path for path, item in self._items().items() if item.isSelected()]

    @property
    def paths(self) -> list[Path]:
        """Paths of all runs, from top to bottom."""
        return list(self._statuses)

    def status(self, path: Path) -> RunStatus | None:
        """Tell what is known of a run."""
        return self._statuses.get(path)

    def select(self, paths: Sequence[Path]) -> None:
        """Select runs."""
        for path, item in self._items().items():
            item.setSelected(path in paths)

    def set_statuses(self, statuses: Sequence[RunStatus]) -> None:
        """Show runs, in the given order; what was selected stays selected."""
        self._statuses = {status.path: status for status in statuses}
        before = self._items()
        if list(before) != list(self._statuses):
            selected, current = set(self.selected), self.tree.verticalScrollBar().value()
            with silent(self.tree):
                self.tree.clear()
                for path in self._statuses:
                    item = QTreeWidgetItem()
                    item.setData(0, _PATH, path)
                    self.tree.addTopLevelItem(item)
                    item.setSelected(path in selected)
            self.tree.verticalScrollBar().setValue(current)
        for path, item in self._items().items():
            self._fill(item, self._statuses[path])
        self._update()

    def set_theme(self, theme: str) -> None:
        """Take the colours of a napari theme."""
        self._dark = is_dark(theme)
        for path, item in self._items().items():
            self._fill(item, self._statuses[path])

    def _items(self) -> dict[Path, QTreeWidgetItem]:
        items = [self.tree.topLevelItem(row) for row in range(self.tree.topLevelItemCount())]
        return {item.data(0, _PATH): item for item in items if item is not None}

    def _fill(self, item: QTreeWidgetItem, status: RunStatus) -> None:
        best = best_score(status)
        score = f"{best[1]:.3f}" if best else ""
        texts = (status.name, word(status.state), score, ago(status.activity), status.recipe)
        for at, text in enumerate(texts):
            if item.text(at) != text:
                item.setText(at, text)
        item.setForeground(1, QBrush(QColor(colour(status.state, self._dark))))
        steps = "" if status.step is None else f"\nstep {status.step}" + (f" of {status.steps}" if status.steps else "")
        score = f"\nbest {best[0]} {best[1]:.4f} at step {status.best_step}" if best else ""
        tip = f"{status.path}\n{status.message}{steps}{score}"
        for at in range(len(COLUMNS)):
            item.setToolTip(at, tip)

    def _update(self) -> None:
        chosen = [self._statuses[path] for path in self.selected if path in self._statuses]
        one = chosen[0] if len(chosen) == 1 else None
        can = allowed(one) if one is not None else set()
        if one is not None:
            can |= {"open", *(["use"] if one.model is not None else [])}
        if 2 <= len(chosen) <= MOST_RUNS:
            can.add("compare")
        for name, button in self.buttons.items():
            button.setEnabled(name in can)
        self.empty.setVisible(not self._statuses)

    def _ask(self, what: str, name: str = "") -> None:
        self.asked.emit(self.selected[0], what, name)

    def _rename(self) -> None:
        path = self.selected[0]
        name, given = QInputDialog.getText(self, "Rename the run", "New name:", text=path.name)
        if given and name.strip() and name.strip() != path.name:
            self._ask("rename", name.strip())
