"""The widget that measures nuclei, by clicking it in a real viewer."""

from __future__ import annotations

import csv
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

pytest.importorskip("qtpy.QtWidgets", reason="no Qt binding is installed")
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QImage
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QFileDialog
from vispy.util.keys import Key

from napari_nucleigan.labels.features import measure
from napari_nucleigan.widgets.base.layers import view_kind
from napari_nucleigan.widgets.measure.dock import MeasureWidget
from napari_nucleigan.widgets.measure.form import DRAWN, VIEW

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LONG = 60_000  # milliseconds; the machine may be busy
MICRONS = {"scale": (0.5, 0.5), "units": ("µm", "µm")}
SIDES = 3, 5, 7, 9  # of the squares in a row


def squares() -> np.ndarray:
    """Three rows of squares, which get larger to the right, with labels from 11."""
    labels = np.zeros((60, 80), np.int32)
    for number in range(12):
        row, column = divmod(number, 4)
        side = SIDES[column]
        labels[20 * row + 2 : 20 * row + 2 + side, 20 * column + 2 : 20 * column + 2 + side] = 11 + number
    return labels


class App:
    """A viewer with the widget, and the hands of a user."""

    def __init__(self, viewer: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.viewer, self.qtbot, self.patch = viewer, qtbot, monkeypatch
        self.widget: Any = None

    def open(self) -> Any:
        self.widget = MeasureWidget(self.viewer)
        self.viewer.window.add_dock_widget(self.widget, name="Measure nuclei")
        return self.widget

    def told(self, act: Callable[[], object]) -> Any:
        """Do something, and return what is told of the nuclei afterwards."""
        with self.qtbot.waitSignal(self.widget.told, timeout=LONG) as blocker:
            act()
        return blocker.args[0]

    def choose(self, box: Any, data: str) -> Any:
        return self.told(lambda: box.setCurrentIndex(box.findData(data)))

    def press(self, button: Any) -> None:
        assert button.isEnabled(), button.text()
        self.qtbot.mouseClick(button, Qt.MouseButton.LeftButton)

    def drag(self, first: tuple[float, float], last: tuple[float, float], modifier: Any = None) -> None:
        """Drag with the left button from one value in the plot to another."""
        self.qtbot.wait(100)  # what was told may have moved the plot
        plot, viewport = self.widget.plot, self.widget.plot.viewport()
        begin, end = (plot.mapFromScene(plot.box.mapViewToScene(QPointF(*place))) for place in (first, last))
        middle = QPoint((begin.x() + end.x()) // 2, (begin.y() + end.y()) // 2)
        modifier = modifier or Qt.KeyboardModifier.NoModifier
        QTest.mousePress(viewport, Qt.MouseButton.LeftButton, modifier, begin)
        for place in (middle, end):
            event = _move(viewport, place, modifier)
            self.qtbot.wait(30)  # it looks at the mouse a hundred times a second
            plot.mouseMoveEvent(event)
        QTest.mouseRelease(viewport, Qt.MouseButton.LeftButton, modifier, end)

    def click(self, label: int, *modifiers: str) -> None:
        """Click a nucleus on the canvas: the viewer's callbacks hear a press and a release."""
        layer = self.widget.form.layer
        place = layer.data_to_world(np.argwhere(layer.data == label).mean(axis=0).round())
        keys = tuple(Key(name) for name in modifiers)  # as the canvas reports them
        event = SimpleNamespace(type="mouse_press", button=1, position=tuple(place), modifiers=keys)
        assert self.widget._clicked in self.viewer.mouse_drag_callbacks
        steps = self.widget._clicked(self.viewer, event)
        next(steps)
        event.type = "mouse_release"
        with pytest.raises(StopIteration):
            next(steps)

    def selected(self) -> list[int]:
        return self.widget.session.selected.tolist()

    def marks(self) -> Any:
        found = [layer for layer in self.viewer.layers if view_kind(layer) == "selection"]
        return found[0] if found else None

    def save(self, which: str, path: Path) -> None:
        self.patch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), ""))
        action = next(each for each in self.widget.export_button.menu().actions() if each.text() == which)
        with self.qtbot.waitSignal(self.widget.saved, timeout=LONG):
            action.trigger()


