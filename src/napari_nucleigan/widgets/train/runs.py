"""Panel of the run that is open in the Train widget: its state, its plots and its log."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import (
    QGridLayout,
    QLabel,
    QPlainTextEdit,
    QProgressBar,
    QPushButton,
    QTextBrowser,
    QWidget,
)

from napari_nucleigan.adaptation.settings import KIND
from napari_nucleigan.base.events import duration
from napari_nucleigan.training.runs.status import RunState
from napari_nucleigan.widgets.base.fields import (
    NO_MARGINS,
    check,
    column,
    enable,
    is_dark,
    push_button,
    set_text,
    small_label,
)
from napari_nucleigan.widgets.base.scrolling import scrolled
from napari_nucleigan.widgets.base.steps import SEGMENT, SYNTHESIZE
from napari_nucleigan.widgets.base.training_runs import colour
from napari_nucleigan.widgets.train.charts import allowed, best_score, word
from napari_nucleigan.widgets.train.plots import LivePlots
from napari_nucleigan.widgets.train.preview import PreviewPicture
from napari_nucleigan.widgets.train.series import Series

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_nucleigan.base.events import Event
    from napari_nucleigan.training.runs.status import RunStatus

REFRESH_MS = 400
"""Between two drawings of plots that grow."""

WIDGETS = {"segmenter": SEGMENT, "synthesizer": SYNTHESIZE, KIND: SEGMENT}
"""Which widget uses the models of which kind."""

_NEXT = {"segmenter": "Segment with it", "synthesizer": "Paint with it", KIND: "Segment with it"}

_NOTHING = "No run is open: start one on the first page, or open one from the list."
_LOG_LINES = 6
LOST = "The steps since the last checkpoint are lost."
"""What a kill costs."""
_TIPS = {
    "pause": "Wait after the present step; the process and its memory are kept.",
    "resume": "Go on: a paused run at once, an ended one from its last checkpoint, in a new process.",
    "stop": "Save the state after the present step, then end. Resume goes on from there.",
    "kill": f"End the process at once. {LOST}",
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
        self.picture = PreviewPicture()
        self.plots = LivePlots()
        self.log = QPlainTextEdit(readOnly=True)
        self.log.setToolTip("What the process wrote last.")
        self.report = QTextBrowser()
        self.reported: tuple[Path, float] | None = None
        """Of which run, last active when, the report is shown."""
        self.report.setToolTip("What the adaptation has found out: adaptation.md in the folder of the run.")
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
        self.picture.show_pixels(None)
        self.report.clear()
        self.reported = None
        self.plots.show_runs(self._named())
        self._describe()

    def show_report(self, path: Path, text: str) -> None:
        """Show what an adaptation has found out, in Markdown."""
        if path == self.path:
            self.report.setMarkdown(text)
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
        # On a small screen the plots scroll; what stops the run stays in sight.
        self._below = scrolled(column(self.picture, self.plots, margins=NO_MARGINS, tall=self.plots))
        both = column(self._below, self.report, margins=NO_MARGINS, stretch=False)
        parts = (self.title, self.progress, self.message, self.log, buttons, both)
        column(*parts, inside=self, tall=both)

    def _describe(self) -> None:
        status = self._status
        shown = self.path is not None
        # An adaptation is several trainings, each with plots of its own; as a whole it has a report.
        adapts = status is not None and status.kind == KIND
        for part in (self.use_button, *self.buttons.values()):
            part.setVisible(shown)
        for part in (self._below, self.plots, self.preview):
            part.setVisible(shown and not adapts)
        self.report.setVisible(adapts and bool(self.report.toPlainText()))
        can = allowed(status) if status is not None else set()
        for name, button in self.buttons.items():
            button.setEnabled(name in can)
        model = status is not None and status.model is not None
        kind, behind = (status.kind, status.behind) if status is not None else ("", "")
        self.use_button.setText(_NEXT.get(kind, "Use the model"))
        why = behind if model else f"There is no model before the {'end' if adapts else 'first validation'}."
        enable(self.use_button, why, f"Open {WIDGETS.get(kind, 'its widget')} with the best model so far.")
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
        done, total = (status.step or 0, status.steps or 0) if known else (status.done, status.total)
        self.progress.setRange(0, total or swings)
        self.progress.setValue(done)
        left = "" if status.seconds_left is None else f" · {duration(status.seconds_left)} left"
        count = f"step {status.step} of {status.steps}" if known else status.what or word(status.state).lower()
        if status.kind == KIND and total:
            count = f"{done} of {total} of this part"  # the message tells of which
        self.progress.setFormat(f"{count}{left}")


def _detail(status: RunStatus) -> str:
    """Say what there is besides the state itself."""
    plain = status.message.rstrip(".").lower() == word(status.state).lower()
    busy = status.what if status.state is RunState.RUNNING and status.what not in ("", "training") else ""
    return f"{busy.capitalize()}." if plain and busy else "" if plain else status.message


def _best(status: RunStatus) -> str:
    best = best_score(status)
    step = "" if status.kind == KIND else f" at step {status.best_step}"
    return f"Best {best[0]} {best[1]:.3f}{step}." if best else ""
