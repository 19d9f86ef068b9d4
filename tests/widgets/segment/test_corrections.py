"""The corrections of the Segment widget, by clicking them in a real viewer; every run is a real process."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

pytest.importorskip("qtpy.QtWidgets")
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QAbstractSpinBox, QCheckBox, QComboBox, QPushButton, QWidget

from napari_nucleigan.base.errors import LabelsError
from napari_nucleigan.data.datasets.dataset import Dataset
from napari_nucleigan.training.recipes import FINE_TUNING
from napari_nucleigan.training.runs.processes import RunProcess, reap
from napari_nucleigan.training.runs.run_folder import RunFolder
from napari_nucleigan.training.runs.run_library import list_runs
from napari_nucleigan.training.runs.status import RunState, state_of
from napari_nucleigan.widgets.base import closing
from napari_nucleigan.widgets.base.layers import METADATA_KEY
from napari_nucleigan.widgets.segment.dock import SegmentWidget
from napari_nucleigan.widgets.segment.regions import regions_reader
from napari_nucleigan.widgets.train.dock import TrainWidget

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pytestqt.qtbot import QtBot

LONG = 300_000  # milliseconds; the machine may be busy
MICRONS = {"scale": (0.25, 0.25), "units": ("µm", "µm")}
BOX = np.array([[10, 20], [10, 120], [90, 120], [90, 20]])


class App:
    """A viewer with the widget, a segmented image, and the hands of a user."""

    def __init__(self, viewer: Any, qtbot: QtBot, pixels: Any) -> None:
        self.viewer, self.qtbot = viewer, qtbot
        self.widget = SegmentWidget(viewer)
        viewer.window.add_dock_widget(self.widget, name="Segment nuclei")
        with qtbot.waitSignal(self.widget.ready, timeout=LONG):
            pass
        self.image = viewer.add_image(pixels, name="tile", **MICRONS)
        self.click(self.panel.button)

    @property
    def panel(self) -> Any:
        return self.widget.corrections

    @property
    def problem(self) -> str:
        assert self.panel.bar.run_button.isEnabled() == (not self.panel.bar.problem.text())
        return str(self.panel.bar.problem.text())

    def click(self, button: QWidget) -> None:
        assert button.isEnabled(), button.toolTip()
        self.qtbot.mouseClick(button, Qt.MouseButton.LeftButton, pos=QPoint(8, 8))

    def segment(self) -> Any:
        with self.qtbot.waitSignal(self.widget.done, timeout=LONG):
            self.click(self.widget.bar.run_button)
        return self.nuclei[-1]

    @property
    def nuclei(self) -> list[Any]:
        return [layer for layer in self.viewer.layers if layer.as_layer_data_tuple()[2] == "labels"]

    def draw(self, corners: Any = BOX, kind: str = "rectangle") -> Any:
        self.click(self.panel.regions.button)
        layer = self.viewer.layers.selection.active
        layer.add(corners, shape_type=kind)
        return layer

    def fine_tune(self, minutes: float = 0.1) -> Path:
        self.panel.minutes.setValue(minutes)
        with self.qtbot.waitSignal(self.panel.started, timeout=LONG) as blocker:
            self.click(self.panel.bar.run_button)
        return blocker.args[0]

    def errors(self) -> list[str]:
        records = notification_manager.records
        return [record.message for record in records if str(record.severity) == "error"]


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of the runs; what trains in it is ended with the test."""
    folder = tmp_path / "runs"
    monkeypatch.setenv("NUCLEIGAN_RUNS", str(folder))
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")  # threads that wait for each other take minutes on a busy machine
    yield folder
    for status in list_runs(folder):
        if status.state.alive:
            RunProcess(status.path).kill()
    reap()


@pytest.fixture
def app(make_napari_viewer_proxy: Callable, qtbot: QtBot, models: Path, runs: Path, tiny_he: Callable) -> App:
    notification_manager.records.clear()
    return App(make_napari_viewer_proxy(), qtbot, tiny_he(150, 200, 40, 7)[0])