def _move(viewport: Any, place: QPoint, modifier: Any) -> Any:
    from qtpy.QtCore import QEvent
    from qtpy.QtGui import QMouseEvent

    where = QPointF(place)
    world = QPointF(viewport.mapToGlobal(place))
    left = Qt.MouseButton.LeftButton
    return QMouseEvent(QEvent.Type.MouseMove, where, world, Qt.MouseButton.NoButton, left, modifier)


@pytest.fixture
def app(make_napari_viewer_proxy: Callable, qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> App:
    return App(make_napari_viewer_proxy(show=True), qtbot, monkeypatch)


def with_labels(app: App, labels: np.ndarray | None = None, **options: Any) -> tuple[Any, Any]:
    """Add labels and open the dock; returns the layer and what is told at first."""
    layer = app.viewer.add_labels(squares() if labels is None else labels, name="nuclei", **{**MICRONS, **options})
    app.open()
    found = app.told(lambda: None) if app.widget.session.found is None else app.widget.session.found
    return layer, found


def test_from_opening_to_a_brush_the_image_and_the_files(app: App, tmp_path: Path) -> None:
    layer, found = with_labels(app, features={"index": range(11, 23), "class": ["a", "b", "b", ""] * 3})
    widget = app.widget
    assert found.question.x == "area_um2"
    assert found.mm2 == pytest.approx(60 * 80 * 0.25e-6)
    assert [(one.name, one.count) for one in found.classes] == [("a", 3), ("b", 6), ("", 3)]
    assert [widget.table.item(row, 0).text() for row in range(4)] == ["a", "b", "No class", "All"]
    assert widget.table.text(3, "per mm²") == "10\u202f000"
    assert widget.table.text(0, "Mean") == "2.25"
    # an interval of the histogram
    app.qtbot.waitUntil(widget.plot.isVisible, timeout=LONG)
    app.drag((5.0, 1.0), (14.0, 2.0))
    assert app.selected() == [12, 13, 16, 17, 20, 21]
    app.qtbot.waitUntil(lambda: app.marks() is not None, timeout=LONG)
    marks = app.marks()
    app.qtbot.waitUntil(lambda: len(marks.data) == 6, timeout=LONG)
    np.testing.assert_allclose(marks.data[0], (4, 24))
    np.testing.assert_allclose(layer.data_to_world(marks.data[0]), marks.data_to_world(marks.data[0]))
    assert "6 selected" in widget.bar.figures.text()
    assert np.array_equal(layer.data, squares())
    # a rectangle of the scatter plot, then another beside it
    found = app.choose(widget.form.y_axis, "solidity")
    assert sorted(found.drawn) == list(range(12))
    found = app.choose(widget.form.y_axis, "centroid_y_um")
    app.drag((1.7, 1.1), (15.0, 4.0))
    assert app.selected() == [11, 12, 13]
    app.drag((18.0, 1.1), (20.9, 4.0), Qt.KeyboardModifier.ShiftModifier)
    assert app.selected() == [11, 12, 13, 14]
    # files
    app.save("Nuclei (CSV)…", tmp_path / "a.csv")
    with (tmp_path / "a.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    assert [row["label"] for row in rows if row["selected"] == "1"] == ["11", "12", "13", "14"]
    assert [row["class"] for row in rows[:4]] == ["a", "b", "b", ""]
    app.save("Figures (CSV)…", tmp_path / "f.csv")
    with (tmp_path / "f.csv").open() as handle:
        figures = list(csv.DictReader(handle))
    assert [(row["Class"], row["Nuclei"]) for row in figures] == [
        ("a", "3"),
        ("b", "6"),
        ("no class", "3"),
        ("all", "12"),
    ]
    app.save("Plot (PNG)…", tmp_path / "p.png")
    assert QImage(str(tmp_path / "p.png")).width() == 1600
    app.save("Plot (SVG)…", tmp_path / "p.svg")
    drawing = (tmp_path / "p.svg").read_text()
    assert "Area (µm²)" in drawing
    assert "<image" not in drawing
    parquet = pytest.importorskip("pyarrow.parquet")
    app.save("Nuclei (Parquet)…", tmp_path / "a.parquet")
    read = parquet.read_table(tmp_path / "a.parquet")
    assert read["label"].to_pylist() == list(range(11, 23))
    assert b"mpp" in read.schema.metadata[b"nucleigan"]
    app.press(widget.clear_button)
    assert app.selected() == []
    app.qtbot.waitUntil(lambda: app.marks() is None, timeout=LONG)


def test_clicks_on_the_image_select_and_show_in_the_plot(app: App) -> None:
    layer, _ = with_labels(app)
    app.viewer.layers.selection.active = layer
    app.click(15)
    assert app.selected() == [15]
    assert app.widget.plot._selected_bars.isVisible()
    assert app.widget.plot._selected_bars.opts["height"].sum() == 1
    app.click(18, "Shift")
    app.click(15, "Shift")
    assert app.selected() == [18]
    app.click(0, "Shift")
    assert app.selected() == [18]
    app.click(0)
    assert app.selected() == []
    layer.mode = "paint"  # a stroke is no choice
    app.click(15)
    assert app.selected() == []


def test_a_drawn_region_selects_and_restricts(app: App) -> None:
    with_labels(app)
    widget = app.widget
    assert not widget.select_button.isEnabled()
    widget.form.region.setCurrentIndex(widget.form.region.findData(DRAWN))
    assert "draw a rectangle" in widget.remark.text()
    assert not widget.export_button.isEnabled()
    app.press(widget.form.shapes.button)
    shapes = widget.form.shapes.chosen
    assert shapes.mode == "add_rectangle"
    found = app.told(lambda: shapes.add_rectangles(np.array([[-0.5, -0.5], [29.5, 39.5]])))
    assert found.total.count == 4
    assert found.mm2 == pytest.approx(30 * 40 * 0.25e-6)
    widget.form.region.setCurrentIndex(0)
    app.press(widget.select_button)
    assert app.selected() == [11, 12, 15, 16]
    shapes.selected_data = {0}
    app.told(lambda: widget.form.region.setCurrentIndex(2))
    app.told(lambda: shapes.add_rectangles(np.array([[40, 40], [59, 79]])))
    assert widget.session.found.total.count == 6


def test_the_view_is_followed(app: App) -> None:
    with_labels(app)
    app.viewer.reset_view()
    found = app.choose(app.widget.form.region, VIEW)
    assert found.total.count == 12

    def look_closer() -> None:
        camera = app.viewer.scene.camera
        camera.center = (2, 2)
        camera.zoom = min(app.viewer.canvas.size) / 6  # six microns of the shorter side

    found = app.told(look_closer)
    assert 1 <= found.total.count < 12
    assert 0 in found.rows
    assert 0 < found.mm2 < 60 * 80 * 0.25e-6
    found = app.told(lambda: setattr(app.viewer.scene.camera, "center", (500, 500)))
    assert found.total.count == 0
    assert "no nucleus in the region" in app.widget.remark.text()


def test_what_is_known_is_taken_and_an_edit_is_measured_again(app: App) -> None:
    labels = squares()
    table = measure(labels, mpp=0.5)
    known = {"index": table.pop("label"), **table, "confidence": np.linspace(0, 1, 12)}
    known["solidity"] = np.full(12, 0.125)  # which nobody would measure
    layer, _ = with_labels(app, labels, features=known)
    assert set(app.widget.session.nuclei.table["solidity"]) == {0.125}
    found = app.choose(app.widget.form.x_axis, "confidence")
    assert found.total.mean == pytest.approx(0.5)
    app.widget.session.click(22)
    found = app.told(lambda: layer.fill((2, 2), 0))  # the first nucleus goes
    assert found.total.count == 11
    assert app.widget.session.nuclei.table["solidity"].min() == 1
    assert found.question.x == "confidence"
    assert found.unknown == 0
    assert app.selected() == [22]


def test_classes_of_another_layer_are_taken_with_their_colours_and_followed(app: App) -> None:
    from napari.utils.colormaps import DirectLabelColormap

    with_labels(app)
    widget = app.widget
    assert widget.form.classes.count() == 1
    colours = {None: (0, 0, 0, 0), 11: (1, 0, 0, 1), 12: (0, 0, 1, 1)}
    other = app.told(
        lambda: app.viewer.add_labels(
            squares(),
            name="classes",
            features={"index": [11, 12], "class": ["large", "small"]},
            colormap=DirectLabelColormap(color_dict=colours),
            metadata={"nucleigan": {"view": "classes"}},
            **MICRONS,
        )
    )
    assert [(one.name, one.count) for one in other.classes] == [("large", 1), ("small", 1), ("", 10)]
    assert widget.session.classes.colours[:2] == ((255, 0, 0), (0, 0, 255))
    layer = app.viewer.layers["classes"]
    found = app.told(lambda: setattr(layer, "features", {"index": [11, 12], "class": ["large", "large"]}))
    assert [(one.name, one.count) for one in found.classes] == [("large", 2), ("", 10)]
    # a class that is not ticked is counted, but not plotted
    found = app.told(lambda: widget.table.item(1, 0).setCheckState(Qt.CheckState.Unchecked))
    assert (len(found.rows), found.total.count) == (2, 12)
    found = app.choose(widget.form.classes, "")
    assert len(found.rows) == 12


def test_artefacts_are_no_classes_unless_they_are_chosen(app: App) -> None:
    table = {"index": range(11, 23), "artefact": ["", "pen", ""] * 4}
    layer, _ = with_labels(app, features=table)
    box = app.widget.form.classes
    assert [box.itemText(place) for place in range(box.count())] == ["None", "Column “artefact”"]
    assert box.currentData() == ""
    kinds = {"index": list(table["index"]), "class": ["a", "b", "b"] * 4}
    app.told(lambda: app.viewer.add_labels(layer.data, name="classes", features=kinds, **MICRONS))
    assert box.currentText() == "classes"
    found = app.choose(box, "artefact")
    assert [(one.name, one.count) for one in found.classes] == [("pen", 4), ("", 8)]


def test_pixels_without_a_size(app: App) -> None:
    _, found = with_labels(app, units=("pixel", "pixel"))
    widget = app.widget
    assert found.question.x == "area_px"
    assert widget.table.text(0, "per mm²") == "-"
    assert "pixel size is not known" in widget.remark.text()
    widget.form.full.setChecked(True)
    app.qtbot.waitUntil(lambda: "type the pixel size" in widget.bar.notes.text(), timeout=LONG)
    app.qtbot.waitUntil(lambda: not widget.running and not widget._telling.running, timeout=LONG)
    widget.form.mpp.setValue(0.5)
    found = app.told(lambda: None)
    assert "nearest_um" in widget.session.nuclei.table
    assert found.mm2 == pytest.approx(60 * 80 * 0.25e-6)


def test_a_layer_that_is_moved_or_scaled_takes_marks_and_densities_along(app: App) -> None:
    layer, _ = with_labels(app)
    app.widget.session.click(12)
    app.widget._select()
    app.qtbot.waitUntil(lambda: app.marks() is not None, timeout=LONG)
    layer.translate = (50, 0)
    app.qtbot.waitUntil(lambda: tuple(app.marks().translate) == (50, 0), timeout=LONG)
    layer.scale = (1, 1)
    session = app.widget.session
    app.qtbot.waitUntil(lambda: session.found is not None and session.found.mm2 > 60 * 80 * 0.9e-6, timeout=LONG)
    found = session.found
    assert found.mm2 == pytest.approx(60 * 80 * 1e-6)
    assert found.total.mean == pytest.approx((9 + 25 + 49 + 81) / 4)
    np.testing.assert_allclose(app.marks().scale, (1, 1))
    assert app.selected() == [12]


def test_the_stains_of_the_image_below_are_measured(app: App) -> None:
    app.viewer.add_image(np.full((60, 80, 3), (200, 150, 190), np.uint8), name="tile", **MICRONS)
    with_labels(app)
    assert "haematoxylin_mean_od" in app.widget.session.nuclei.measurements


@pytest.mark.parametrize("kept", [0, 1])
def test_no_nucleus_and_one(app: App, kept: int) -> None:
    labels = np.where(squares() == 13, 13, 0) if kept else np.zeros((60, 80), np.int32)
    app.viewer.add_labels(labels, name="nuclei", **MICRONS)
    widget = app.open()
    app.qtbot.waitUntil(lambda: widget.session.found is not None, timeout=LONG)
    assert widget.session.found.total.count == kept
    assert widget.table.text(0, "Nuclei") == str(kept)
    assert ("has no nuclei" in widget.remark.text()) == (kept == 0)
    found = app.choose(widget.form.y_axis, "solidity")
    assert len(found.drawn) == kept
    assert widget.table.text(0, "SD") == "-"


def test_values_that_are_not_known(app: App) -> None:
    with_labels(app, features={"index": range(11, 23), "mood": [1.0, np.nan, np.inf] * 4, "none": np.nan})
    found = app.choose(app.widget.form.x_axis, "mood")
    assert (found.unknown, found.total.mean) == (8, 1.0)
    assert "8 nuclei have no value" in app.widget.remark.text()
    found = app.choose(app.widget.form.x_axis, "none")
    assert found.histogram is None
    assert app.widget.remark.text().startswith("None of these nuclei has a value of None.")


def test_a_layer_that_is_removed_and_one_that_cannot_be_measured(app: App) -> None:
    layer, _ = with_labels(app)
    widget = app.widget
    widget.session.click(12)
    widget._select()
    app.qtbot.waitUntil(lambda: app.marks() is not None, timeout=LONG)
    app.viewer.layers.remove(layer)
    assert app.marks() is None
    assert widget.bar.problem.text() == "Segment an image first, or open labels of its nuclei."
    assert widget.table.rowCount() == 0
    assert not widget.export_button.isEnabled()
    app.viewer.add_labels(np.zeros((3, 20, 20), np.int32), name="stack")
    assert "“stack” has 3 dimensions" in widget.bar.problem.text()
    app.viewer.layers.clear()
    app.viewer.add_labels([squares(), squares()[::2, ::2]], name="slide", multiscale=True)
    assert "without a table of measurements" in widget.bar.problem.text()


def test_to_remove_the_marks_is_to_select_nothing(app: App) -> None:
    with_labels(app)
    app.widget.session.click(12)
    app.widget._select()
    app.qtbot.waitUntil(lambda: app.marks() is not None, timeout=LONG)
    app.viewer.layers.remove(app.marks())
    assert app.selected() == []


def test_slides_are_told_of_by_their_table(app: App, tmp_path: Path) -> None:
    from napari_nucleigan.labels.features import write_csv

    labels = squares()
    table = measure(labels, mpp=0.5) | {"class": np.array(["a", ""] * 6)}
    write_csv(tmp_path / "slide.csv", table)
    app.viewer.add_labels(
        [labels, labels[::2, ::2]],
        name="slide",
        multiscale=True,
        metadata={"nucleigan": {"features": str(tmp_path / "slide.csv"), "mpp": 0.5}},
        **MICRONS,
    )
    widget = app.open()
    found = app.told(lambda: None) if widget.session.found is None else widget.session.found
    assert [(one.name, one.count) for one in found.classes] == [("a", 6), ("", 6)]
    expected = measure(labels)
    np.testing.assert_allclose(widget.session.nuclei.centres[:, 0], expected["centroid_y_px"])
    np.testing.assert_allclose(widget.session.nuclei.centres[:, 1], expected["centroid_x_px"])
    position = app.viewer.layers[0].data_to_world((4, 24))
    widget.click(position)
    assert app.selected() == [12]


def test_densities_of_a_segmented_region_are_of_that_region(app: App) -> None:
    app.viewer.add_labels(squares(), name="nuclei", metadata={"nucleigan": {"region": (0, 30, 0, 80)}}, **MICRONS)
    widget = app.open()
    found = app.told(lambda: None) if widget.session.found is None else widget.session.found
    assert found.mm2 == pytest.approx(30 * 80 * 0.25e-6)
