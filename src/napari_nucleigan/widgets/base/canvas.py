"""Canvas: keeps what napari deletes with a layer away from what Qt draws its windows with.

When a layer is removed, napari 0.9 tells OpenGL at once to delete what the layer was drawn with. It does so in the
context that is current, and after a window was painted that is Qt's own. Both share what they draw with, each keeps its
own book on it, and some frames later the process ends in a segmentation fault, most easily where Shapes are removed.
``tests/support/viewer_rounds.py --plain`` shows it without this package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject
from qtpy.QtWidgets import QMainWindow, QWidget

if TYPE_CHECKING:
    from napari.viewer import Viewer

_NAME = "nucleigan_canvas_guard"


class CanvasGuard(QObject):
    """Makes the canvas of a window the current one before layers are removed; it lives as long as the window.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Whose layers are removed.
    window : QMainWindow
        Its window.
    """

    def __init__(self, viewer: Viewer, window: QMainWindow) -> None:
        super().__init__(window)
        self.setObjectName(_NAME)
        self._window = window
        # What napari itself has connected to an event is called before all others: earlier ones than it listens to.
        for event in (viewer.layers.events.removing, viewer.layers.events.begin_batch):
            event.connect(self.make_current)

    def make_current(self, event: object = None) -> None:
        """Let OpenGL work for the canvas."""
        # Asked by name, because Qt 5 and Qt 6 have the class in different modules.
        middle = self._window.centralWidget()
        for widget in middle.findChildren(QWidget) if middle is not None else ():
            if widget.inherits("QOpenGLWidget") and widget.isValid():
                widget.makeCurrent()


def main_window(widget: QWidget) -> QMainWindow | None:
    """Return the main window that a widget is in; also where it floats, which makes a window of its dock."""
    found: QWidget | None = widget
    while found is not None and not isinstance(found, QMainWindow):
        found = found.parentWidget()
    return found


def guard_canvas(viewer: Viewer, widget: QWidget) -> None:
    """Guard the canvas of the window that a widget is in; a second call does nothing."""
    window = main_window(widget)
    if window is not None and window.findChild(CanvasGuard, _NAME) is None:
        CanvasGuard(viewer, window)
