"""The Masks widget, by clicking it in a real viewer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

pytest.importorskip("qtpy.QtWidgets")
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QPoint, Qt, QThreadPool
from qtpy.QtWidgets import QAbstractSpinBox, QCheckBox, QComboBox, QMenu, QPushButton

from napari_nucleigan.masks.polygons import PolygonMasks, preset, sample
from napari_nucleigan.widgets.base.layers import METADATA_KEY
from napari_nucleigan.widgets.masks import forms
from napari_nucleigan.widgets.masks.dock import MasksWidget
from napari_nucleigan.widgets.masks.panel import EDIT, FILL
from napari_nucleigan.widgets.masks.sync import ID

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytestqt.qtbot import QtBot

LONG = 60_000  # milliseconds; the machine may be busy
MICRONS = {"scale": (0.25, 0.25), "units": ("µm", "µm")}
SQUARE = np.array([[10, 10], [10, 30], [30, 30], [30, 10]], float)


class App:
    """A viewer with the widget, and the hands of a user."""

    def __init__(self, viewer: Any, qtbot: QtBot) -> None:
        self.viewer, self.qtbot = viewer, qtbot
        self.widget = MasksWidget(viewer)
        viewer.window.add_dock_widget(self.widget, name="Draw masks")
        self.canvas, self.fill, self.edit = self.widget.canvas_form, self.widget.fill_form, self.widget.edit_form

    @property
    def labels(self) -> Any:
        return self.widget.mask

    @property
    def data(self) -> np.ndarray:
        return np.asarray(self.widget.mask.data)  # type: ignore[union-attr]

    @property
    def shapes(self) -> Any:
        assert self.widget.sync is not None
        return self.widget.sync.shapes

    @property
    def ids(self) -> list[int]:
        return [int(value) for value in np.unique(self.data) if value]

    def click(self, button: QPushButton) -> None:
        assert button.isEnabled(), button.toolTip()
        self.qtbot.mouseClick(button, Qt.MouseButton.LeftButton)

    def finish(self, button: QPushButton) -> Any:
        with self.qtbot.waitSignal(self.widget.done, timeout=LONG) as blocker:
            self.click(button)
        return blocker.args[0]

    def create(self, height: int = 120, width: int = 160) -> Any:
        self.canvas.height.setValue(height)
        self.canvas.width_.setValue(width)
        self.click(self.canvas.create_button)
        return self.labels

    def sparse(self) -> None:
        self.fill.sampler.fields["density"].setValue(4000)
        self.fill.sampler.fields["touching"].setValue(0)

    def settle(self) -> None:
        self.qtbot.wait(120)

    def choose(self, box: QComboBox, value: Any) -> None:
        index = box.findData(value)
        assert index >= 0
        box.setCurrentIndex(index)

    def draw(self, corners: np.ndarray, kind: str = "polygon") -> None:
        self.shapes.add([corners], shape_type=kind)
        self.settle()

    def alike(self) -> None:
        """Both layers show the same nuclei, and come to rest."""
        self.settle()
        assert sorted(self.shapes.features[ID]) == self.ids
        from napari_nucleigan.labels.polygons import as_polygon, polygons_to_labels

        polygons = [as_polygon(*each) for each in zip(self.shapes.data, self.shapes.shape_type, strict=True)]
        drawn = polygons_to_labels(polygons, self.data.shape, self.shapes.features[ID])
        np.testing.assert_array_equal(drawn, self.data)
        events: list[object] = []
        self.shapes.events.data.connect(events.append)
        self.labels.events.paint.connect(events.append)
        self.settle()
        assert events == []

    def errors(self) -> list[str]:
        records = notification_manager.records
        return [record.message for record in records if str(record.severity) == "error"]


@pytest.fixture
def app(make_napari_viewer_proxy: Callable, qtbot: QtBot) -> App:
    notification_manager.records.clear()
    return App(make_napari_viewer_proxy(), qtbot)


@pytest.fixture
def filled(app: App) -> App:
    app.canvas.mpp.setValue(0.5)
    app.create()
    app.sparse()
    app.finish(app.fill.fill_button)
    return app


def test_a_new_canvas(app: App) -> None:
    assert "Create a mask first" in app.fill.problem_label.text()
    assert not app.fill.fill_button.isEnabled()
    app.canvas.mpp.setValue(0.5)
    layer = app.create(90, 70)
    assert layer.data.shape == (90, 70)
    assert layer.data.dtype == np.int32
    assert tuple(layer.scale) == (0.5, 0.5)
    assert [str(unit) for unit in layer.units] == ["micrometer", "micrometer"]
    assert app.widget.mpp.value() == 0.5
    assert app.widget.tabs.currentIndex() == FILL
    app.canvas.mpp.setValue(0)
    assert "pixel size" in app.canvas.problem_label.text()
    assert not app.canvas.create_button.isEnabled()
    actions = {action.text(): action for action in app.canvas.magnification.menu().actions()}
    actions["20x objective (0.5 µm)"].trigger()
    assert app.canvas.create_button.isEnabled()


def test_a_canvas_over_an_image(app: App) -> None:
    image = app.viewer.add_image(
        np.zeros((50, 60, 3), np.uint8), name="tile", translate=(5, -3), rotate=20, axis_labels=("y", "x"), **MICRONS
    )
    app.canvas.over.setCurrentText("“tile”")
    assert (app.canvas.height.value(), app.canvas.width_.value()) == (50, 60)
    assert not app.canvas.height.isEnabled()
    app.click(app.canvas.create_button)
    assert app.labels.name == "tile mask"
    assert app.data.shape == (50, 60)
    assert app.labels.units == image.units
    assert app.labels.axis_labels == ("y", "x")
    np.testing.assert_allclose(app.labels.data_to_world((17, 40)), image.data_to_world((17, 40)))
    app.click(app.edit.show_polygons)
    np.testing.assert_allclose(app.shapes.data_to_world((17, 40)), image.data_to_world((17, 40)))
    assert app.shapes.units == image.units
    assert app.shapes.axis_labels == ("y", "x")
    app.labels.translate = (9, 9)
    np.testing.assert_allclose(app.shapes.translate, (9, 9))


def test_an_image_without_scale_asks_for_it(app: App) -> None:
    app.viewer.add_image(np.zeros((50, 60), np.uint8), name="tile")
    app.canvas.over.setCurrentText("“tile”")
    app.canvas.mpp.setValue(0.5)
    app.click(app.canvas.create_button)
    assert app.widget.mpp.value() == 0.5
    assert app.fill.fill_button.isEnabled()
    app.viewer.add_labels(np.zeros((30, 30), int), name="bare")
    app.widget.select_mask(app.viewer.layers["bare"])
    assert "pixel size" in app.fill.problem_label.text()
    app.widget.mpp.setValue(0.25)
    assert app.fill.fill_button.isEnabled()


def test_fill_is_what_the_sampler_draws(app: App) -> None:
    app.create()
    app.choose(app.fill.organ, "liver")
    done = app.finish(app.fill.fill_button)
    np.testing.assert_array_equal(app.data, sample(preset("liver"), (120, 160), 0.25, seed=0))
    assert app.fill.seed.value() == 1
    assert f"{len(done.edit.ids)} nuclei added" in app.widget.notes.text()
    (record,) = app.labels.metadata[METADATA_KEY]["fills"]
    assert (record["like"], record["seed"], record["region"]) == ("Liver", 0, None)
    app.settle()
    legend = app.widget.histogram.legend.text()
    assert f"{len(app.ids)} nuclei" in legend
    assert "Liver" in legend


@pytest.mark.parametrize("name", [name for name in PolygonMasks.model_fields if name not in ("tissues", "layout")])
def test_each_field_reaches_the_sampler(qtbot: QtBot, name: str) -> None:
    form = forms.FillForm()
    qtbot.addWidget(form)
    form.sampler.more.expand(animate=False)
    form.show()
    field = form.sampler.fields[name]
    before = form.statistics()
    assert before == preset("all")
    assert field.toolTip() == PolygonMasks.model_fields[name].description
    if isinstance(field, QCheckBox):
        qtbot.mouseClick(field, Qt.MouseButton.LeftButton, pos=QPoint(5, field.height() // 2))
        value: Any = not getattr(before, name)
    else:
        value = round((field.minimum() + 3 * field.value()) / 4, 0 if name == "density" else 2) or 0.5
        value = 7 if name == "vertices" else round(value, field.decimals())
        editor = field.lineEdit()
        editor.selectAll()
        qtbot.keyClicks(editor, f"{value:g}")
        qtbot.keyClick(editor, Qt.Key.Key_Return)
    after = form.statistics()
    assert getattr(after, name) == pytest.approx(value)
    changed = {each for each in PolygonMasks.model_fields if getattr(after, each) != getattr(before, each)}
    assert changed == {name}


def test_fields_that_do_not_go_together_say_so(app: App) -> None:
    app.create()
    app.fill.sampler.fields["density"].setValue(60000)
    app.fill.sampler.fields["area"].setValue(500)
    assert "lower the density or the area" in app.fill.problem_label.text()
    assert not app.fill.fill_button.isEnabled()


def test_filling_again_keeps_replaces_and_is_undone(filled: App) -> None:
    first = filled.data.copy()
    filled.finish(filled.fill.fill_button)
    second = filled.data.copy()
    np.testing.assert_array_equal(second[first > 0], first[first > 0])
    assert (second != first).any()
    filled.choose(filled.fill.existing, forms.REPLACE)
    filled.finish(filled.fill.fill_button)
    assert not set(filled.ids) & set(np.unique(second)[1:])
    filled.click(filled.widget.undo_button)
    np.testing.assert_array_equal(filled.data, second)
    filled.click(filled.widget.undo_button)
    np.testing.assert_array_equal(filled.data, first)
    filled.click(filled.widget.redo_button)
    np.testing.assert_array_equal(filled.data, second)
    filled.labels.undo()  # napari's own Ctrl-Z is the same history
    filled.labels.undo()
    assert not filled.data.any()
    filled.settle()
    filled.click(filled.widget.undo_button)
    assert "nothing to undo" in filled.widget.notes.text()


def test_fill_the_view(make_napari_viewer_proxy: Callable, qtbot: QtBot) -> None:
    app = App(make_napari_viewer_proxy(show=True), qtbot)
    layer = app.create(400, 500)
    app.choose(app.fill.region, forms.VIEW)
    camera = app.viewer.scene.camera if hasattr(app.viewer, "scene") else app.viewer.camera
    camera.zoom *= 4
    qtbot.waitUntil(lambda: tuple(layer.corner_pixels[1]) != (399, 499), timeout=LONG)
    qtbot.wait(100)
    done = app.finish(app.fill.fill_button)
    top, bottom, left, right = done.order.region
    assert 0 < top < bottom < 400
    centres = [np.argwhere(app.data == number).mean(axis=0) for number in app.ids]
    assert centres
    assert all(top <= row < bottom and left <= column < right for row, column in centres)
    app.choose(app.edit.scope, forms.VIEW)
    assert app.widget.chosen() == app.ids


def test_polygons_and_labels_are_one_mask(filled: App) -> None:
    filled.click(filled.edit.polygon_button)
    assert filled.viewer.layers.selection.active == filled.shapes
    assert filled.shapes.mode == "add_polygon"
    filled.alike()
    before = filled.ids
    filled.draw(SQUARE)
    assert filled.ids == [*before, max(before) + 1]
    assert (filled.data[11:30, 11:30] == max(before) + 1).all()  # the later one is on top
    filled.click(filled.edit.paint_button)
    assert filled.viewer.layers.selection.active == filled.labels
    assert filled.labels.mode == "paint"
    assert filled.labels.selected_label == max(before) + 2
    filled.labels.paint((80, 80), filled.labels.selected_label)
    filled.settle()
    assert max(before) + 2 in set(filled.shapes.features[ID])
    filled.labels.fill((80, 80), 0)
    filled.settle()
    assert max(before) + 2 not in set(filled.shapes.features[ID])


def test_moving_a_polygon_over_another_and_back(app: App) -> None:
    app.create()
    app.click(app.edit.polygon_button)
    app.draw(SQUARE)
    app.draw(SQUARE + 50)
    before = app.data.copy()
    assert app.ids == [1, 2]

    def put(index: int, corners: np.ndarray) -> None:
        data = [np.array(each) for each in app.shapes.data]
        data[index] = corners
        app.shapes.data = data
        app.settle()

    put(1, SQUARE + 8)
    app.alike()
    assert (app.data == 1).sum() < (before == 1).sum()
    put(1, SQUARE)
    assert app.ids == [2]
    app.qtbot.waitUntil(lambda: "1 more nucleus is hidden" in app.widget.remark.text(), timeout=10_000)
    put(1, SQUARE + 50)
    np.testing.assert_array_equal(app.data, before)
    app.alike()


def test_undo_of_drawing_gives_the_corners_back(app: App) -> None:
    app.create()
    app.click(app.edit.polygon_button)
    triangle = np.array([[5.2, 6.1], [40.3, 20.2], [12.7, 70.9]])
    app.draw(triangle)
    app.choose(app.edit.scope, forms.ALL)
    app.finish(app.edit.buttons["grow"])
    assert len(app.shapes.data[0]) > 3
    app.click(app.widget.undo_button)
    np.testing.assert_allclose(app.shapes.data[0], triangle, atol=1e-4)
    app.click(app.widget.undo_button)
    assert app.shapes.nshapes == 0
    assert not app.data.any()
    app.click(app.widget.redo_button)
    np.testing.assert_allclose(app.shapes.data[0], triangle, atol=1e-4)
    app.alike()


def test_drawing_with_the_mouse(make_napari_viewer_proxy: Callable, qtbot: QtBot) -> None:
    from napari.utils import interactions

    app = App(make_napari_viewer_proxy(show=True), qtbot)
    app.create()
    app.click(app.edit.polygon_button)
    shapes = app.shapes

    class Click:
        def __init__(self, row: float, column: float, kind: str) -> None:
            self.position = tuple(shapes.data_to_world((row, column)))
            self.pos = np.array([column, row])
            self.type, self.is_dragging, self.modifiers, self.button = kind, False, [], 1
            self.view_direction, self.up_direction, self.dims_displayed = None, None, (0, 1)
            self.handled = False
            self.dims_point = (0, 0)

    for row, column in ((20, 20), (20, 60), (60, 60), (60, 20)):
        for kind in ("move", "press", "release"):
            callbacks = getattr(interactions, f"mouse_{kind}_callbacks")
            callbacks(shapes, Click(row, column, f"mouse_{kind}"))
        app.settle()
        assert not app.data.any()  # a polygon that is not finished is no nucleus yet
    interactions.mouse_double_click_callbacks(shapes, Click(60, 20, "mouse_double_click"))
    app.settle()
    assert app.ids == [1]
    assert (app.data == 1).sum() == pytest.approx(1600, rel=0.1)
    assert list(shapes.features[ID]) == [1]
    app.alike()


@pytest.mark.parametrize("kind", ["ellipse", "rectangle", "path"])
def test_other_shapes_are_nuclei_too(app: App, kind: str) -> None:
    app.create()
    app.click(app.edit.polygon_button)
    app.draw(SQUARE, kind)
    assert app.ids == [1]
    assert list(app.shapes.shape_type) == [kind]
    assert (app.data > 0).sum() == pytest.approx(400 * (np.pi / 4 if kind == "ellipse" else 1), rel=0.12)
    app.alike()


def test_a_line_is_refused_and_said(app: App) -> None:
    app.create()
    app.click(app.edit.polygon_button)
    app.draw(SQUARE)
    app.draw(SQUARE[:2], "line")
    assert app.shapes.nshapes == 1
    assert "encloses no nucleus" in app.widget.notes.text()
    assert app.ids == [1]


def test_a_pasted_polygon_is_a_nucleus_of_its_own(app: App) -> None:
    app.create()
    app.click(app.edit.polygon_button)
    app.draw(SQUARE)
    app.shapes.add([SQUARE + 3], shape_type="polygon")
    app.shapes.features = {ID: [1, 1]}  # what pasting does to the features
    app.settle()
    assert app.ids == [1, 2]
    app.alike()


def test_deleting_a_shape_and_undoing_it_by_key(filled: App) -> None:
    filled.click(filled.edit.show_polygons)
    before = filled.data.copy()
    gone = int(filled.shapes.features[ID][1])
    filled.shapes.remove([1])
    filled.settle()
    assert gone not in filled.ids
    keys = {str(key): call for key, call in filled.shapes.keymap.items()}
    keys["Ctrl+Z"](filled.shapes)
    np.testing.assert_array_equal(filled.data, before)
    keys["Ctrl+Shift+Z"](filled.shapes)
    assert gone not in filled.ids
    filled.alike()


def test_hiding_and_removing_polygons_loses_nothing(filled: App) -> None:
    before = filled.data.copy()
    filled.click(filled.edit.show_polygons)
    assert filled.edit.show_polygons.isChecked()
    filled.viewer.layers.remove(filled.shapes)
    filled.settle()
    assert not filled.edit.show_polygons.isChecked()
    filled.click(filled.edit.show_polygons)
    filled.click(filled.edit.show_polygons)
    assert filled.shapes is None
    np.testing.assert_array_equal(filled.data, before)


def test_edits_of_selected_polygons(filled: App) -> None:
    filled.widget.tabs.setCurrentIndex(EDIT)
    filled.click(filled.edit.polygon_button)
    filled.shapes.mode = "select"
    assert "No nucleus is selected" in filled.edit.selection_label.text()
    assert not filled.edit.buttons["grow"].isEnabled()
    border = np.concatenate([filled.data[0], filled.data[-1], filled.data[:, 0], filled.data[:, -1]])
    free = [at for at, number in enumerate(filled.shapes.features[ID]) if number not in border]
    filled.shapes.selected_data = set(free[:2])
    filled.settle()
    assert filled.edit.selection_label.text() == "2 nuclei to change."
    chosen = filled.widget.chosen()
    filled.edit.amount.setValue(1.5)
    before = filled.data.copy()
    for name in ("grow", "shrink", "jitter"):
        at = filled.data.copy()
        filled.finish(filled.edit.buttons[name])
        changed = filled.data != at
        assert changed.any(), name
        assert set(np.unique(filled.data[changed])) | set(np.unique(at[changed])) <= {0, *chosen}
        assert filled.widget.chosen() == chosen  # still selected, for more
        filled.alike()
    done = filled.finish(filled.edit.buttons["copy"])
    assert done.edit.ids
    assert filled.widget.chosen() == list(done.edit.ids)
    filled.click(filled.edit.buttons["delete"])
    assert not set(done.edit.ids) & set(filled.ids)
    filled.alike()
    for _ in range(5):
        filled.click(filled.widget.undo_button)
    np.testing.assert_array_equal(filled.data, before)
    filled.alike()


def test_edits_of_the_picked_label(filled: App) -> None:
    filled.viewer.layers.selection.active = filled.labels
    filled.labels.selected_label = 999
    filled.settle()
    assert not filled.edit.buttons["delete"].isEnabled()
    filled.labels.selected_label = 3
    filled.settle()
    filled.click(filled.edit.buttons["delete"])
    assert 3 not in filled.ids
    filled.choose(filled.edit.scope, forms.ALL)
    filled.settle()
    filled.click(filled.edit.buttons["delete"])
    assert filled.ids == []
    assert "no nuclei" in filled.edit.selection_label.text()
    updates: list[object] = []
    filled.widget.session.selected.connect(lambda: updates.append(1))
    filled.qtbot.wait(300)
    assert updates == []  # at rest nothing goes round


def test_an_amount_below_a_pixel_cannot_be_used(filled: App) -> None:
    filled.choose(filled.edit.scope, forms.ALL)
    filled.edit.amount.setValue(0.1)
    assert "less than a pixel" in filled.edit.buttons["grow"].toolTip()
    assert not filled.edit.buttons["grow"].isEnabled()
    assert filled.edit.buttons["copy"].isEnabled()


def test_split_parts(app: App) -> None:
    app.create()
    app.labels.data_setitem((np.array([5, 5, 50]), np.array([5, 6, 50])), np.array([1, 1, 1]))
    app.settle()
    app.choose(app.edit.scope, forms.ALL)
    app.finish(app.edit.buttons["split"])
    assert app.ids == [1, 2]


def test_live_figures(app: App) -> None:
    app.create(200, 200)
    app.labels.brush_size = 9
    app.labels.paint((50, 50), 1)
    app.labels.paint((150, 150), 2)
    app.settle()
    legend = app.widget.histogram.legend.text()
    assert "2 nuclei" in legend
    assert f"{2 / (200 * 0.25 * 1e-3) ** 2:.0f}/mm²" in legend
    area = (app.data == 1).sum() * 0.25**2
    assert f"median {area:.0f} µm²" in legend
    app.labels.undo()
    app.settle()
    assert "1 nucleus" in app.widget.histogram.legend.text()


def test_painting_during_a_fill_is_not_lost(app: App) -> None:
    app.create(300, 300)
    with app.qtbot.waitSignal(app.widget.done, timeout=LONG):
        app.click(app.fill.fill_button)
        app.labels.paint((150, 150), 5000)
        app.settle()
    painted = app.data == 5000
    assert painted.sum() > 20
    rows, columns = np.nonzero(painted)
    assert np.ptp(rows) == np.ptp(columns)  # whole
    assert len(app.ids) > 5


def test_fit_to_a_layer(app: App) -> None:
    labels = sample(PolygonMasks(density=5000, area=60, area_spread=0.3), (300, 300), seed=1)
    app.viewer.add_labels(labels, name="mine", **MICRONS)
    actions = {action.text(): action for action in app.fill.fit.menu().actions()}
    with app.qtbot.waitSignal(app.widget.fitted, timeout=LONG):
        actions["mine"].trigger()
    assert app.fill.organ.currentText() == "Like “mine”"
    assert app.fill.statistics().tissues
    assert app.fill.sampler.fields["area"].value() == pytest.approx(60, rel=0.3)
    app.choose(app.fill.organ, "liver")
    assert app.fill.statistics() == preset("liver")
    empty = app.viewer.add_labels(np.zeros((50, 50), int), name="empty", **MICRONS)
    with app.qtbot.waitSignal(app.widget.failed, timeout=LONG):
        app.widget.fit(empty)
    assert app.errors()


def test_taking_shapes_from_another_layer(app: App) -> None:
    app.create()
    other = app.viewer.add_shapes([SQUARE * 0.25 + 1], shape_type="rectangle", name="drawn", units=("µm", "µm"))
    app.settle()
    actions = {action.text(): action for action in app.edit.take.menu().actions()}
    assert list(actions) == [other.name]
    actions["drawn"].trigger()
    app.settle()
    assert app.ids == [1]
    rows, columns = np.nonzero(app.data)
    assert (rows.min(), rows.max(), columns.min()) == (14, 33, 14)


@pytest.mark.parametrize("kind", [np.uint8, np.int64, np.uint16])
def test_labels_of_other_types(app: App, kind: type) -> None:
    data = np.zeros((60, 60), kind)
    data[5:9, 5:9] = 255
    layer = app.viewer.add_labels(data, **MICRONS)
    app.widget.select_mask(layer)
    app.finish(app.fill.fill_button)
    assert 255 in app.ids
    assert max(app.ids) > 255


def test_masks_that_cannot_be_edited_say_why(app: App) -> None:
    masks: dict[str, Any] = {
        "3 dimensions": np.zeros((3, 9, 9), int),
        "several resolutions": [np.zeros((64, 64), int), np.zeros((32, 32), int)],
        "negative": np.full((9, 9), -3),
        "number them anew": np.full((9, 9), 2**30),
    }
    for words, data in masks.items():
        app.viewer.layers.clear()
        layer = app.viewer.add_labels(data, multiscale=isinstance(data, list))
        app.widget.select_mask(layer)
        assert words in app.fill.problem_label.text()
        assert not app.fill.fill_button.isEnabled(), words
        assert not app.edit.polygon_button.isEnabled(), words


def test_too_many_polygons_are_refused(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    from napari_nucleigan.widgets.masks import sync

    monkeypatch.setattr(sync, "MOST_POLYGONS", 3)
    app.create()
    app.finish(app.fill.fill_button)
    app.click(app.edit.polygon_button)
    assert "polygon tool of the Labels layer" in app.errors()[0]
    assert app.shapes is None
    assert not app.edit.show_polygons.isChecked()


def test_the_mask_is_removed_renamed_or_given_other_data(filled: App) -> None:
    filled.click(filled.edit.show_polygons)
    filled.labels.name = "renamed"
    assert filled.widget.choice.currentText() == "renamed"
    other = np.zeros((40, 50), np.int32)
    other[3:9, 3:9] = 4
    filled.labels.data = other
    filled.alike()
    filled.viewer.layers.remove(filled.labels)
    filled.settle()
    assert filled.widget.mask is None
    assert filled.widget.sync is None
    filled.viewer.layers.clear()
    filled.settle()
    assert filled.canvas.over.count() == 1


def test_cancel(app: App) -> None:
    app.create(3000, 3000)
    app.click(app.fill.fill_button)
    assert app.widget.cancel_button.isVisibleTo(app.widget)
    assert not app.fill.fill_button.isEnabled()
    app.click(app.widget.cancel_button)
    assert not app.widget.running
    assert app.fill.fill_button.isEnabled()
    assert "Cancelled" in app.widget.notes.text()
    assert QThreadPool.globalInstance().waitForDone(LONG)
    app.settle()
    assert not app.data.any()


def test_every_field_has_a_tooltip(app: App) -> None:
    app.create()
    for kind in (QComboBox, QAbstractSpinBox, QCheckBox):
        for part in app.widget.findChildren(kind):
            # The menu of a chart holds fields, too, but nobody can open it.
            assert part.toolTip() or isinstance(part.window(), QMenu), part.objectName()
    for form in (app.widget, app.canvas, app.fill, app.edit):
        for name, part in vars(form).items():
            if isinstance(part, QPushButton):
                assert part.toolTip(), name


def test_fits_a_small_screen(app: App) -> None:
    assert app.widget.minimumSizeHint().height() < 700
    assert app.widget.sizeHint().width() < 500


def test_reopening_takes_up_what_was_drawn_meanwhile(filled: App) -> None:
    filled.click(filled.edit.polygon_button)
    shapes, labels = filled.shapes, filled.labels
    filled.viewer.window.remove_dock_widget(filled.widget)
    before = set(np.unique(labels.data))
    shapes.add([SQUARE * 2], shape_type="ellipse")
    filled.settle()
    assert set(np.unique(labels.data)) == before
    filled.widget.deleteLater()
    again = App(filled.viewer, filled.qtbot)
    again.click(again.edit.show_polygons)
    again.settle()
    assert [layer.name for layer in filled.viewer.layers].count(shapes.name) == 1
    assert max(again.ids) > max(before)


def test_opening_from_the_menu(make_napari_viewer_proxy: Callable) -> None:
    viewer = make_napari_viewer_proxy()
    _, widget = viewer.window.add_plugin_dock_widget("napari-nucleigan", "Draw masks")
    assert type(widget).__name__ == "MasksWidget"
    assert len(viewer.layers) == 0
