"""Live mode: the picture follows the mask, whatever edits it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

pytest.importorskip("qtpy.QtWidgets")
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QThreadPool, QTimer

from napari_nucleigan.base.events import run
from napari_nucleigan.synthesis import SynthesisSettings, synthesize
from napari_nucleigan.widgets.base.layers import METADATA_KEY
from napari_nucleigan.widgets.synthesize.dock import SynthesizeWidget

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytestqt.qtbot import QtBot

LONG = 60_000  # milliseconds; the machine may be busy
MICRONS = {"scale": (0.25, 0.25), "units": ("µm", "µm")}


class App:
    """A viewer with a mask, and the widget in live mode."""

    def __init__(self, viewer: Any, qtbot: QtBot, mask: Any) -> None:
        notification_manager.records.clear()
        self.viewer, self.qtbot = viewer, qtbot
        self.mask = viewer.add_labels(mask.copy(), name="mask", **MICRONS)
        self.widget = SynthesizeWidget(viewer)
        viewer.window.add_dock_widget(self.widget, name="Synthesize H&E")
        with qtbot.waitSignal(self.widget.ready, timeout=LONG):
            pass
        with qtbot.waitSignal(self.live.begun, timeout=LONG):
            self.toggle()

    @property
    def live(self) -> Any:
        return self.widget.live

    @property
    def image(self) -> Any:
        return self.viewer.layers["mask H&E"]

    def toggle(self) -> None:
        self.widget.form.live.click()

    def settled(self) -> None:
        self.qtbot.waitUntil(lambda: not self.live.behind, timeout=LONG)

    def whole(self, mask: Any, **values: Any) -> Any:
        return run(synthesize(mask, SynthesisSettings(mpp=0.25, **values))).pixels

    def assert_in_step(self, **values: Any) -> None:
        """Assert that the picture is, to rounding, what painting all of the mask gives."""
        self.settled()
        data = self.mask.data
        difference = np.abs(self.image.data.astype(int) - self.whole(data, **values))
        assert difference.max() <= 1
        np.testing.assert_array_equal(self.widget.picture.labels, data)

    def errors(self) -> list[str]:
        records = notification_manager.records
        return [record.message for record in records if str(record.severity) == "error"]


@pytest.fixture
def mask(tiny_he: Callable) -> Any:
    return tiny_he(150, 200, 40, 7)[1]


@pytest.fixture
def app(make_napari_viewer_proxy: Callable, qtbot: QtBot, painters: Path, mask: Any) -> App:
    return App(make_napari_viewer_proxy(), qtbot, mask)


def erase(layer: Any) -> None:
    layer.paint(np.argwhere(layer.data > 0)[500], 0)


def fill(layer: Any) -> None:
    layer.fill((100, 100), 77)


def move(layer: Any) -> None:
    """Move a nucleus, as other widgets do: by new data."""
    data = layer.data.copy()
    inside = data == data[data > 0][0]
    data[inside] = 0
    data[np.roll(inside, (40, 30), (0, 1))] = 500
    layer.data = data


def set_items(layer: Any) -> None:
    layer.data_setitem((np.array([3, 4, 5]), np.array([7, 7, 7])), 88)


def in_place(layer: Any) -> None:
    layer.data[20:30, 20:30] = 99
    layer.refresh()


@pytest.mark.parametrize("edit", [erase, fill, move, set_items, in_place], ids=lambda edit: edit.__name__)
def test_the_picture_follows_every_edit(app: App, edit: Callable[[Any], None]) -> None:
    app.assert_in_step()
    before = app.image.data.copy()
    with app.qtbot.waitSignal(app.widget.followed, timeout=LONG) as blocker:
        edit(app.mask)
    assert blocker.args[0] < LONG
    assert (app.image.data != before).any()
    app.assert_in_step()
    assert "s after the edit" in app.widget.bar.figures.text()
    assert not app.errors()


def test_a_stroke_undone_and_redone(app: App) -> None:
    app.mask.brush_size = 12
    before = app.image.data.copy()
    with app.mask.block_history():
        for step in range(20):
            app.mask.paint((40 + 3 * step, 50 + 2 * step), 300)
            app.qtbot.wait(5)
    app.assert_in_step()
    stroke = app.image.data.copy()
    assert (stroke != before).any()
    app.mask.undo()
    app.assert_in_step()
    assert np.abs(app.image.data.astype(int) - before).max() <= 1
    app.mask.redo()
    app.assert_in_step()
    assert np.abs(app.image.data.astype(int) - stroke).max() <= 1
    assert len(app.viewer.layers) == 2


def test_only_what_the_edit_touches_is_painted(
    make_napari_viewer_proxy: Callable, qtbot: QtBot, painters: Path
) -> None:
    app = App(make_napari_viewer_proxy(), qtbot, np.zeros((64, 900), int))
    app.image.data[:] = 7  # so that it is seen what is written
    patches: list[Any] = []
    app.live.patched.connect(patches.append)
    with qtbot.waitSignal(app.widget.followed, timeout=LONG):
        app.mask.paint((30, 20), 1)
    app.settled()
    assert patches
    assert (app.image.data[:, 600:] == 7).all()
    assert (app.image.data[:, :40] != 7).any()


def test_edits_are_seen_together_and_the_latest_wins(app: App) -> None:
    patches: list[Any] = []
    app.live.patched.connect(patches.append)
    for step in range(200):
        app.mask.paint((10 + step % 120, 10 + step % 170), 1 + step % 3)
    app.assert_in_step()
    assert 1 <= len(patches) <= 20


def test_edits_during_the_first_picture_are_not_lost(
    make_napari_viewer_proxy: Callable, qtbot: QtBot, painters: Path, mask: Any
) -> None:
    app = App(make_napari_viewer_proxy(), qtbot, mask)
    app.toggle()
    assert app.live.mask is None
    with qtbot.waitSignal(app.live.begun, timeout=LONG):
        app.toggle()
        assert app.live.beginning
        app.mask.paint((100, 100), 5)
    app.assert_in_step()


def test_other_settings_are_followed(app: App) -> None:
    for change, values in (
        (lambda: app.widget.form.seed.setValue(9), {"seed": 9}),
        (lambda: app.widget.form.style_box.choose("breast"), {"seed": 9, "style": "breast"}),
        (lambda: app.widget.form.restain.choose("reference"), {"seed": 9, "style": "breast", "restain": "reference"}),
    ):
        with app.qtbot.waitSignal(app.live.begun, timeout=LONG):
            change()
        np.testing.assert_array_equal(app.image.data, app.whole(app.mask.data, **values))
    known = app.image.metadata[METADATA_KEY]
    assert known["style"] == "breast"
    assert known["settings"]["seed"] == 9
    assert len(app.viewer.layers) == 2


def test_layers_that_come_and_go_do_not_paint_anew(app: App) -> None:
    begun: list[Any] = []
    app.live.begun.connect(begun.append)
    other = app.viewer.add_image(np.zeros((20, 20)), name="other")
    other.name = "renamed"
    app.viewer.layers.remove(other)
    app.qtbot.wait(400)
    assert begun == []
    assert app.live.mask is not None


def test_another_mask_is_followed_when_chosen(app: App, mask: Any) -> None:
    second = app.viewer.add_labels(mask[::-1].copy(), name="second", **MICRONS)
    with app.qtbot.waitSignal(app.live.begun, timeout=LONG):
        app.widget.select_mask(second)
    assert "second H&E" in app.viewer.layers
    with app.qtbot.waitSignal(app.widget.followed, timeout=LONG):
        second.paint((50, 50), 4)
    app.settled()
    before = app.image.data.copy()
    app.mask.paint((50, 50), 4)  # no longer followed
    app.qtbot.wait(200)
    np.testing.assert_array_equal(app.image.data, before)


def test_a_mask_of_another_size(app: App, mask: Any) -> None:
    with app.qtbot.waitSignal(app.live.begun, timeout=LONG):
        app.mask.data = mask[:100, :120].copy()
    assert app.image.data.shape == (100, 120, 3)
    with app.qtbot.waitSignal(app.widget.followed, timeout=LONG):
        app.mask.paint((50, 50), 4)
    app.assert_in_step()
    assert len(app.viewer.layers) == 2


def test_a_mask_that_becomes_a_stack_is_said(app: App) -> None:
    with app.qtbot.waitSignal(app.widget.failed, timeout=LONG):
        app.mask.data = np.zeros((3, 40, 40), int)
    assert "label image" in app.errors()[0]
    assert app.live.mask is None
    assert not app.widget.form.live.isChecked()


@pytest.mark.parametrize("name", ["mask", "mask H&E"])
def test_a_layer_that_is_removed_ends_it(app: App, name: str) -> None:
    app.mask.paint((50, 50), 4)  # with a patch on its way
    app.viewer.layers.remove(app.viewer.layers[name])
    assert app.live.mask is None
    assert not app.widget.form.live.isChecked()
    assert "removed: live mode is off" in app.widget.bar.notes.text()
    assert QThreadPool.globalInstance().waitForDone(LONG)
    app.qtbot.wait(50)
    assert len(app.viewer.layers) == 1
    assert not app.errors()


def test_switched_off_nothing_follows(app: App) -> None:
    app.toggle()
    before = app.image.data.copy()
    app.mask.paint((50, 50), 4)
    app.qtbot.wait(200)
    np.testing.assert_array_equal(app.image.data, before)
    assert app.widget.bar.run_button.isEnabled()
    assert app.widget.picture.labels[50, 50] != 4  # the pair is what the picture shows


def test_run_waits_while_it_is_on(app: App) -> None:
    assert not app.widget.bar.run_button.isEnabled()
    assert "Live mode" in app.widget.bar.run_button.toolTip()
    assert not app.widget.bar.cancel_button.isEnabled()


def test_a_model_that_vanishes_ends_it(app: App, painters: Path) -> None:
    (painters / "paint.safetensors").unlink()
    with app.qtbot.waitSignal(app.widget.followed, timeout=LONG):
        app.mask.paint((50, 50), 4)  # what is loaded goes on
    with app.qtbot.waitSignal(app.widget.failed, timeout=LONG):
        app.widget.form.seed.setValue(5)
    assert app.live.mask is None
    assert not app.widget.form.live.isChecked()


def test_a_scale_that_is_resampled(make_napari_viewer_proxy: Callable, qtbot: QtBot, painters: Path, mask: Any) -> None:
    viewer = make_napari_viewer_proxy()
    app = App(viewer, qtbot, mask)
    with qtbot.waitSignal(app.live.begun, timeout=LONG):
        app.widget.form.mpp.setValue(0.4)
    with qtbot.waitSignal(app.widget.followed, timeout=LONG):
        app.mask.paint((50, 50), 4)
    app.settled()
    expected = run(synthesize(app.mask.data, SynthesisSettings(mpp=0.4))).pixels
    assert np.abs(app.image.data.astype(int) - expected).max() <= 2
    np.testing.assert_array_equal(app.widget.picture.labels, app.mask.data)


def test_shapes_are_followed(make_napari_viewer_proxy: Callable, qtbot: QtBot, painters: Path) -> None:
    viewer = make_napari_viewer_proxy()
    shapes = viewer.add_shapes([np.array([[10, 10], [40, 15], [20, 50.0]])], shape_type="polygon", name="mask")
    widget = SynthesizeWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Synthesize H&E")
    with qtbot.waitSignal(widget.ready, timeout=LONG):
        pass
    with qtbot.waitSignal(widget.live.begun, timeout=LONG):
        widget.form.live.click()
    with qtbot.waitSignal(widget.followed, timeout=LONG):
        shapes.add_polygons(np.array([[40, 20], [60, 25], [50, 45.0]]))
    qtbot.waitUntil(lambda: not widget.live.behind, timeout=LONG)
    assert set(np.unique(widget.picture.labels)) == {0, 1, 2}
    with qtbot.waitSignal(widget.live.begun, timeout=LONG):
        shapes.add_polygons(np.array([[70, 20], [90, 25], [80, 45.0]]))  # beyond the canvas: it grows
    assert widget.picture.image.data.shape == (128, 64, 3)


def test_the_viewer_is_not_blocked(app: App) -> None:
    ticks: list[float] = []
    timer = QTimer()
    timer.timeout.connect(lambda: ticks.append(time.perf_counter()))
    timer.start(5)
    for step in range(30):
        app.mask.paint((20 + 4 * step, 20 + 4 * step), 6)
        app.qtbot.wait(10)
    app.settled()
    timer.stop()
    # What matters is measured by benchmarks/bench_live.py; here, that nobody waits for the network.
    assert np.median(np.diff(ticks)) < 0.1
    assert len(ticks) > 30
