"""The Evaluate widget, by clicking it in a real viewer."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

pytest.importorskip("qtpy.QtWidgets")
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QPoint, Qt, QThreadPool
from qtpy.QtWidgets import (
    QAbstractSlider,
    QAbstractSpinBox,
    QApplication,
    QCheckBox,
    QComboBox,
    QFileDialog,
    QMenu,
    QPushButton,
    QScrollBar,
    QWidget,
)

from napari_nucleigan.data.images.files import write_labels
from napari_nucleigan.metrics import OUTCOMES, evaluate, inspect
from napari_nucleigan.widgets.base.flight import SHARE
from napari_nucleigan.widgets.base.layers import METADATA_KEY
from napari_nucleigan.widgets.evaluate.dock import EvaluateWidget
from napari_nucleigan.widgets.evaluate.form import IOU, NOTHING, OUTCOME
from napari_nucleigan.widgets.evaluate.table import DISTANCES, EVERYTHING, QUALITY

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytestqt.qtbot import QtBot

LONG = 60_000  # milliseconds; the machine may be busy
MICRONS = {"scale": (0.25, 0.25), "units": ("µm", "µm")}


class App:
    """A viewer with the widget, and the hands of a user."""

    def __init__(self, viewer: Any, qtbot: QtBot) -> None:
        notification_manager.records.clear()
        self.viewer, self.qtbot = viewer, qtbot
        self.widget = EvaluateWidget(viewer)
        viewer.window.add_dock_widget(self.widget, name="Evaluate")

    @property
    def page(self) -> Any:
        return self.widget.layers

    @property
    def form(self) -> Any:
        return self.page.form

    @property
    def names(self) -> list[str]:
        return [layer.name for layer in self.viewer.layers]

    def click(self, button: QPushButton) -> None:
        self.qtbot.mouseClick(button, Qt.MouseButton.LeftButton)

    def compare(self) -> Any:
        with self.qtbot.waitSignal(self.page.compared, timeout=LONG) as blocker:
            self.click(self.page.bar.run_button)
        return blocker.args[0].inspection

    def settled(self) -> Any:
        self.qtbot.waitUntil(lambda: not self.page.live.behind, timeout=LONG)
        return self.page.comparison and self.page.comparison.inspection

    def choose(self, box: QComboBox, value: Any) -> None:
        index = box.findData(value)
        assert index >= 0
        box.setCurrentIndex(index)

    def point(self, layer: Any, place: tuple[float, float]) -> None:
        self.viewer.cursor.position = tuple(layer.data_to_world(place))
        for callback in list(self.viewer.mouse_move_callbacks):
            callback(self.viewer, None)

    def errors(self) -> list[str]:
        return [record.message for record in notification_manager.records if str(record.severity) == "error"]


@pytest.fixture
def app(make_napari_viewer_proxy: Callable, qtbot: QtBot) -> App:
    return App(make_napari_viewer_proxy(), qtbot)


@pytest.fixture(scope="session")
def pair(tiny_he: Callable) -> tuple[Any, Any]:
    """True labels and a prediction of them with every kind of error."""
    truth = tiny_he(150, 200, 40, 7)[1]
    pred = np.roll(truth, 1, axis=1)
    pred[:, 0] = 0
    rows, columns = np.nonzero(pred == 3)
    pred[pred == 1] = 0
    pred[rows[rows < rows.mean()], columns[rows < rows.mean()]] = 90
    pred[pred == 5] = 0
    pred[5:9, 2:6] = np.where(truth[5:9, 2:6] == 0, 91, pred[5:9, 2:6])
    for other in range(6, 41):
        near = np.argwhere(truth == 2).mean(0) - np.argwhere(truth == other).mean(0)
        if np.abs(near).max() < 30:
            pred[pred == other] = 2
            break
    return truth, pred


@pytest.fixture
def both(app: App, pair: tuple[Any, Any]) -> App:
    app.viewer.add_labels(pair[0].copy(), name="manual", **MICRONS)
    app.viewer.add_labels(pair[1].copy(), name="found", **MICRONS)
    return app


def test_two_layers_are_compared_on_the_image(both: App, pair: tuple[Any, Any]) -> None:
    app = both
    assert (app.form.pred.currentText(), app.form.truth.currentText()) == ("found", "manual")
    assert app.names == ["manual", "found"]  # nothing is made before it is asked for
    found = app.compare()
    expected = evaluate(*pair).to_json()
    assert dict(found.scores.to_json().items()) == pytest.approx(expected)
    table = app.page.table
    for key in QUALITY:
        assert table.value(key) == f"{expected[key]:.3f}"
    assert table.value("average_hausdorff") == f"{expected['average_hausdorff'] * 0.25:.2f} µm"
    assert table.value("n_truth") == str(expected["n_truth"])
    # counts of the table are those of the picture, and each nucleus is marked once
    assert app.names == ["manual", "found", "Overlay: found against manual", "Overlay: outlines of manual"]
    picture = app.viewer.layers["Overlay: found against manual"]
    assert picture.opacity > 0.8  # the colours of the labels below do not pass for outcomes
    numbers = np.unique(picture.data[picture.data > 0])
    outcomes = dict(zip(picture.features["index"], picture.features["outcome"], strict=True))
    assert sorted(outcomes) == numbers.tolist()
    for name in OUTCOMES:
        count = sum(outcomes[number] == name for number in numbers)
        assert table.value(name) == str(count)
        assert f"■ {name} {count}" in app.page.canvas.text
        assert count > 0
    assert sum(len(ids) for ids in found.nuclei.truth_ids) == expected["n_truth"]
    assert picture.metadata[METADATA_KEY]["counts"] == found.counts
    # the picture lies on the truth, and the hand stays where it was
    np.testing.assert_allclose(picture.data_to_world((7, 9)), app.viewer.layers["manual"].data_to_world((7, 9)))
    assert app.viewer.layers.selection.active == app.viewer.layers["found"]
    outlines = app.viewer.layers["Overlay: outlines of manual"]
    assert set(np.unique(outlines.data)) == {0, 1}
    assert not (outlines.data.astype(bool) & (pair[0] == 0)).any()
    assert f"AJI {expected['aji']:.3f}" in app.page.bar.figures.text()
    assert app.page.canvas.text[0].startswith(f"AJI {expected['aji']:.3f}")
    assert not app.errors()


def test_colours_tell_outcomes_and_iou(both: App) -> None:
    from napari_nucleigan.widgets.evaluate.overlay import COLOURS, ramp, rgba

    app = both
    found = app.compare()
    for look in (OUTCOME, IOU):
        app.choose(app.form.look, look)
        layer = app.viewer.layers["Overlay: found against manual"]
        seen = layer.colormap.map(layer.data)
        for number, name, iou in zip(found.nuclei.id, found.nuclei.names, found.nuclei.iou, strict=True):
            colour = seen[found.picture == number]
            wanted = COLOURS[name] if look == OUTCOME else ramp(min(int(iou * 25), 24) / 24)
            np.testing.assert_allclose(colour, [rgba(wanted)] * len(colour), atol=0.01)
        assert (seen[found.picture == 0] == 0).all()
    assert "■ IoU 0.5" in app.page.canvas.text


def test_what_is_shown_can_be_chosen(both: App) -> None:
    app = both
    app.compare()
    app.choose(app.form.look, NOTHING)
    assert app.names == ["manual", "found", "Overlay: outlines of manual"]
    app.form.outlines.click()
    assert app.names == ["manual", "found"]
    app.form.score.click()
    assert app.page.canvas.text == []
    app.choose(app.form.look, IOU)
    app.form.outlines.click()
    app.form.score.click()
    assert app.names == ["manual", "found", "Overlay: found against manual", "Overlay: outlines of manual"]
    assert app.form.look.currentData() == IOU
    assert len(app.page.canvas.text) == 7
    # to remove a layer is to ask for it no more
    app.viewer.layers.remove("Overlay: found against manual")
    assert app.form.look.currentData() == NOTHING
    app.viewer.layers.remove("Overlay: outlines of manual")
    assert not app.form.outlines.isChecked()
    app.viewer.layers["found"].paint((3, 3), 77)
    app.settled()
    assert app.names == ["manual", "found"]
    # other widgets do not take a picture for a mask
    app.choose(app.form.look, OUTCOME)
    from napari_nucleigan.widgets.base.mask_layers import mask_layers

    assert [layer.name for layer in mask_layers(app.viewer)] == ["found", "manual"]
    assert app.form.pred.count() == 2
    # nobody paints in the picture by mistake
    assert not app.viewer.layers["Overlay: found against manual"].editable


def test_swap_and_other_layers(both: App, pair: tuple[Any, Any]) -> None:
    app = both
    app.compare()
    with app.qtbot.waitSignal(app.page.compared, timeout=LONG) as blocker:
        app.click(app.form.swap)
    assert blocker.args[0].inspection.scores.aji == pytest.approx(evaluate(*pair[::-1]).aji)
    assert app.names == ["manual", "found", "Overlay: manual against found", "Overlay: outlines of found"]
    app.viewer.add_labels(pair[0].copy(), name="third", **MICRONS)
    assert app.page.comparison is not None  # a new layer changes nothing
    with app.qtbot.waitSignal(app.page.compared, timeout=LONG) as blocker:
        app.form.pred.setCurrentIndex(app.form.pred.findText("third"))
    assert blocker.args[0].request.pred_name == "third"
    app.viewer.layers["third"].name = "fourth"
    assert app.settled() is not None
    assert app.form.pred.currentText() == "fourth"
    app.viewer.layers.remove("fourth")
    assert app.page.comparison is None
    assert app.names == ["manual", "found"]
    assert app.page.table.value("aji") == "-"
    assert app.page.canvas.text == []


def test_the_threshold_decides_what_is_found(both: App, pair: tuple[Any, Any]) -> None:
    app = both
    app.compare()
    app.form.live.click()
    for iou in (0.9, 0.05, 0.3):
        app.form.iou.setValue(iou)
        found = app.settled()
        expected = inspect(*pair, iou)
        assert found.counts == expected.counts
        assert app.page.table.value("f1") == f"{expected.scores.f1:.3f}"
        assert app.page.table.value("tp") == app.page.table.value("matched") == str(expected.scores.tp)
        assert f"IoU > {iou}" in app.page.canvas.text[0]
    assert app.form.iou.minimum() == 0.05
    assert app.form.iou.maximum() == 0.95


def test_what_cannot_be_compared_is_said_before(app: App, pair: tuple[Any, Any]) -> None:
    problem = app.page.bar.problem
    assert "Two Labels layers are needed" in problem.text()
    assert not app.page.bar.run_button.isEnabled()
    app.viewer.add_labels(pair[0], name="manual", **MICRONS)
    assert "Two Labels layers are needed" in problem.text()
    app.viewer.add_labels(np.zeros((3, 9, 9), int), name="stack")
    assert "3 dimensions" in problem.text()
    app.viewer.layers.remove("stack")
    app.viewer.add_labels(pair[1], name="found", translate=(1e4, 0), **MICRONS)
    assert "no place in common" in problem.text()
    app.viewer.layers.remove("found")
    app.viewer.add_labels(pair[1][:99], name="plain")
    assert "in pixels" in problem.text()
    app.form.pred.setCurrentIndex(app.form.truth.currentIndex())
    assert "chosen twice" in problem.text()
    app.form.pred.setCurrentIndex(1 - app.form.truth.currentIndex())
    assert "in pixels" in problem.text()
    app.click(app.page.bar.run_button)
    assert not app.errors()


@pytest.mark.parametrize("kind", ["moved", "in millimetres", "finer", "turned", "without units"])
def test_layers_are_compared_where_they_lie(app: App, pair: tuple[Any, Any], kind: str) -> None:
    truth, pred = pair
    place: dict[str, Any] = dict(MICRONS)
    expected = inspect(truth, pred, mpp=0.25)
    if kind == "moved":
        # cut out of the image, and put where it came from
        pred, place = pred[20:120, 30:], {**MICRONS, "translate": (5.0, 7.5)}
        expected = inspect(truth[20:120, 30:], pair[1][20:120, 30:], mpp=0.25)
    elif kind == "in millimetres":
        place = {"scale": (0.00025, 0.00025), "units": ("mm", "mm")}
    elif kind == "finer":
        pred = pred.repeat(2, 0).repeat(2, 1)
        place = {"scale": (0.125, 0.125), "translate": (-0.0625, -0.0625), "units": ("µm", "µm")}
        expected = inspect(truth.repeat(2, 0).repeat(2, 1), pred, mpp=0.125)
    elif kind == "turned":
        pred = np.ascontiguousarray(np.rot90(pred, -1))
        affine = np.array([[0, -0.25, 149 * 0.25], [0.25, 0, 0], [0, 0, 1.0]])
        place = {"affine": affine, "units": ("µm", "µm")}
    elif kind == "without units":
        place = {}
    app.viewer.add_labels(truth, name="manual", **MICRONS)
    app.viewer.add_labels(pred, name="found", **place)
    found = app.compare()
    assert found.counts == expected.counts
    assert found.scores.aji == pytest.approx(expected.scores.aji)
    assert found.scores.average_hausdorff == pytest.approx(expected.scores.average_hausdorff)
    picture, manual = app.viewer.layers["Overlay: found against manual"], app.viewer.layers["manual"]
    number = int(np.argmax(np.where(found.nuclei.names == "matched", found.nuclei.area, 0)))
    middle = np.array([found.nuclei.row[number], found.nuclei.column[number]])
    at = manual.world_to_data(picture.data_to_world(middle))
    inside = truth == found.nuclei.truth_ids[number][0]
    np.testing.assert_allclose(at, np.argwhere(inside).mean(0), atol=0.5)
    assert bool(app.page.bar.notes.text()) == (kind in ("moved", "finer", "turned", "without units"))
    # what is pointed at, and flown to, is found there too
    app.point(picture, tuple(middle))
    assert app.page.pointed.text().startswith(found.nuclei.names[number].capitalize())
    app.page.fly_to(number + 1)
    app.qtbot.waitUntil(lambda: not app.page.flight.flying, timeout=LONG)
    top, bottom, left, right = found.nuclei.boxes[number]
    centre = picture.data_to_world(((top + bottom - 1) / 2, (left + right - 1) / 2))
    units = app.viewer.layers.units
    factor = 1.0 if units is None or units[0] == picture.units[0] else 1e-3
    np.testing.assert_allclose(app.viewer.scene.camera.center[-2:], np.array(centre) * factor, rtol=1e-3)


def test_a_layer_that_is_removed_ends_the_comparison(app: App, tiny_he: Callable) -> None:
    labels = np.tile(tiny_he(200, 200, 40, 1)[1], (6, 6))
    for name in ("manual", "found"):
        app.viewer.add_labels(labels.copy(), name=name, **MICRONS)
    app.click(app.page.bar.run_button)
    assert app.page.running
    app.viewer.layers.remove("found")
    assert not app.page.running
    assert "was removed" in app.page.bar.notes.text()
    assert app.page.comparison is None
    app.qtbot.wait(300)
    assert app.names == ["manual"]
    assert not app.errors()


def test_pointing_at_a_nucleus_tells_what_became_of_it(both: App) -> None:
    app = both
    app.point(app.viewer.layers["manual"], (3, 3))
    assert app.page.pointed.text() == ""
    found = app.compare()
    for look in (OUTCOME, NOTHING):
        app.choose(app.form.look, look)
        for number in range(1, len(found.nuclei) + 1):
            nucleus = found.nucleus(number)
            app.point(app.viewer.layers["manual"], tuple(np.argwhere(found.picture == number)[0]))
            text = f"{nucleus['outcome'].capitalize()} · IoU {nucleus['iou']:.2f}"
            if nucleus["hausdorff"] is not None:
                text += f" · HD {nucleus['hausdorff'] / 4:.2f} µm · AHD {nucleus['average_hausdorff'] / 4:.2f} µm"
            assert app.page.pointed.text() == text
            assert app.page.canvas.text[-1] == text
        app.point(app.viewer.layers["manual"], tuple(np.argwhere(found.picture == 0)[0]))
        assert app.page.pointed.text().startswith("Point at")
        assert not app.page.canvas.text[-1].startswith(nucleus["outcome"].capitalize())
    app.point(app.viewer.layers["manual"], (-50, 900))
    assert app.page.pointed.text().startswith("Point at")
    # napari's own status line knows it too, where the picture is in hand
    app.choose(app.form.look, OUTCOME)
    layer = app.viewer.layers["Overlay: found against manual"]
    place = np.argwhere(found.picture == 1)[0]
    status = layer.get_status(layer.data_to_world(place), world=True)
    assert f"outcome: {found.nucleus(1)['outcome']}" in status["value"]


class TestNuclei:
    """The list of the worst."""

    def cell(self, app: App, row: int, column: int) -> str:
        model = app.page.nuclei.model
        return model.data(model.index(row, column))

    def column(self, app: App, column: int) -> list[str]:
        return [self.cell(app, row, column) for row in range(app.page.nuclei.model.rowCount())]

    def press(self, app: App, row: int) -> None:
        table = app.page.nuclei.table
        app.page.tabs.setCurrentWidget(app.page.nuclei)
        table.scrollTo(table.model().index(row, 0))
        place = table.visualRect(table.model().index(row, 0)).center()
        app.qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(place))

    def test_is_sorted_and_filtered(self, both: App) -> None:
        app = both
        found = app.compare()
        nuclei = app.page.nuclei
        assert "Matched" not in self.column(app, 0)
        app.choose(nuclei.kept, EVERYTHING)
        assert nuclei.model.ids.tolist() == found.worst().tolist()
        assert nuclei.number.text() == f"{len(found.nuclei)} nuclei"
        for column, values in ((1, found.nuclei.iou), (3, found.nuclei.area)):
            header = nuclei.table.horizontalHeader()
            place = QPoint(header.sectionViewportPosition(column) + 20, header.height() // 2)
            app.page.tabs.setCurrentWidget(nuclei)
            for _ in range(2):
                app.qtbot.mouseClick(header.viewport(), Qt.MouseButton.LeftButton, pos=place)
                listed = values[nuclei.model.ids - 1]
                assert (np.diff(listed) >= 0).all() or (np.diff(listed) <= 0).all()
            assert nuclei.table.horizontalHeader().sortIndicatorSection() == column
        for name in OUTCOMES:
            app.choose(nuclei.kept, name)
            assert self.column(app, 0) == [name.capitalize()] * found.counts[name]

    def test_a_click_flies_there(self, both: App) -> None:
        app = both
        found = app.compare()
        for row in (2, 0, 0):
            app.viewer.reset_view()
            self.press(app, row)
            assert app.page.flight.flying
            app.qtbot.waitUntil(lambda: not app.page.flight.flying, timeout=LONG)
            number = int(app.page.nuclei.model.ids[row]) - 1
            top, bottom, left, right = found.nuclei.boxes[number]
            centre = np.array([top + bottom - 1, left + right - 1]) / 2 * 0.25
            np.testing.assert_allclose(app.viewer.scene.camera.center[-2:], centre)
            side = max(30, bottom - top - 1, right - left - 1) * 0.25 * app.viewer.scene.camera.zoom
            assert side == pytest.approx(SHARE * min(app.viewer.canvas.size))
            assert app.page.pointed.text().startswith(self.cell(app, row, 0))
            # a frame marks what the camera flew to: the nucleus lies in it, and the frame is around it
            frame = app.viewer.layers["Overlay: chosen nucleus"]
            np.testing.assert_allclose(frame.extent.world.mean(axis=0), centre)
            low, high = frame.extent.world
            assert (low < np.array([top, left]) * 0.25).all()
            assert (high > np.array([bottom, right]) * 0.25).all()
            assert app.viewer.layers.selection.active != frame
        app.qtbot.keyClick(app.page.nuclei.table, Qt.Key.Key_Down)
        assert app.page.flight.flying

    def test_stays_in_place_while_one_edits(self, both: App) -> None:
        app = both
        app.compare()
        self.press(app, 3)
        app.page.flight.stop()
        before = app.page.comparison.inspection.nuclei
        number = int(app.page.nuclei.model.ids[3]) - 1
        ids = before.truth_ids[number], before.pred_ids[number]
        app.viewer.layers["found"].data[:4, :4] = 123
        app.viewer.layers["found"].refresh()
        app.qtbot.waitSignal(app.page.compared, timeout=LONG).wait()
        after = app.page.comparison.inspection.nuclei
        (chosen,) = app.page.nuclei.table.selectionModel().selectedRows()
        number = int(app.page.nuclei.model.ids[chosen.row()]) - 1
        assert (after.truth_ids[number], after.pred_ids[number]) == ids
        assert not app.page.flight.flying


def test_plots_by_size_and_density(both: App) -> None:
    app = both
    found = app.compare()
    plots = app.page.plots
    app.page.tabs.setCurrentWidget(plots)
    for kind, bins in (("size", found.by_size()), ("density", found.by_density())):
        chart = plots.charts[kind]
        for figure, curve in chart._curves.items():
            values = getattr(bins, figure)
            shown = np.full(len(values), np.nan)
            x, y = curve.getData()
            if x is not None:
                shown[x.astype(int)] = y
            np.testing.assert_allclose(shown, values)
        chart.hovered.emit(1)
        assert f"{bins.n_truth[1]} true, {bins.n_pred[1]} predicted" in plots.remark.text()
        assert f"{bins.recall[1]:.2f}" in plots.legend.box(("bins", "recall")).text()
        chart.hovered.emit(None)
        assert plots.remark.text() == ""
    plots.legend.box(("bins", "f1")).click()
    assert not plots.charts["size"]._curves["f1"].isVisible()
    assert plots.charts["size"]._curves["recall"].isVisible()


class TestExport:
    """Clipboard and files."""

    def save(self, app: App, monkeypatch: pytest.MonkeyPatch, entry: int, path: Path) -> None:
        monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), ""))
        app.page.export_button.menu().actions()[entry].trigger()

    def test_copy(self, both: App) -> None:
        app = both
        assert not app.page.copy_button.isEnabled()
        found = app.compare()
        app.click(app.page.copy_button)
        rows = dict(line.split("\t") for line in QApplication.clipboard().text().splitlines())
        assert float(rows["aji"]) == found.scores.aji
        assert rows["prediction"] == "found"
        assert int(rows["missed"]) == found.counts["missed"]
        QApplication.clipboard().clear()
        app.qtbot.keyClick(app.page.table, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
        assert "aji\t" in QApplication.clipboard().text()

    def test_tables_and_json(self, both: App, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        app = both
        found = app.compare()
        self.save(app, monkeypatch, 0, tmp_path / "figures.csv")
        rows = dict(list(csv.reader((tmp_path / "figures.csv").read_text().splitlines()))[1:])
        assert float(rows["pq"]) == found.scores.pq
        assert float(rows["microns_per_pixel"]) == 0.25
        assert float(rows["iou_threshold"]) == 0.5
        self.save(app, monkeypatch, 1, tmp_path / "all.json")
        content = json.loads((tmp_path / "all.json").read_text())
        assert content["average_hausdorff"] == found.scores.average_hausdorff
        assert len(content["nuclei"]) == len(found.nuclei)
        self.save(app, monkeypatch, 2, tmp_path / "nuclei.csv")
        listed = list(csv.DictReader((tmp_path / "nuclei.csv").read_text().splitlines()))
        assert [row["outcome"] for row in listed] == found.nuclei.names.tolist()
        assert [float(row["iou"]) for row in listed] == found.nuclei.iou.tolist()
        assert not app.errors()

    def test_a_folder_that_refuses_is_said(self, both: App, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        app = both
        app.compare()
        (tmp_path / "file").write_text("")
        self.save(app, monkeypatch, 0, tmp_path / "file" / "figures.csv")
        assert "Cannot write" in app.errors()[0]
        monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: ("", ""))
        app.page.export_button.menu().actions()[0].trigger()
        assert len(app.errors()) == 1


@pytest.mark.parametrize("kind", ["both empty", "no prediction", "no truth", "1 x 1", "huge numbers", "37 x 1001"])
def test_labels_of_other_kinds(
    app: App, pair: tuple[Any, Any], kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    truth, pred = pair
    empty = np.zeros_like(truth)
    truth, pred = {
        "both empty": (empty, empty),
        "no prediction": (truth, empty),
        "no truth": (empty, pred),
        "1 x 1": (np.ones((1, 1), int), np.ones((1, 1), np.uint8)),
        "huge numbers": (truth.astype(np.uint64) * 10**12, pred.astype(np.int64) * 10**9),
        "37 x 1001": (np.tile(truth[:37], (1, 6))[:, :1001], np.tile(pred[:37], (1, 6))[:, :1001]),
    }[kind]
    app.viewer.add_labels(truth, name="truth")
    app.viewer.add_labels(pred, name="pred")
    found = app.compare()
    expected = evaluate(truth, pred).to_json()
    assert found.scores.to_json() == pytest.approx(expected, nan_ok=True)
    for key in DISTANCES:
        value = expected[key]
        assert app.page.table.value(key) == ("-" if value is None else f"{value:.2f} px")
    for page in (app.page.nuclei, app.page.plots):
        app.page.tabs.setCurrentWidget(page)
        app.qtbot.wait(10)
    app.choose(app.page.nuclei.kept, EVERYTHING)
    assert app.page.nuclei.model.rowCount() == len(found.nuclei)
    TestExport().save(app, monkeypatch, 1, tmp_path / "all.json")
    assert len(json.loads((tmp_path / "all.json").read_text())["nuclei"]) == len(found.nuclei)
    TestExport().save(app, monkeypatch, 2, tmp_path / "nuclei.csv")
    assert len((tmp_path / "nuclei.csv").read_text().splitlines()) == 1 + len(found.nuclei)
    assert not app.errors()


def test_a_large_comparison_can_be_cancelled(app: App, pair: tuple[Any, Any]) -> None:
    app.viewer.add_labels(np.tile(pair[0], (12, 9)), name="truth")
    app.viewer.add_labels(np.tile(pair[1], (12, 9)), name="pred")
    app.click(app.page.bar.run_button)
    assert not app.form.isEnabled()
    app.click(app.page.bar.cancel_button)
    assert app.page.bar.run_button.isEnabled()
    assert QThreadPool.globalInstance().waitForDone(LONG)
    app.qtbot.wait(100)
    assert app.names == ["truth", "pred"]
    assert app.page.comparison is None
    app.compare()
    assert not app.errors()


def test_an_image_of_the_folders_is_shown_on_the_page_of_layers(
    app: App, pair: tuple[Any, Any], tmp_path: Path
) -> None:
    for name, labels in zip(("truth", "pred"), pair, strict=True):
        write_labels(tmp_path / name / "tile.tif", labels, 0.25)
    folders = app.widget.folders
    app.widget.tabs.setCurrentIndex(1)
    for field, name in ((folders.form.pred, "pred"), (folders.form.truth, "truth")):
        field.line.setText(str(tmp_path / name))
    app.qtbot.waitUntil(lambda: folders.bar.run_button.isEnabled(), timeout=LONG)
    with app.qtbot.waitSignal(folders.reported, timeout=LONG):
        app.click(folders.bar.run_button)
    with app.qtbot.waitSignal(app.page.compared, timeout=LONG) as blocker:
        folders.open_image("tile")
    assert app.widget.tabs.currentIndex() == 0
    assert blocker.args[0].inspection.counts == inspect(*pair).counts
    assert app.form.pred.currentText() != app.form.truth.currentText()
    assert not app.errors()


def test_every_field_has_a_tooltip(app: App) -> None:
    kinds = (QComboBox, QAbstractSpinBox, QAbstractSlider, QPushButton, QCheckBox)
    found = [
        part
        for part in app.widget.findChildren(QWidget)
        if isinstance(part, kinds) and not isinstance(part, QScrollBar) and not isinstance(part.window(), QMenu)
    ]
    assert len(found) > 12
    for part in found:
        # Qt shows the tooltip of the parent where a part has none.
        assert part.toolTip() or part.parentWidget().toolTip(), (type(part), part.parent())
    table = app.page.table
    for row in range(table.rowCount()):
        for column in (0, 2):
            item = table.item(row, column)
            assert item is None or len(item.toolTip()) > 20


def test_fits_a_small_screen(app: App) -> None:
    assert app.widget.minimumSizeHint().height() < 600
    assert app.widget.sizeHint().width() < 500


def test_opening_from_the_layers_menu(make_napari_viewer_proxy: Callable) -> None:
    viewer = make_napari_viewer_proxy()
    _, widget = viewer.window.add_plugin_dock_widget("napari-nucleigan", "Evaluate")
    assert type(widget).__name__ == "EvaluateWidget"


def test_closed_and_opened_again_it_takes_over_its_layers(both: App) -> None:
    app = both
    app.compare()
    opacity = app.viewer.layers["Overlay: found against manual"].opacity = 0.3
    app.viewer.window.remove_dock_widget(app.widget)
    # what was made stays, what would grow stale on the canvas does not
    assert app.names == ["manual", "found", "Overlay: found against manual", "Overlay: outlines of manual"]
    assert app.page.canvas.text == []
    other = App(app.viewer, app.qtbot)
    assert other.form.pred.count() == 2
    other.compare()
    assert other.names == ["manual", "found", "Overlay: found against manual", "Overlay: outlines of manual"]
    assert other.viewer.layers["Overlay: found against manual"].opacity == opacity
