"""The Evaluate widget's live mode: figures and picture follow the layers, whatever edits them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

pytest.importorskip("qtpy.QtWidgets")
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt, QThreadPool, QTimer

from napari_nucleigan.base.events import run
from napari_nucleigan.data.images.files import write_labels
from napari_nucleigan.evaluation.processes import FilePair
from napari_nucleigan.metrics import inspect
from napari_nucleigan.widgets.evaluate.dock import EvaluateWidget
from napari_nucleigan.widgets.evaluate.jobs import read_pair

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytestqt.qtbot import QtBot

LONG = 60_000  # milliseconds; the machine may be busy
MICRONS = {"scale": (0.25, 0.25), "units": ("µm", "µm")}


class App:
    """A viewer with two layers that are compared, live."""

    def __init__(self, viewer: Any, qtbot: QtBot, truth: Any) -> None:
        notification_manager.records.clear()
        self.viewer, self.qtbot = viewer, qtbot
        self.truth = viewer.add_labels(truth.copy(), name="truth", **MICRONS)
        self.pred = viewer.add_labels(np.roll(truth, 2, axis=0), name="pred", **MICRONS)
        self.widget = EvaluateWidget(viewer)
        viewer.window.add_dock_widget(self.widget, name="Evaluate")
        with qtbot.waitSignal(self.page.compared, timeout=LONG):
            qtbot.mouseClick(self.page.bar.run_button, Qt.MouseButton.LeftButton)
        self.settled()

    @property
    def page(self) -> Any:
        return self.widget.layers

    def settled(self) -> None:
        self.qtbot.waitUntil(lambda: not self.page.live.behind, timeout=LONG)

    def assert_in_step(self) -> None:
        """Assert that all that is shown is of the layers as they are."""
        self.settled()
        expected = inspect(self.truth.data, self.pred.data, mpp=0.25)
        found = self.page.comparison.inspection
        assert found.scores == expected.scores
        np.testing.assert_array_equal(found.picture, expected.picture)
        assert self.page.table.value("aji") == f"{expected.scores.aji:.3f}"
        layer = self.viewer.layers["Overlay: pred against truth"]
        assert len(np.unique(layer.data[layer.data > 0])) == len(expected.nuclei)
        np.testing.assert_array_equal(layer.data > 0, expected.picture > 0)
        np.testing.assert_array_equal(self.viewer.layers["Overlay: outlines of truth"].data > 0, expected.contours > 0)
        assert f"■ missed {expected.counts['missed']}" in self.page.canvas.text


@pytest.fixture
def truth(tiny_he: Callable) -> Any:
    return tiny_he(150, 200, 40, 7)[1]


@pytest.fixture
def app(make_napari_viewer_proxy: Callable, qtbot: QtBot, truth: Any) -> App:
    return App(make_napari_viewer_proxy(), qtbot, truth)


def test_every_kind_of_edit_is_followed(app: App, truth: Any) -> None:
    app.assert_in_step()
    label = int(truth.max()) + 1
    for layer in (app.pred, app.truth):
        layer.brush_size = 12
        layer.paint((40, 50), label)
        app.assert_in_step()
        layer.undo()
        app.assert_in_step()
        layer.redo()
        app.assert_in_step()
        layer.fill((40, 50), 0)
        app.assert_in_step()
        layer.data_setitem(tuple(np.nonzero(truth == 3)), 0)
        app.assert_in_step()
        layer.data[60:70, 60:70] = label + 1
        layer.refresh()
        app.assert_in_step()
        layer.data = np.roll(truth, 1, axis=1)
        app.assert_in_step()
        layer.data[:] = 0
        layer.refresh()
        app.assert_in_step()


def test_a_stroke_is_followed_while_it_goes_on(app: App) -> None:
    seconds: list[float] = []
    app.page.followed.connect(seconds.append)
    app.pred.brush_size = 8
    with app.pred.block_history():
        for step in range(30):
            app.pred.paint((20 + 3 * step, 30 + 2 * step), 99)
            app.qtbot.wait(5)
    app.assert_in_step()
    assert seconds
    app.pred.undo()
    app.assert_in_step()


def test_what_is_not_an_edit_costs_no_comparison(app: App) -> None:
    shown: list[Any] = []
    app.page.compared.connect(shown.append)
    app.pred.refresh()
    app.pred.opacity = 0.5
    app.pred.contour = 1
    app.viewer.reset_view()
    app.viewer.layers.move(0, 1)
    app.settled()
    app.qtbot.wait(100)
    assert shown == []


def test_off_and_on(app: App) -> None:
    before = app.page.comparison
    app.page.form.live.click()
    app.pred.paint((40, 50), 99)
    app.qtbot.wait(100)
    assert not app.page.live.behind
    assert app.page.comparison is before
    app.page.form.live.click()
    app.assert_in_step()
    assert app.page.comparison is not before


def test_nothing_is_followed_before_it_is_asked_for(
    make_napari_viewer_proxy: Callable, qtbot: QtBot, truth: Any
) -> None:
    viewer = make_napari_viewer_proxy()
    layers = [viewer.add_labels(truth.copy(), name=name) for name in ("truth", "pred")]
    widget = EvaluateWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Evaluate")
    for _ in range(2):
        widget.layers.form.live.click()
        layers[1].paint((40, 50), 99)
        qtbot.wait(100)
    assert not widget.layers.live.behind
    assert [layer.name for layer in viewer.layers] == ["truth", "pred"]


def test_layers_that_are_moved(app: App, truth: Any) -> None:
    app.pred.translate = (2.5, 0)
    app.settled()
    found = app.page.comparison.inspection
    assert found.scores.aji == pytest.approx(inspect(truth[10:], app.pred.data[:-10]).scores.aji)
    assert "Compared where both lie" in app.page.bar.notes.text()
    # out of sight of each other, and back
    app.pred.translate = (1e5, 0)
    app.qtbot.waitUntil(lambda: app.page.comparison is None, timeout=LONG)
    assert "no place in common" in app.page.bar.problem.text()
    assert app.page.table.value("aji") == "-"
    assert [layer.name for layer in app.viewer.layers] == ["truth", "pred"]
    app.pred.translate = (0, 0)
    app.qtbot.waitUntil(lambda: app.page.comparison is not None, timeout=LONG)
    app.assert_in_step()
    assert app.page.bar.problem.text() == ""
    assert app.page.bar.notes.text() == ""
    # the figures are the same, but not for the same reason
    app.pred.scale, app.pred.units = (1, 1), ("pixel", "pixel")
    app.settled()
    assert "has no units" in app.page.bar.notes.text()


def test_other_shapes_and_other_kinds_of_data(app: App, truth: Any) -> None:
    app.pred.data = truth[:100].astype(np.uint8)
    app.settled()
    found = app.page.comparison.inspection
    assert found.picture.shape == (100, 200)
    assert app.viewer.layers["Overlay: pred against truth"].data.shape == (100, 200)
    assert app.page.form.look.currentData() == "outcome"
    app.pred.data = truth
    app.assert_in_step()
    app.pred.data = np.stack([truth, truth])
    app.qtbot.waitUntil(lambda: app.page.comparison is None, timeout=LONG)
    assert "3 dimensions" in app.page.bar.problem.text()


def test_the_viewer_stays_free(make_napari_viewer_proxy: Callable, qtbot: QtBot, truth: Any) -> None:
    """Ticks of a timer come while a large comparison is made."""
    app = App(make_napari_viewer_proxy(), qtbot, np.tile(truth, (10, 8)))
    ticks: list[bool] = []
    timer = QTimer()
    timer.timeout.connect(lambda: ticks.append(app.page.live.behind))
    timer.start(5)
    app.pred.paint((40, 50), 9999)
    app.settled()
    timer.stop()
    assert sum(ticks) > 3


def test_closed_while_following(app: App) -> None:
    app.pred.paint((40, 50), 99)
    assert app.page.live.behind
    app.viewer.window.remove_dock_widget(app.widget)
    assert not app.page.live.behind
    assert app.page.live.layers == ()
    app.pred.paint((60, 50), 99)
    assert QThreadPool.globalInstance().waitForDone(LONG)
    app.qtbot.wait(100)
    assert not [r for r in notification_manager.records if str(r.severity) == "error"]


def test_an_opened_pair_shows_what_was_compared(tmp_path: Path) -> None:
    labels = np.arange(1, 65, dtype=np.int32).reshape(8, 8)
    known = np.zeros((8, 8), np.int32)
    known[:, :4] = 1
    for folder, part in (("labels", labels), ("pred", labels + 100), ("regions", known)):
        write_labels(tmp_path / folder / "a.tif", part)
    pair = FilePair(
        "a", tmp_path / "labels" / "a.tif", tmp_path / "pred" / "a.tif", known=tmp_path / "regions" / "a.tif"
    )
    truth, pred = (np.asarray(layer[0]) for layer in run(read_pair(pair)))
    np.testing.assert_array_equal(truth, np.where(known, labels, 0))
    np.testing.assert_array_equal(pred, np.where(known, labels + 100, 0))