def test_corrections_to_a_model_of_the_users_own(app: App, runs: Path) -> None:
    labels = app.segment()
    regions = app.draw()
    assert regions.mode == "add_rectangle"
    assert not app.problem
    # A correction: a nucleus is drawn, and another one taken away.
    labels.selected_label = 999
    labels.paint((50, 70), 999)
    gone = int(labels.data[labels.data > 0][0])
    labels.fill(tuple(np.argwhere(labels.data == gone)[0]), 0)
    corrected = labels.data.copy()
    with app.qtbot.waitSignal(app.widget.done, timeout=LONG):
        path = app.fine_tune()
        # The user looks at something else meanwhile.
        other = app.viewer.add_image(app.image.data[::-1], name="another", **MICRONS)
        app.widget.select_image(other)
        assert app.panel.running
        assert not app.panel.regions.button.isEnabled()
    assert state_of(path).state is RunState.FINISHED
    recipe = RunFolder(path).recipe()
    assert recipe["name"] == FINE_TUNING
    assert recipe["generator"]["widths"] == [8, 16, 16]
    # It has learnt from the region alone, with the nuclei as they were corrected.
    data = Dataset.open(RunFolder(path).data()["folder"])
    known = data.regions("tile-1")
    assert known is not None
    assert known.sum() == 80 * 100
    part = slice(0, 90 + 32), slice(0, 120 + 32)
    np.testing.assert_array_equal(data.labels("tile-1"), corrected[part])
    # Its model is chosen, and has segmented the image; the user's work is as it was.
    assert app.widget.form.model.currentText() == path.name
    assert len(app.nuclei) == 2
    np.testing.assert_array_equal(labels.data, corrected)
    assert app.nuclei[1].metadata[METADATA_KEY]["model"] == path.name
    assert app.nuclei[1].metadata[METADATA_KEY]["image"] == "tile"
    assert app.nuclei[1].data.any()
    assert not app.panel.running
    assert not app.errors()
    assert [status.path for status in list_runs(runs)] == [path]


def test_stop_and_segment_with_what_was_learnt(app: App) -> None:
    app.segment()
    app.draw()
    app.click(app.panel.again)  # the user wants to see to it alone
    path = app.fine_tune(600)
    app.qtbot.waitUntil(lambda: state_of(path).model is not None, timeout=LONG)
    with app.qtbot.waitSignal(app.panel.ended, timeout=LONG) as blocker:
        app.click(app.panel.bar.cancel_button)
    assert blocker.args[0].state is RunState.STOPPED
    assert "resume" in app.panel.bar.notes.text()
    assert len(app.nuclei) == 1
    with app.qtbot.waitSignal(app.widget.done, timeout=LONG):
        app.click(app.panel.again_button)
    assert app.nuclei[-1].metadata[METADATA_KEY]["model"] == path.name
    assert not app.errors()


def test_a_run_goes_on_without_the_widget(app: App) -> None:
    app.segment()
    app.draw()
    path = app.fine_tune(600)
    app.viewer.window.remove_dock_widget(app.widget)
    app.qtbot.waitUntil(lambda: all(t.name != "training runs" for t in threading.enumerate()), timeout=LONG)
    assert state_of(path).state.alive


