"""The widget that classifies nuclei, by clicking it in a real viewer."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

pytest.importorskip("qtpy.QtWidgets", reason="no Qt binding is installed")
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog, QInputDialog

from napari_nucleigan.widgets.classify.dock import ClassifyWidget

if TYPE_CHECKING:
    from collections.abc import Callable

LONG = 60_000  # milliseconds; the machine may be busy


def painted() -> tuple[np.ndarray, np.ndarray]:
    """Large dark nuclei on the left, small pale ones on the right."""
    y, x = np.mgrid[:20, :20]
    rgb, labels = np.full((160, 240, 3), (240, 190, 215), np.uint8), np.zeros((160, 240), np.int32)
    for number in range(96):
        row, column = divmod(number, 12)
        disc = (y - 10) ** 2 + (x - 10) ** 2 <= (49 if column < 6 else 20)
        part = slice(20 * row, 20 * row + 20), slice(20 * column, 20 * column + 20)
        labels[part][disc] = number + 1
        rgb[part][disc] = (90, 50, 130) if column < 6 else (150, 110, 180)
    return rgb, labels


class App:
    """A viewer with the widget, and the hands of a user."""

    def __init__(self, viewer: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.viewer, self.qtbot, self.patch = viewer, qtbot, monkeypatch
        rgb, self.labels = painted()
        viewer.add_image(rgb, name="img")
        viewer.add_labels(self.labels, name="img nuclei")
        self.widget = ClassifyWidget(viewer)
        with qtbot.waitSignal(self.widget.ready, timeout=LONG):
            viewer.window.add_dock_widget(self.widget, name="Classify nuclei")
        self.widget.form.mpp.setValue(0.25)

    def press(self, button: Any) -> None:
        assert button.isEnabled(), button.text()
        self.qtbot.mouseClick(button, Qt.MouseButton.LeftButton)

    def measure(self) -> None:
        self.qtbot.waitUntil(self.widget.bar.run_button.isEnabled, timeout=LONG)
        with self.qtbot.waitSignal(self.widget.measured, timeout=LONG):
            self.press(self.widget.bar.run_button)

    def add(self, name: str) -> None:
        self.patch.setattr(QInputDialog, "getText", lambda *_, **__: (name, True))
        self.press(self.widget.classes.add_button)

    def click(self, label: int) -> None:
        """Click a nucleus on the canvas: the viewer's callbacks hear a press and a release."""
        place = np.argwhere(self.labels == label).mean(axis=0)

        class Event:
            type, button, position = "mouse_press", 1, tuple(place)

        event = Event()
        assert self.widget._clicked in self.viewer.mouse_drag_callbacks
        steps = self.widget._clicked(self.viewer, event)
        next(steps)
        event.type = "mouse_release"
        with pytest.raises(StopIteration):
            next(steps)

    def kinds(self) -> list[str]:
        return list(self.widget.layer.features["class"])


@pytest.fixture
def app(make_napari_viewer_proxy: Callable, qtbot: Any, models: Path, monkeypatch: pytest.MonkeyPatch) -> App:
    return App(make_napari_viewer_proxy(), qtbot, monkeypatch)


def test_from_the_first_class_to_the_saved_and_applied_classifier(app: App, tmp_path: Path) -> None:
    widget = app.widget
    app.measure()
    app.add("large")
    app.add("small")
    for key, label in (("1", 1), ("2", 7), ("1", 14), ("2", 22), ("1", 27), ("2", 34)):
        widget.layer.keymap[key](widget.layer) if key in widget.layer.keymap else widget.classes.choose(int(key) - 1)
        with app.qtbot.waitSignal(widget.recoloured, timeout=LONG):
            app.click(label)
    app.qtbot.waitUntil(lambda: widget.session.classifier is not None and bool(widget.score.text()), timeout=LONG)
    expected = ["large" if place % 12 < 6 else "small" for place in range(96)]
    assert app.kinds() == expected
    assert "48 nuclei" in widget.classes.rows.item(0).text()
    assert "on other images it may do worse" in widget.score.text()
    colour = widget.layer.colormap.map(np.array([2]))[0]
    np.testing.assert_allclose(colour[:3], np.array(widget.session.classes[0].color) / 255, atol=0.01)
    path = tmp_path / "types.safetensors"
    app.patch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), ""))
    app.qtbot.waitUntil(widget.save_button.isEnabled, timeout=LONG)
    app.press(widget.save_button)
    assert path.is_file()
    while widget.session.clicks:
        app.press(widget.undo_button)
    assert set(app.kinds()) == {""}
    app.patch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(path), ""))
    app.press(widget.open_button)
    assert app.kinds() == expected


def test_classes_are_renamed_and_deleted(app: App) -> None:
    widget = app.widget
    app.add("a")
    app.add("b")
    app.patch.setattr(QInputDialog, "getText", lambda *_, **__: ("c", True))
    app.press(widget.classes.rename_button)
    assert [each.name for each in widget.session.classes] == ["a", "c"]
    app.press(widget.classes.delete_button)
    assert [each.name for each in widget.session.classes] == ["a"]


def test_points_of_a_table_are_clicks(app: App, tmp_path: Path) -> None:
    app.measure()
    table = tmp_path / "points.csv"
    table.write_text("name,x,y,type\nimg,10,10,big\nimg,150,10,tiny\nimg,30,30,big\nimg,170,30,tiny\n")
    with app.qtbot.waitSignal(app.widget.recoloured, timeout=LONG):
        app.widget.take_points(table)
    app.qtbot.waitUntil(lambda: app.widget.session.classifier is not None, timeout=LONG)
    assert len(app.widget.session.said) == 4
    assert set(app.kinds()) == {"big", "tiny"}
    app.press(app.widget.next_button)
    assert len(app.widget._seen) == 1


def test_two_thousand_nuclei_are_recoloured_in_time(app: App) -> None:
    app.measure()
    widget = app.widget
    app.add("a")
    app.add("b")
    begun = time.process_time()
    widget._recolour()
    assert time.process_time() - begun < 0.3
