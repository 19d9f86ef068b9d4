"""The hands of a user of the Segment widget."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt

from napari_nucleigan.widgets.segment.dock import SegmentWidget

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytestqt.qtbot import QtBot
    from qtpy.QtWidgets import QComboBox

    from napari_nucleigan.widgets.segment import form as forms

LONG = 60_000  # milliseconds; the machine may be busy
MICRONS = {"scale": (0.25, 0.25), "units": ("µm", "µm")}


class App:
    """A viewer with the widget, and the hands of a user."""

    def __init__(self, viewer: Any, qtbot: QtBot) -> None:
        self.viewer, self.qtbot = viewer, qtbot
        self.widget = SegmentWidget(viewer)
        viewer.window.add_dock_widget(self.widget, name="Segment nuclei")
        with qtbot.waitSignal(self.widget.ready, timeout=LONG):
            pass

    @property
    def form(self) -> forms.SegmentForm:
        return self.widget.form

    @property
    def bar(self) -> Any:
        return self.widget.bar

    @property
    def labels(self) -> list[Any]:
        return [layer for layer in self.viewer.layers if layer.as_layer_data_tuple()[2] == "labels"]

    def click_run(self) -> None:
        self.qtbot.mouseClick(self.bar.run_button, Qt.MouseButton.LeftButton)

    def run(self) -> list[Any]:
        with self.qtbot.waitSignal(self.widget.done, timeout=LONG) as blocker:
            self.click_run()
        return blocker.args[0]

    def move(self, change: Callable[[], None]) -> None:
        """Move a filter and wait for the labels."""
        before = [layer.data for layer in self.labels]
        change()
        self.qtbot.waitUntil(
            lambda: (
                any(layer.data is not old for layer, old in zip(self.labels, before, strict=False))
                or len(self.labels) > len(before)
            ),
            timeout=LONG,
        )

    def choose(self, box: QComboBox, value: Any) -> None:
        index = box.findData(value)
        assert index >= 0
        box.setCurrentIndex(index)

    def errors(self) -> list[str]:
        records = notification_manager.records
        return [record.message for record in records if str(record.severity) == "error"]
