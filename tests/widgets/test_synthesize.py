"""The Synthesize widget, by clicking it in a real viewer."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
import pytest

pytest.importorskip("qtpy.QtWidgets")
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt, QThreadPool
from qtpy.QtWidgets import QAbstractSlider, QAbstractSpinBox, QCheckBox, QComboBox, QLineEdit, QPushButton, QWidget

from napari_nucleigan.data.datasets import Dataset
from napari_nucleigan.events import run
from napari_nucleigan.synthesis import SynthesisSettings, synthesize
from napari_nucleigan.widgets import forms
from napari_nucleigan.widgets.layers import METADATA_KEY
from napari_nucleigan.widgets.synthesize import SynthesizeWidget

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytestqt.qtbot import QtBot

LONG = 60_000  # milliseconds; the machine may be busy
MICRONS = {"scale": (0.25, 0.25), "units": ("µm", "µm")}


class App:
    """A viewer with the widget, and the hands of a user."""

    def __init__(self, viewer: Any, qtbot: QtBot) -> None:
        self.viewer, self.qtbot = viewer, qtbot
        self.widget = SynthesizeWidget(viewer)
        viewer.window.add_dock_widget(self.widget, name="Synthesize H&E")
        with qtbot.waitSignal(self.widget.ready, timeout=LONG):
            pass

    @property
    def form(self) -> Any:
        return self.widget.form

    @property
    def bar(self) -> Any:
        return self.widget.bar

    @property
    def images(self) -> list[Any]:
        return [layer for layer in self.viewer.layers if layer.as_layer_data_tuple()[2] == "image"]

    def click(self, button: QPushButton) -> None:
        self.qtbot.mouseClick(button, Qt.MouseButton.LeftButton)

    def run(self) -> Any:
        with self.qtbot.waitSignal(self.widget.done, timeout=LONG) as blocker:
            self.click(self.bar.run_button)
        return blocker.args[0]

    def choose(self, box: QComboBox, value: Any) -> None:
        index = box.findData(value)
        assert index >= 0
        box.setCurrentIndex(index)

    def errors(self) -> list[str]:
        records = notification_manager.records
        return [record.message for record in records if str(record.severity) == "error"]


@pytest.fixture
def app(make_napari_viewer_proxy: Callable, qtbot: QtBot, painters: Path) -> App:
    notification_manager.records.clear()
    return App(make_napari_viewer_proxy(), qtbot)


@pytest.fixture
def mask(tiny_he: Callable) -> Any:
    return tiny_he(150, 200, 40, 7)[1]


def test_mask_to_picture(app: App, mask: Any) -> None:
    layer = app.viewer.add_labels(
        mask, name="mask", translate=(5, -3), rotate=20, shear=[0.1], axis_labels=("down", "across"), **MICRONS
    )
    assert app.bar.run_button.isEnabled()
    assert app.form.mpp.value() == 0.25
    picture = app.run()
    (image,) = app.images
    assert image is picture.image or image == picture.image
    assert image.name == "mask H&E"
    assert image.rgb
    assert image.data.shape == (150, 200, 3)
    np.testing.assert_allclose(image.data_to_world((17, 60)), layer.data_to_world((17, 60)))
    assert image.units == layer.units
    assert image.axis_labels == ("down", "across")
    # just what the core paints
    expected = run(synthesize(mask, SynthesisSettings(mpp=0.25))).pixels
    np.testing.assert_array_equal(image.data, expected)
    known = image.metadata[METADATA_KEY]
    assert known["model"] == "nucleigan-paint"
    assert known["mask"] == "mask"
    assert len(known["sha256"]) == 64
    # below the mask, which stays in hand and is seen as outlines
    assert [each.name for each in app.viewer.layers] == ["mask H&E", "mask"]
    assert app.viewer.layers.selection.active == layer
    assert layer.contour == 2
    app.form.outlines.setChecked(False)
    assert layer.contour == 0
    assert app.bar.figures.text().startswith("200 x 150 pixels · ")
    assert not app.bar.cancel_button.isEnabled()
    assert not app.errors()
