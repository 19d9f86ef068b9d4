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
from vispy.util.keys import SHIFT

from napari_nucleigan.base.errors import ModelError, RecipeError
from napari_nucleigan.classification import Classifier, ClassifierCard, NucleusClass, save_classifier
from napari_nucleigan.widgets.classify.dock import ClassifyWidget

if TYPE_CHECKING:
    from collections.abc import Callable

LONG = 60_000  # milliseconds; the machine may be busy


def painted(rows: int = 8, columns: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Large dark nuclei on the left, small pale ones on the right."""
    y, x = np.mgrid[:20, :20]
    shape = 20 * rows, 20 * columns
    rgb, labels = np.full((*shape, 3), (240, 190, 215), np.uint8), np.zeros(shape, np.int32)
    for number in range(rows * columns):
        row, column = divmod(number, columns)
        large = 2 * column < columns
        disc = (y - 10) ** 2 + (x - 10) ** 2 <= (49 if large else 20)
        part = slice(20 * row, 20 * row + 20), slice(20 * column, 20 * column + 20)
        labels[part][disc] = number + 1
        rgb[part][disc] = (90, 50, 130) if large else (150, 110, 180)
    return rgb, labels


class App:
    """A viewer with the widget, and the hands of a user."""

    def __init__(self, viewer: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.viewer, self.qtbot, self.patch = viewer, qtbot, monkeypatch
        self.show(*painted())
        self.widget = ClassifyWidget(viewer)
        with qtbot.waitSignal(self.widget.ready, timeout=LONG):
            viewer.window.add_dock_widget(self.widget, name="Classify nuclei")
        self.widget.form.mpp.setValue(0.25)

    def show(self, rgb: np.ndarray, labels: np.ndarray) -> None:
        self.labels = labels
        self.viewer.add_image(rgb, name="img")
        self.viewer.add_labels(labels, name="img nuclei")

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

    def click(self, *labels: int, shift: bool = False, pixels: int = 0) -> None:
        """Click a nucleus on the canvas, or drag over several: the viewer's callbacks hear press, moves and release."""
        places = [tuple(np.argwhere(self.labels == label).mean(axis=0)) for label in labels]

        class Event:
            type, button, position, pos = "mouse_press", 1, places[0], (5, 5)
            modifiers = (SHIFT,) if shift else ()

        event = Event()
        assert self.widget._pen._dragged in self.viewer.mouse_drag_callbacks
        steps = self.widget._pen._dragged(self.viewer, event)
        next(steps)
        for event.position in places[1:]:
            event.type, event.pos = "mouse_move", (5 + pixels, 5)
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


def test_what_the_nuclei_were_segmented_with_need_not_be_typed_again(app: App) -> None:
    app.widget.form.mpp.setValue(0)
    assert "pixel size" in app.widget.form.problem()
    app.viewer.layers["img nuclei"].metadata = {"nucleigan": {"mpp": 0.5}}
    app.measure()
    assert app.widget.session.images[app.widget._key].mpp == 0.5


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


def test_a_drag_with_shift_paints_and_is_undone_at_once(app: App) -> None:
    app.measure()
    app.add("large")
    app.click(1, 3, 27, shift=True, pixels=90)
    said = {row + 1 for _, row in app.widget.session.said}
    assert said == {1, 2, 3, 15, 27}  # also what lies between
    assert app.kinds()[:4] == ["large", "large", "large", ""]
    app.press(app.widget.undo_button)
    assert set(app.kinds()) == {""}


def test_a_drag_without_shift_moves_the_image_but_a_trembling_hand_clicks(app: App) -> None:
    app.measure()
    app.add("large")
    app.click(1, 3, pixels=90)
    assert not app.widget.session.said
    app.click(1, 1, pixels=2)
    assert [row for _, row in app.widget.session.said] == [0]


def test_points_of_another_image_are_told_and_undone(app: App, tmp_path: Path) -> None:
    app.measure()
    table = tmp_path / "points.csv"
    table.write_text("Image;X;Y;Class\nimg.png;10,5;10;big\nimg;150;10;tiny\nimg.png;500;10;tiny\n")
    with app.qtbot.waitSignal(app.widget.recoloured, timeout=LONG):
        app.widget.take_points(table)
    assert "2 nuclei have a class. img: 1 point lies outside of it" in " ".join(app.widget.bar._messages)
    app.qtbot.waitUntil(lambda: set(app.kinds()) == {"big", "tiny"}, timeout=LONG)
    app.press(app.widget.undo_button)
    assert (set(app.kinds()), app.widget.session.classes) == ({""}, [])
    table.write_text("name,x,y,type\nother,10,10,big\n")
    app.widget.take_points(table)
    assert "The points of 'other' were taken." in " ".join(app.widget.bar._messages)
    table.write_text("name,x,y,type\nother,10,10,big\nmore,10,10,big\n")
    with pytest.raises(RecipeError, match="no points of 'img': its images are other, more"):
        app.widget.take_points(table)


def test_a_classifier_of_another_model_colours_nothing_and_that_is_said(app: App, tmp_path: Path) -> None:
    wide = 4
    card = ClassifierCard(
        classes=(NucleusClass(name="a", color=(1, 2, 3)), NucleusClass(name="b", color=(4, 5, 6))),
        columns=(),
        embedding=wide,
        segmenter="elsewhere",
        segmenter_sha256="0" * 64,
        mpp=0.25,
    )
    path = tmp_path / "types.safetensors"
    save_classifier(path, Classifier(card, np.zeros(wide), np.ones(wide), np.ones((2, wide)), np.zeros(2)))
    app.widget.open_classifier(path)  # before there are nuclei
    with app.qtbot.waitSignal(app.widget.failed, timeout=LONG) as failure:
        app.measure()
    assert "looks at nuclei through the model 'elsewhere'" in str(failure.args[0])
    assert set(app.kinds()) == {""}
    assert not app.widget.next_button.isEnabled()
    with pytest.raises(ModelError, match="the chosen model has no embeddings"):
        app.widget.open_classifier(path)


def test_two_thousand_nuclei_are_recoloured_in_time(app: App) -> None:
    app.viewer.layers.clear()
    app.show(*painted(40, 50))
    app.measure()
    widget = app.widget
    assert len(app.kinds()) == 2000
    app.add("a")
    app.add("b")
    app.click(1)
    widget.classes.choose(0)
    with app.qtbot.waitSignal(widget.recoloured, timeout=LONG):
        app.click(40)
    app.qtbot.waitUntil(lambda: set(app.kinds()) == {"a", "b"}, timeout=LONG)
    begun = time.process_time()
    widget._fitted(widget.session.fit(scored=False))
    assert time.process_time() - begun < 0.3
