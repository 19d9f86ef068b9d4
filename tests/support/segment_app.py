"""The hands of a user of the Segment widget."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt

from napari_nucleigan.data.slides import open_slide
from napari_nucleigan.widgets.base.layers import METADATA_KEY
from napari_nucleigan.widgets.segment import form
from napari_nucleigan.widgets.segment.dock import SegmentWidget

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytestqt.qtbot import QtBot
    from qtpy.QtWidgets import QComboBox

    from napari_nucleigan.data.slides import Slide

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
    def form(self) -> form.SegmentForm:
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


class SlideApp(App):
    """A viewer that shows a slide, and results that go to a folder."""

    def __init__(self, viewer: Any, qtbot: QtBot) -> None:
        super().__init__(viewer, qtbot)
        self.slides: list[Slide] = []

    def open(self, path: Path, out: Path, tile: int = 256, **place: Any) -> Any:
        slide = open_slide(path)
        self.slides.append(slide)
        layer = self.viewer.add_image(
            list(slide.levels),
            multiscale=True,
            rgb=True,
            name=slide.name,
            metadata={METADATA_KEY: {"path": str(path)}},
            **(MICRONS | place),
        )
        self.widget._preferences = dataclasses.replace(self.widget._preferences, tile=tile)
        self.widget.slide.folder.line.setText(str(out))
        return layer

    def layer(self, ending: str) -> Any:
        return next((layer for layer in self.viewer.layers if layer.name.endswith(ending)), None)

    def run_until_tiles(self, count: int) -> None:
        """Click Run, and wait until some tiles are done."""
        self.click_run()
        self.qtbot.waitUntil(
            lambda: (tiles := self.widget.slides._tiles) is not None and tiles.done >= count, timeout=LONG
        )

    def draw(self, corners: Any, kind: str = "rectangle") -> None:
        self.choose(self.form.region, form.DRAWN)
        self.qtbot.mouseClick(self.widget.shapes.button, Qt.MouseButton.LeftButton)
        self.widget.shapes.chosen.add(np.array(corners, float), shape_type=kind)
