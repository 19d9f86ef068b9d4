"""Background runs: trainings beside napari, in its activity dock, and what becomes of them when it is closed."""

from __future__ import annotations

import time
import weakref
from typing import TYPE_CHECKING, ClassVar

from qtpy.QtCore import QEvent, QObject, QTimer
from qtpy.QtWidgets import QApplication, QLabel, QMainWindow, QMessageBox, QWidget

from napari_nucleigan.training.runs.status import RunState
from napari_nucleigan.widgets.base.jobs import activity_bar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from napari.utils import cancelable_progress

    from napari_nucleigan.training.runs.status import RunStatus


KEEP, STOP, CANCEL = "keep", "stop", "cancel"


_ONE_CLOSING = 1.0  # seconds within which two questions belong to the same closing of the window

CALM = 2
"""Speed of napari's spinner while runs train, in per cent."""


class Activity:
    """One progress bar for each run that trains; its Cancel asks the run to stop.

    Parameters
    ----------
    owner : QObject
        Its bars go with it.
    """

    _shown: ClassVar[int] = 0  # bars of all widgets

    def __init__(self, owner: QObject) -> None:
        self._bars: dict[Path, cancelable_progress] = {}
        # Not at once: the window that is being destroyed around it cannot be searched for a spinner.
        owner.destroyed.connect(lambda: QTimer.singleShot(0, self.clear))

    @property
    def bars(self) -> list[cancelable_progress]:
        """The bars there are."""
        return list(self._bars.values())

    def update(self, statuses: Iterable[RunStatus]) -> list[Path]:
        """Bring the bars up to date.

        Parameters
        ----------
        statuses : iterable of RunStatus
            All runs there are.

        Returns
        -------
        list of Path
            Runs whose bar was cancelled since the last call.
        """
        alive = {status.path: status for status in statuses if status.state.alive}
        for path in self._bars.keys() - alive.keys():
            self._remove(path)
        cancelled = []
        for path, status in alive.items():
            bar = self._bars.get(path)
            if bar is not None and bar.is_canceled:
                self._remove(path)
                cancelled.append(path)
                self._add(status)
            elif bar is None and status.state is not RunState.STOPPING:
                self._add(status)
            self._show(status)
        return cancelled

    def clear(self) -> None:
        """Take all bars away; the runs go on."""
        for path in list(self._bars):
            self._remove(path)

    def _add(self, status: RunStatus) -> None:
        self._bars[status.path] = activity_bar(f"training {status.name}")
        Activity._shown += 1
        _set_spinner(CALM)

    def _remove(self, path: Path) -> None:
        self._bars.pop(path).close()
        Activity._shown -= 1
        if not Activity._shown:
            _set_spinner(100)

    def _show(self, status: RunStatus) -> None:
        bar = self._bars.get(status.path)
        if bar is not None and status.steps and status.step is not None:
            bar.total = status.steps
            bar.update(status.step - bar.n)


def _set_spinner(speed: int) -> None:
    """Set the speed of the spinner beside napari's activity dock.

    It paints the whole window 33 times a second. Where no graphics card does that, it takes nearly half a core, all
    night, from a training.
    """
    for window in QApplication.topLevelWidgets():
        for label in window.findChildren(QLabel):
            if label.movie() is not None:
                label.movie().setSpeed(speed)


def ask(parent: QWidget, names: Sequence[str]) -> str:
    """Ask whether trainings are to go on without napari: `KEEP`, `STOP`, or `CANCEL` for not closing at all."""
    one = len(names) == 1
    box = QMessageBox(parent)
    box.setIcon(QMessageBox.Icon.Question)
    box.setWindowTitle("Training is running")
    box.setText(f"“{names[0]}” is training." if one else f"{len(names)} runs are training: {', '.join(names)}.")
    it, its, them = ("it", "its", "it") if one else ("they", "their", "them")
    box.setInformativeText(
        f"Without napari {it} can go on: open the Train widget later, and you will find {them} again. "
        f"Or {it} can save {its} state and stop, to be resumed another day."
    )
    answers = {
        box.addButton("Keep training", QMessageBox.ButtonRole.AcceptRole): KEEP,
        box.addButton("Save and stop", QMessageBox.ButtonRole.DestructiveRole): STOP,
        box.addButton("Do not close", QMessageBox.ButtonRole.RejectRole): CANCEL,
    }
    box.exec()
    return next((answer for button, answer in answers.items() if button is box.clickedButton()), CANCEL)


class Closing(QObject):
    """Watches the window that a widget is docked in, and asks before it closes.

    A docked widget never sees a close event of its own.

    Parameters
    ----------
    widget : QWidget
        The docked widget.
    running : callable
        Names of the runs that are training, by what identifies them.
    stop : callable
        Asks runs to save their state and end.
    """

    # Another widget in the window may know the same runs: nobody is asked twice about one.
    _answered: ClassVar[dict[object, float]] = {}

    def __init__(
        self, widget: QWidget, running: Callable[[], dict[object, str]], stop: Callable[[list], object]
    ) -> None:
        super().__init__(widget)
        self._widget, self._running, self._stop = widget, running, stop
        # Weak, or the window and what is in it would keep each other.
        self._found: weakref.ref[QMainWindow] | None = None

    @property
    def window(self) -> QMainWindow | None:
        """The window that is watched."""
        return self._found() if self._found is not None else None

    def attach(self) -> None:
        """Watch the window that the widget is in now, if it is in one."""
        found: QWidget | None = self._widget
        # A floating dock is a window of its own; its parent is the main window all the same.
        while found is not None and not isinstance(found, QMainWindow):
            found = found.parentWidget()
        self.detach()
        if found is not None:
            found.installEventFilter(self)
            self._found = weakref.ref(found)

    def detach(self) -> None:
        """Watch no window any more."""
        if (window := self.window) is not None:
            window.removeEventFilter(self)
        self._found = None

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Ask when the window is about to close; a refusal keeps it open."""
        window = self.window
        if event.type() != QEvent.Type.Close or window is None or watched is not window:
            return False
        now = time.monotonic()
        running = {key: name for key, name in self._running().items() if now > self._answered.get(key, 0.0)}
        if not running:
            return False
        answer = ask(window, list(running.values()))
        if answer == CANCEL:
            event.ignore()
            return True
        self._answered.clear()
        self._answered.update(dict.fromkeys(running, time.monotonic() + _ONE_CLOSING))
        if answer == STOP:
            self._stop(list(running))
        return False
