"""The whole story of the paper by mouse: tissue and nuclei, their picture, pairs like it, a model, nuclei, figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("qtpy.QtWidgets", reason="no Qt binding is installed")
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDockWidget, QPushButton

from napari_nucleigan.data.datasets.dataset import Dataset
from napari_nucleigan.training.runs.processes import RunProcess, reap
from napari_nucleigan.training.runs.run_library import list_runs
from napari_nucleigan.training.runs.status import RunState
from napari_nucleigan.widgets.base.canvas import main_window
from napari_nucleigan.widgets.base.dock import Dock
from napari_nucleigan.widgets.masks.panel import TISSUE_TAB

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pytestqt.qtbot import QtBot

LONG = 300_000  # milliseconds; the machine may be busy, and a training stands back behind all else


class User:
    """Somebody who has a mouse, and has read nothing."""

    def __init__(self, window: Any, qtbot: QtBot) -> None:
        self.window, self.qtbot = window, qtbot

    @property
    def docks(self) -> list[Any]:
        """All docks of the plugin, the one that was opened last at the end."""
        widgets = [frame.widget() for frame in self.window.findChildren(QDockWidget)]
        return [widget for widget in widgets if isinstance(widget, Dock)]

    @property
    def dock(self) -> Any:
        """The dock that was opened last."""
        return self.docks[-1]

    def click(self, button: QPushButton) -> None:
        self.qtbot.waitUntil(button.isEnabled, timeout=LONG)
        assert button.isVisibleTo(button.window())
        self.qtbot.mouseClick(button, Qt.MouseButton.LeftButton)

    def click_and_wait(self, button: QPushButton, signal: Any) -> Any:
        with self.qtbot.waitSignal(signal, timeout=LONG) as blocker:
            self.click(button)
        return blocker.args[0]

    def errors(self) -> list[str]:
        return [record.message for record in notification_manager.records if str(record.severity) == "error"]


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


@pytest.mark.timeout(900)
def test_from_a_drawn_mask_to_figures_by_mouse(
    make_napari_viewer_proxy: Callable, qtbot: QtBot, models: Path, tissue_painter: Path, runs: Path
) -> None:
    notification_manager.records.clear()
    viewer = make_napari_viewer_proxy()
    _, draw = viewer.window.add_plugin_dock_widget("napari-nucleigan", "Draw masks")
    user = User(main_window(draw), qtbot)
    assert not draw.next.isVisibleTo(draw)
    draw.canvas_form.height.setValue(160)
    draw.canvas_form.width_.setValue(160)
    user.click(draw.canvas_form.create_button)
    qtbot.waitUntil(lambda: draw.tabs.isTabVisible(TISSUE_TAB), timeout=LONG)
    organ = draw.fill_form.organ
    organ.setCurrentIndex(organ.findText("nucleigan-paint"))
    user.click_and_wait(draw.fill_form.fill_button, draw.done)
    mask, tissue = draw.mask, draw.tissue.map.layer

    user.click(draw.next)
    paint = user.dock
    assert (paint.mask, paint.form.tissue.layer) == (mask, tissue)
    picture = user.click_and_wait(paint.bar.run_button, paint.done)
    # The picture follows the brush on both layers.
    with qtbot.waitSignal(paint.live.begun, timeout=LONG):
        paint.form.live.click()
    for layer, place, label in ((tissue, (5, 5), 1 + tissue.data[5, 5] % 3), (mask, (80, 80), 900)):
        before = picture.image.data.copy()
        with qtbot.waitSignal(paint.followed, timeout=LONG):
            layer.paint(place, label)
        qtbot.waitUntil(lambda: not paint.live.behind, timeout=LONG)
        assert (picture.image.data != before).any()
    paint.form.live.click()
    assert not paint.train_step.isVisibleTo(paint)

    user.click(paint.set_step)
    paint.sets.count.setValue(3)
    paint.sets.side.setValue(64)
    report = user.click_and_wait(paint.sets.bar.run_button, paint.sets.done)
    assert len(Dataset.open(report.out)) == 3
    assert len(list((report.out / "tissue").iterdir())) == 3

    user.click(paint.train_step)
    train = user.dock
    qtbot.waitUntil(lambda: not train.new.problem(), timeout=LONG)
    # What suits a laptop is chosen: the bundled model learns for some minutes at most.
    assert train.form.start.currentText() == "nucleigan-he"
    assert train.form.current.editor("minutes").get() == 5
    assert "5 min of training at most" in train.new.estimate.text()
    train.form.current.editor("minutes").put(0.05)
    ended = user.click_and_wait(train.new.bar.run_button, train.ended)
    assert ended.state is RunState.FINISHED, ended
    assert ended.start
    qtbot.waitUntil(lambda: train.panel.status.state is RunState.FINISHED, timeout=LONG)

    user.click(train.panel.use_button)
    segment = user.dock
    assert segment.form.picker.path == str(ended.model)
    segment.select_image(picture.image)
    (result,) = user.click_and_wait(segment.bar.run_button, segment.done)

    user.click(segment.next)
    evaluate = user.dock
    choices = evaluate.layers.choices
    assert (choices.pred, choices.truth) == (result.labels, mask)
    assert user.click_and_wait(evaluate.layers.bar.run_button, evaluate.layers.compared).inspection.scores.aji >= 0

    # The way back is as open: a dock that is there is filled again.
    user.click(draw.next)
    assert viewer.window.add_plugin_dock_widget("napari-nucleigan", "Synthesize H&E")[1] is paint
    assert len(user.docks) == 5
    assert not user.errors()
