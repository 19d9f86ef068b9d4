"""Closing napari while runs train: asked once, and answered by going on, stopping or staying open."""

from __future__ import annotations

import time
import weakref
from typing import TYPE_CHECKING, ClassVar

from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QMainWindow, QMessageBox, QWidget

from napari_nucleigan.widgets.base.canvas import main_window

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

KEEP, STOP, CANCEL = "keep", "stop", "cancel"
_ONE_CLOSING = 1.0  # seconds within which two questions belong to the same closing of the window


def ask(parent: QWidget, names: Sequence[str]) -> str:
    """Ask whether trainings are to go on without napari: `KEEP`, `STOP`, or `CANCEL` for not closing at all."""
    one = len(names) == 1
    box = QMessageBox(parent)
    box.setIcon(QMessageBox.Icon.Question)
    box.setWindowTitle("Training is running")
    box.setText(f"“{names[0]}” is training." if one else f"{len(names)} runs are training: {', '.join(names)}.")
    it, its, them = ("it", "its", "it") if one else ("they", "their", "them")
    box.setInformativeText(
        f"Without napari {it} can go on: open “Train a model” later, and you will find {them} again. "
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
        found = main_window(self._widget)
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