def test_closing_napari_asks_once(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    train = TrainWidget(app.viewer)
    app.viewer.window.add_dock_widget(train, name="Train a model")
    app.segment()
    app.draw()
    path = app.fine_tune(600)
    app.qtbot.waitUntil(
        lambda: train.list.status(path) is not None and train.list.status(path).state.alive, timeout=LONG
    )
    asked: list[list[str]] = []
    window = app.widget.window()
    monkeypatch.setattr(closing, "ask", lambda _, names: asked.append(list(names)) or closing.CANCEL)
    assert not window.close()
    assert asked == [[path.name]]
    monkeypatch.setattr(closing, "ask", lambda _, names: asked.append(list(names)) or closing.STOP)
    window.close()
    assert asked == [[path.name]] * 2
    assert RunProcess(path).wait(LONG / 1000).state is RunState.STOPPED


def test_a_killed_run_is_told(app: App) -> None:
    app.segment()
    app.draw()
    path = app.fine_tune(600)
    with app.qtbot.waitSignal(app.panel.ended, timeout=LONG) as blocker:
        RunProcess(path).kill()
    assert blocker.args[0].state is RunState.INTERRUPTED
    assert app.errors()
    assert not app.problem
    assert not app.panel.running


def test_it_says_what_is_missing(app: App) -> None:
    assert "Press Run above" in app.problem
    app.segment()
    assert "Press Draw" in app.problem
    layer = app.viewer.add_shapes(None, ndim=2)
    assert "Press Draw" in app.problem
    layer.add_rectangles(BOX)
    assert not app.problem
    app.image.scale, app.image.units = (1, 1), ("pixel", "pixel")
    app.widget.reset_choices()
    assert "microns per pixel" in app.problem
    app.widget.form.mpp.setValue(0.25)
    assert not app.problem
    app.viewer.add_image(app.image.data, name="another", **MICRONS)
    box = app.widget.form.image
    box.setCurrentIndex(box.findData("all"))
    assert "Choose one image" in app.problem


@pytest.mark.parametrize(
    ("corners", "kind", "message"),
    [
        (BOX + 1000, "rectangle", "cover 0 pixels"),
        (BOX[:2], "line", "draw a polygon"),
        (np.array([[0, 0], [0, 33], [33, 33], [33, 0]]), "rectangle", "no nuclei"),
    ],
)
def test_regions_that_teach_nothing(app: App, corners: Any, kind: str, message: str) -> None:
    labels = app.segment()
    labels.data[:40, :40] = 0
    app.draw(corners, kind)
    with app.qtbot.waitSignal(app.panel.failed, timeout=LONG) as blocker:
        app.click(app.panel.bar.run_button)
    assert isinstance(blocker.args[0], LabelsError)
    assert message in str(blocker.args[0])
    assert message in app.errors()[0]
    assert message in app.panel.bar.notes.text()
    assert not app.panel.running


def test_regions_are_found_in_other_units_and_places(app: App) -> None:
    labels = app.viewer.add_labels(np.zeros((150, 200), int), **MICRONS)
    nanometres = app.viewer.add_shapes(
        [BOX * 0.5 + (4, 6)], shape_type="rectangle", scale=(500, 500), translate=(-2000, -3000), units=("nm", "nm")
    )
    own = app.viewer.add_shapes([BOX], shape_type="rectangle", **MICRONS)
    ellipse = app.viewer.add_shapes([BOX], shape_type="ellipse", **MICRONS)
    drawn = regions_reader(nanometres, labels)()
    np.testing.assert_array_equal(drawn, regions_reader(own, labels)())
    assert drawn.any()
    assert regions_reader(ellipse, labels)().sum() == pytest.approx(np.pi / 4 * drawn.sum(), rel=0.02)


def test_what_was_chosen_stays_chosen(app: App) -> None:
    first = app.segment()
    regions = app.draw()
    app.viewer.add_labels(np.zeros_like(first.data), name="later", **MICRONS)
    app.viewer.add_shapes(None, ndim=2, name="later shapes")
    assert app.panel.labels.currentText() == first.name
    assert app.panel.regions.box.currentText() == regions.name
    app.viewer.layers.remove(first)
    assert app.panel.labels.currentText() == "later"


def test_every_field_has_a_tooltip(app: App) -> None:
    fields = app.panel.findChildren((QAbstractSpinBox, QCheckBox, QComboBox, QPushButton))
    assert len(fields) >= 8
    assert all(field.toolTip() for field in fields)
