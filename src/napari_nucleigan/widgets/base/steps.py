"""Steps: from one dock to the next, which opens with what was made here filled in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QPushButton

from napari_nucleigan.widgets.base.preferences import PLUGIN

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.viewer import Viewer

SEGMENT = "Segment nuclei"
SYNTHESIZE = "Synthesize H&E"
TRAIN = "Train a model"
EVALUATE = "Evaluate"
"""Names of docks, as the manifest has them."""


def open_dock(viewer: Viewer, name: str) -> Any:
    """Open a dock of this plugin, or bring it to the front; returns its widget."""
    dock, widget = viewer.window.add_plugin_dock_widget(PLUGIN, name)
    dock.show()
    dock.raise_()  # it may be there already, as a tab behind others
    return widget


class NextStep(QPushButton):
    """A button that opens the next dock with its fields filled; it shows only where there is something to go on with.

    Parameters
    ----------
    text : str
        What is done next.
    tip : str
        The same in a sentence.
    go : callable
        Opens the dock by `open_dock`, and fills it.
    """

    def __init__(self, text: str, tip: str, go: Callable[[], object]) -> None:
        shown = text.replace("&", "&&")  # Qt underlines what follows a single one
        super().__init__(f"{shown} \N{RIGHTWARDS ARROW}")
        self.setToolTip(tip)
        self.clicked.connect(lambda: go())
        self.hide()
