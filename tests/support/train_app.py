"""The Train widget in a real viewer, and the hands of a user."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import notification_manager
from qtpy.QtCore import QPoint, Qt

from napari_nucleigan.widgets.train.dock import TrainWidget
from tiny_recipes import TRAINED as TINY

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytestqt.qtbot import QtBot
    from qtpy.QtWidgets import QComboBox, QWidget

    from napari_nucleigan.training.runs.status import RunState

LONG = 90_000  # milliseconds; the machine may be busy


class App:
    """A viewer with the widget, and the hands of a user."""

    def __init__(self, viewer: Any, qtbot: QtBot, folder: Path) -> None:
        self.viewer, self.qtbot, self.folder = viewer, qtbot, folder
        self.widget = self.open()

    def open(self) -> TrainWidget:
        widget = TrainWidget(self.viewer)
        self.viewer.window.add_dock_widget(widget, name="Train a model")
        with self.qtbot.waitSignal(widget.ready, timeout=LONG):
            pass
        self.widget = widget
        return widget

    @property
    def form(self) -> Any:
        return self.widget.form

    @property
    def panel(self) -> Any:
        return self.widget.panel

    @property
    def state(self) -> RunState | None:
        return self.panel.status.state if self.panel.status is not None else None

    def click(self, button: QWidget) -> None:
        assert button.isEnabled(), button.toolTip()
        self.qtbot.mouseClick(button, Qt.MouseButton.LeftButton, pos=QPoint(8, 8))

    def choose(self, box: QComboBox, value: Any) -> None:
        index = box.findData(value)
        assert index >= 0
        box.setCurrentIndex(index)

    def recipe(self, **changes: Any) -> None:
        path = self.folder / "tiny.json"
        path.write_text(json.dumps({**TINY, **changes}))
        self.form.set_recipe(path)

    def start(self) -> Path:
        with self.qtbot.waitSignal(self.widget.started, timeout=LONG) as blocker:
            self.click(self.widget.new.bar.run_button)
        return blocker.args[0]

    def wait(self, condition: Callable[[], object]) -> None:
        self.qtbot.waitUntil(lambda: bool(condition()), timeout=LONG)

    def wait_for(self, state: RunState) -> None:
        self.wait(lambda: self.state is state)

    def ask(self, what: str) -> None:
        with self.qtbot.waitSignal(self.widget.acted, timeout=LONG):
            self.click(self.panel.buttons[what])

    def errors(self) -> list[str]:
        records = notification_manager.records
        return [record.message for record in records if str(record.severity) == "error"]
