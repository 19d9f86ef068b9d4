"""Runs in the Train widget: the panel of the one that is open, with its plots and its log, and the list of all."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, QTimer, Signal
from qtpy.QtGui import QBrush, QColor
from qtpy.QtWidgets import (
    QAbstractItemView,
    QGridLayout,
    QHeaderView,
    QInputDialog,
    QLabel,
    QPlainTextEdit,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QTreeWidget,
    QTreeWidgetItem,
    QWidget,
)

from napari_nucleigan.base.events import duration
from napari_nucleigan.training.runs.status import RunState
from napari_nucleigan.widgets.base.fields import (
    check,
    column,
    is_dark,
    push_button,
    set_text,
    silent,
    small_label,
)
from napari_nucleigan.widgets.base.training_runs import colour
from napari_nucleigan.widgets.train.charts import ago, allowed, best_score, word
from napari_nucleigan.widgets.train.plots import MOST_RUNS, LivePlots
from napari_nucleigan.widgets.train.series import Series

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_nucleigan.base.events import Event
    from napari_nucleigan.training.runs.status import RunStatus

REFRESH_MS = 400
"""Between two drawings of plots that grow."""

WIDGETS = {"segmenter": "Segment nuclei", "synthesizer": "Synthesize H&E"}
"""Which widget uses the models of which kind."""

_NOTHING = "No run is open: start one on the first page, or open one from the list."
_LOG_LINES = 6
_TIPS = {
    "pause": "Wait after the present step; the process and its memory are kept.",
    "resume": "Go on: a paused run at once, an ended one from its last checkpoint, in a new process.",
    "stop": "Save the state after the present step, then end. Resume goes on from there.",
    "kill": "End the process at once; the steps since the last checkpoint are lost.",
}
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


class RunPanel(QWidget):
    """Shows a run, and perhaps others beside it in the plots; it asks for what the user wants by signals."""

    asked = Signal(object, str)
    """Path of the run, and what the user wants with it: ``"pause"``, ``"resume"``, ``"stop"`` or ``"kill"``."""
    use_clicked = Signal(object)
    """Path of the run whose model is to be used."""
    preview_toggled = Signal(bool)
    """Whether the preview is to be shown as a layer."""

    def __init__(self) -> None:
        super().__init__()
        self._paths: list[Path] = []
        self._series: dict[Path, Series] = {}
        self._status: RunStatus | None = None
        self._dark = True
        self.title = QLabel(_NOTHING)
        self.title.setWordWrap(True)
        self.message = small_label()
        self.progress = QProgressBar()
        self.buttons = {name: push_button(name.capitalize(), tip) for name, tip in _TIPS.items()}
        for name, button in self.buttons.items():
            button.clicked.connect(lambda _=False, name=name: self.asked.emit(self.path, name))
        self.use_button = QPushButton("Use the model")
        self.preview = check(
            "Preview layer",
            "Show the newest preview as a layer beside your images: of a segmenter the input, its nuclei, the "
            "prediction and the truth; of a synthesizer masks, painted images, masks read back, and real images.",
            checked=True,
        )
        self.plots = LivePlots()
        self.log = QPlainTextEdit(readOnly=True)
        self.log.setToolTip("What the process wrote last.")
        self._timer = QTimer(self, singleShot=True, interval=REFRESH_MS)
        self._build()
        self._timer.timeout.connect(self._draw)
        self.use_button.clicked.connect(lambda: self.use_clicked.emit(self.path))
        self.preview.toggled.connect(self.preview_toggled.emit)
        self.show_runs([])

    @property
    def path(self) -> Path | None:
        """Folder of the run; the first one where several are compared."""
        return self._paths[0] if self._paths else None

    @property
    def paths(self) -> list[Path]:
        """Folders of all runs that are shown."""
        return list(self._paths)

    @property
    def status(self) -> RunStatus | None:
        """What is known of the run."""
        return self._status

    def show_runs(self, paths: Sequence[Path]) -> None:
        """Show a run, and others beside it in the plots."""
        self._series = {path: self._series.get(path) or Series() for path in paths}
        self._paths = list(paths)
        if self._status is not None and self._status.path != self.path:
            self._status = None
        self.plots.show_runs(self._named())
        self._describe()

    def renamed(self, before: Path, after: Path) -> None:
        """Go on showing a run whose folder has another name now."""
        if before in self._series:
            self._series = {after if path == before else path: series for path, series in self._series.items()}
            self.show_runs([after if path == before else path for path in self._paths])

    def take(self, path: Path, events: Sequence[Event], fresh: bool) -> None:
        """Take in what a run has told; `fresh` if it begins again."""
        if path not in self._series:
            return
        if fresh:
            self._series[path] = Series()
            self.plots.show_runs(self._named())
        self._series[path].feed(events)
        if not self._timer.isActive():
            self._timer.start()

    def set_status(self, status: RunStatus) -> None:
        """Show the state of the run."""
        if status.path == self.path:
            self._status = status
            self._describe()

    def set_theme(self, theme: str) -> None:
        """Take the colours of a napari theme."""
        self._dark = is_dark(theme)
        self.plots.set_theme(theme)
        self._describe()

    def _named(self) -> dict[str, Series]:
        names = [path.name for path in self._paths]
        # Runs of different folders may have the same name.
        return {
            path.name if names.count(path.name) == 1 else str(path): series for path, series in self._series.items()
        }

    def _draw(self) -> None:
        # Not while another page is in front.
        if self.isVisibleTo(self.window()):
            self.plots.refresh()

    def showEvent(self, event: object) -> None:
        """Draw what has come while the panel was hidden."""
        super().showEvent(event)
        self.plots.refresh()

    def _build(self) -> None:
        buttons = QGridLayout()
        buttons.setSpacing(4)
        for at, button in enumerate(self.buttons.values()):
            buttons.addWidget(button, 0, at)
        buttons.addWidget(self.use_button, 1, 0, 1, 2)
        buttons.addWidget(self.preview, 1, 2, 1, 2)
        parts = (self.title, self.progress, self.message, self.log, buttons, self.plots)
        column(*parts, inside=self, tall=self.plots)

    def _describe(self) -> None:
        status = self._status
        shown = self.path is not None
        for part in (self.plots, self.use_button, self.preview, *self.buttons.values()):
            part.setVisible(shown)
        can = allowed(status) if status is not None else set()
        for name, button in self.buttons.items():
            button.setEnabled(name in can)
        model = status is not None and status.model is not None
        self.use_button.setEnabled(model)
        where = WIDGETS.get(status.kind if status is not None else "", "its widget")
        self.use_button.setToolTip(
            f"Open {where} with the best model so far." if model else "There is no model before the first validation."
        )
        if status is None:
            self.title.setText(_NOTHING if not shown else f"<b>{escape(self._paths[0].name)}</b>")
            set_text(self.message, "")
            self.progress.hide()
            self.log.hide()
            return
        hue = colour(status.state, self._dark)
        others = f" beside {len(self._paths) - 1} more" if len(self._paths) > 1 else ""
        self.title.setText(
            f"<span style='color:{hue}'>● <b>{word(status.state)}</b></span>&nbsp; <b>{escape(status.name)}</b>{others}"
        )
        self.title.setToolTip(f"{status.path}\n{status.recipe}")
        set_text(self.message, " ".join(part for part in (_detail(status), _best(status)) if part))
        self._show_progress(status)
        troubled = status.state in (RunState.FAILED, RunState.INTERRUPTED) and bool(status.log)
        text = "\n".join(status.log)
        if troubled and self.log.toPlainText() != text:
            self.log.setPlainText(text)
            self.log.setFixedHeight(16 * min(_LOG_LINES, 1 + max(2, len(text) // 45)))
            bar = self.log.verticalScrollBar()
            bar.setValue(bar.maximum())
        self.log.setVisible(troubled)

    def _show_progress(self, status: RunStatus) -> None:
        alive = status.state.alive
        self.progress.setVisible(alive)
        if not alive:
            return
        known = bool(status.steps) and status.step is not None
        # A bar that swings to and fro paints the window all the time: not for a run that may wait for hours.
        swings = 0 if status.state is RunState.RUNNING else 1
        self.progress.setRange(0, status.steps if known and status.steps else swings)
        self.progress.setValue(status.step or 0)
        left = "" if status.seconds_left is None else f" · {duration(status.seconds_left)} left"
        count = f"step {status.step} of {status.steps}" if known else status.what or word(status.state).lower()
        self.progress.setFormat(f"{count}{left}")


def _detail(status: RunStatus) -> str:
    """Say what there is besides the state itself."""
    plain = status.message.rstrip(".").lower() == word(status.state).lower()
    busy = status.what if status.state is RunState.RUNNING and status.what not in ("", "training") else ""
    return f"{busy.capitalize()}." if plain and busy else "" if plain else status.message


def _best(status: RunStatus) -> str:
    best = best_score(status)
    return f"Best {best[0]} {best[1]:.3f} at step {status.best_step}." if best else ""


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
