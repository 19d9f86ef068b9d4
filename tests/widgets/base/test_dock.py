"""What every dock does when it is opened, themed, closed, and closed in the middle of its work, in a real viewer."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest

pytest.importorskip("qtpy.QtWidgets", reason="no Qt binding is installed")
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt, QThreadPool
from qtpy.QtWidgets import QApplication, QPushButton, QWidget

from napari_nucleigan.base.events import Progress
from napari_nucleigan.data.images.files import write_image, write_labels
from napari_nucleigan.masks.polygons import preset, sample
from napari_nucleigan.training.recipes import SegmenterRecipe
from napari_nucleigan.training.runs import processes
from napari_nucleigan.training.runs.processes import RunProcess, reap, start
from napari_nucleigan.training.runs.run_library import list_runs
from napari_nucleigan.training.runs.status import RunState, state_of
from napari_nucleigan.widgets.base.run_bar import Figures, RunBar, figures
from napari_nucleigan.widgets.batch.dock import BatchWidget
from napari_nucleigan.widgets.evaluate.dock import EvaluateWidget
from napari_nucleigan.widgets.masks.dock import MasksWidget
from napari_nucleigan.widgets.measure.dock import MeasureWidget
from napari_nucleigan.widgets.segment.dock import SegmentWidget
from napari_nucleigan.widgets.synthesize.dock import SynthesizeWidget
from napari_nucleigan.widgets.train.dock import TrainWidget

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pytestqt.qtbot import QtBot

LONG = 90_000  # milliseconds; the machine may be busy
MICRONS = {"scale": (0.25, 0.25), "units": ("µm", "µm")}
ROUNDS = 50


class Case:
    """A dock, what it is occupied with, and what must be gone when it is closed."""

    widget: ClassVar[type]
    title: ClassVar[str]
    threads = 1
    """How many more may be left, of napari or a pool."""
    windows = 1
    """How many more top-level widgets may be left."""

    def __init__(self, viewer: Any, qtbot: QtBot, folder: Path, tiny_he: Callable) -> None:
        self.viewer, self.qtbot, self.folder, self.tiny_he = viewer, qtbot, folder, tiny_he
        self.prepare()

    def prepare(self) -> None:
        """Make what the dock works on."""

    def accompany(self) -> None:
        """Start what works beside the dock."""

    def open(self) -> Any:
        made = self.widget(self.viewer)
        self.viewer.window.add_dock_widget(made, name=self.title)
        return made

    def ready(self, widget: Any) -> None:
        if widget.form.model.count() == 0:
            with self.qtbot.waitSignal(widget.ready, timeout=LONG):
                pass

    def click(self, button: QPushButton) -> None:
        self.qtbot.mouseClick(button, Qt.MouseButton.LeftButton)

    def bar(self, widget: Any) -> Any:
        return widget.bar

    def arrange(self, number: int) -> None:
        """Change what there is before the dock is opened."""

    def occupy(self, widget: Any, number: int) -> None:
        """Give the dock something to do, not the same each time."""
        if number % 10 == 0:
            self.begin(widget)

    def begin(self, widget: Any) -> None:
        """Start work that takes longer than the test waits."""

    def working(self, widget: Any) -> bool:
        """Whether the work has come so far that it is in the middle."""
        return True

    def stopped(self, widget: Any) -> None:
        """Check a dock that was just closed."""
        assert not widget.running

    def left(self) -> Any:
        """Tell what must be the same before and after."""
        return [layer.name for layer in self.viewer.layers]

    def end(self) -> None:
        """Check what has become of the work."""


class Segment(Case):
    widget, title = SegmentWidget, "Segment nuclei"

    def prepare(self) -> None:
        self.viewer.add_image(np.tile(self.tiny_he(200, 200, 40, 1)[0], (8, 8, 1)), **MICRONS)

    def begin(self, widget: Any) -> None:
        self.ready(widget)
        self.click(widget.bar.run_button)
        assert widget.running

    def working(self, widget: Any) -> bool:
        return widget.bar.progress.maximum() > 0


class Batch(Case):
    widget, title = BatchWidget, "Segment a folder"

    def prepare(self) -> None:
        for seed in range(12):
            write_image(self.folder / "in" / f"{seed}.png", self.tiny_he(300, 300, 60, seed)[0], 0.25)

    def begin(self, widget: Any) -> None:
        self.ready(widget)
        widget.form.images.line.setText(str(self.folder / "in"))
        widget.form.out.line.setText(str(self.folder / "out"))
        widget.form.again.setChecked(True)
        self.qtbot.waitUntil(widget.bar.run_button.isEnabled, timeout=LONG)
        self.click(widget.bar.run_button)
        assert widget.running

    def left(self) -> Any:
        return [layer.name for layer in self.viewer.layers], list((self.folder / "out").glob(".*"))


class Masks(Case):
    widget, title = MasksWidget, "Draw masks"

    def prepare(self) -> None:
        self.layer = self.viewer.add_labels(sample(preset("all"), (80, 80)), **MICRONS)

    def bar(self, widget: Any) -> Any:
        return None

    def begin(self, widget: Any) -> None:
        if widget.sync.shapes is None:
            self.click(widget.edit_form.show_polygons)
        self.click(widget.fill_form.fill_button)
        assert widget.running

    def left(self) -> Any:
        return [layer.name for layer in self.viewer.layers], len(self.layer.events.paint.callbacks)


class Synthesize(Case):
    widget, title = SynthesizeWidget, "Synthesize H&E"

    def prepare(self) -> None:
        self.layer = self.viewer.add_labels(self.tiny_he(64, 64, 8, 7)[1], **MICRONS)

    def occupy(self, widget: Any, number: int) -> None:
        if number % 2:
            self.ready(widget)
            if number % 4 == 1:
                with self.qtbot.waitSignal(widget.live.begun, timeout=LONG):
                    widget.form.live.click()
                self.layer.paint((5 + number // 2, 30), 99)
                assert widget.live.behind
            else:
                widget.form.live.click()  # closed before the first picture
                assert widget.live.beginning

    def begin(self, widget: Any) -> None:
        self.ready(widget)
        widget.select_mask(self.viewer.add_labels(np.tile(self.layer.data, (20, 14)), **MICRONS))
        self.click(widget.bar.run_button)
        assert widget.running

    def working(self, widget: Any) -> bool:
        return widget.bar.progress.maximum() > 0

    def stopped(self, widget: Any) -> None:
        assert not widget.running
        assert widget.live.mask is None

    def left(self) -> Any:
        return {name: len(getattr(self.layer.events, name).callbacks) for name in ("paint", "data", "set_data")}


class Evaluate(Case):
    widget, title = EvaluateWidget, "Evaluate"
    names = ("paint", "labels_update", "data", "set_data", "scale", "affine", "name", "units")

    def prepare(self) -> None:
        truth = self.tiny_he(150, 200, 40, 7)[1]
        self.truth = self.viewer.add_labels(truth.copy(), name="truth", **MICRONS)
        self.pred = self.viewer.add_labels(np.where(truth % 5, truth, 0), name="pred", **MICRONS)

    def bar(self, widget: Any) -> Any:
        return widget.layers.bar

    def occupy(self, widget: Any, number: int) -> None:
        if number % 5 == 0:
            self.begin(widget)
        elif number % 2:
            self.click(widget.layers.bar.run_button)

    def begin(self, widget: Any) -> None:
        with self.qtbot.waitSignal(widget.layers.compared, timeout=LONG):
            self.click(widget.layers.bar.run_button)
        self.pred.paint((5 + int(self.pred.data.max()) % 100, 30), int(self.pred.data.max()) + 1)
        assert widget.layers.live.behind

    def stopped(self, widget: Any) -> None:
        assert not widget.layers.live.behind

    def left(self) -> Any:
        listeners = [
            len(getattr(each.events, name).callbacks) for each in (self.truth, self.pred) for name in self.names
        ]
        return listeners, len(self.viewer.mouse_move_callbacks), list(self.viewer.canvas.overlays)


class Train(Case):
    widget, title = TrainWidget, "Train a model"
    threads = 0
    recipe = SegmenterRecipe(
        generator={"name": "compact-unet", "widths": [8, 8, 16]},
        discriminator_width=4,
        discriminator_layers=1,
        patch=32,
        batch=2,
        crops_per_epoch=20,
        epochs_constant=100_000,
        checkpoint_every=1,
        precision="float32",
    )

    def prepare(self) -> None:
        data = self.folder / "data"
        for seed in range(3):
            rgb, labels = self.tiny_he(96, 96, 20, seed)
            write_image(data / "images" / f"{seed}.png", rgb, 0.25)
            write_labels(data / "labels" / f"{seed}.tif", labels)
        self.path = self.folder / "runs" / "mine"

    def accompany(self) -> None:
        start("segmenter", self.folder / "data", self.recipe, self.path, device="cpu")
        self.qtbot.waitUntil(lambda: state_of(self.path).state is RunState.RUNNING, timeout=LONG)
        with pytest.MonkeyPatch.context() as patch:  # the dock is waited for, not what trains beside it
            patch.setattr(processes, "NICENESS", 10)
            processes._stand_back(state_of(self.path).pid)

    def bar(self, widget: Any) -> Any:
        return widget.new.bar

    def arrange(self, number: int) -> None:
        if number == ROUNDS // 2:
            RunProcess(self.path).kill()

    def occupy(self, widget: Any, number: int) -> None:
        if number % 5 == 0:
            self.begin(widget)
            assert (widget.panel.path is not None) == (number < ROUNDS // 2)
            assert widget.list.status(self.path).state.alive == (number < ROUNDS // 2)

    def begin(self, widget: Any) -> None:
        self.qtbot.waitUntil(lambda: widget.list.status(self.path) is not None, timeout=LONG)

    def stopped(self, widget: Any) -> None:
        assert not widget.watcher.running

    def end(self) -> None:
        assert [status.state.alive for status in list_runs(self.path.parent)] == [False]


class Measure(Case):
    widget, title = MeasureWidget, "Measure nuclei"

    def prepare(self) -> None:
        labels = self.tiny_he(150, 200, 40, 7)[1]
        self.layer = self.viewer.add_labels(labels, name="nuclei", **MICRONS)
        self.viewer.add_labels(
            labels.copy(), name="classes", features={"index": [1, 2], "class": ["a", "b"]}, **MICRONS
        )

    def occupy(self, widget: Any, number: int) -> None:
        if number % 5 == 0:
            with self.qtbot.waitSignal(widget.told, timeout=LONG):
                self.begin(widget)
            widget.select_drawn() if widget.select_button.isEnabled() else widget.click((10, 10))

    def begin(self, widget: Any) -> None:
        self.click(widget.bar.run_button)
        assert widget.running

    def left(self) -> Any:
        listeners = [len(self.layer.events.emitters[name].callbacks) for name in ("paint", "set_data", "features")]
        camera = len(self.viewer.scene.camera.events.callbacks)
        return listeners, camera, len(self.viewer.mouse_drag_callbacks), len(self.viewer.layers)


CASES = [Segment, Batch, Masks, Synthesize, Evaluate, Train, Measure]


@pytest.fixture(params=CASES, ids=lambda case: case.__name__.lower())
def case(
    request: pytest.FixtureRequest,
    make_napari_viewer_proxy: Callable,
    qtbot: QtBot,
    models: Path,
    painters: Path,
    tmp_path: Path,
    tiny_he: Callable,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Case]:
    """A dock, in a viewer with what it works on; what trains is ended with the test."""
    notification_manager.records.clear()
    monkeypatch.setenv("NUCLEIGAN_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")  # threads that wait for each other take minutes on a busy machine
    yield request.param(make_napari_viewer_proxy(), qtbot, tmp_path, tiny_he)
    for status in list_runs(tmp_path / "runs"):
        if status.state.alive:
            RunProcess(status.path).kill()
    reap()


def count_windows() -> int:
    """Count top-level widgets, but the menus in napari's controls of layers: the layers that a dock has made stay."""

    def of_a_layer(widget: Any) -> bool:
        while widget is not None and type(widget).__name__ != "QtLayerControlsContainer":
            widget = widget.parent()
        return widget is not None

    return sum(not of_a_layer(widget) for widget in QApplication.topLevelWidgets())


def test_opened_and_closed_fifty_times_it_leaves_nothing(case: Case, qtbot: QtBot) -> None:
    viewer = case.viewer
    case.accompany()

    def close(widget: Any) -> None:
        viewer.window.remove_dock_widget(widget)
        case.stopped(widget)
        widget.deleteLater()

    def settle() -> None:
        assert QThreadPool.globalInstance().waitForDone(LONG)
        qtbot.wait(600)
        gc.collect()

    widget = case.open()
    case.occupy(widget, 0)  # what napari itself makes once, such as its overlays
    close(widget)
    del widget
    settle()
    before, threads, tops = case.left(), threading.active_count(), count_windows()
    alive: weakref.WeakSet[QWidget] = weakref.WeakSet()
    for number in range(ROUNDS):
        case.arrange(number)
        widget = case.open()
        alive.add(widget)
        case.occupy(widget, number)
        close(widget)
        del widget
        qtbot.wait(1)
    settle()
    assert len(alive) == 0
    assert case.left() == before
    assert threading.active_count() <= threads + case.threads
    assert count_windows() <= tops + case.windows
    case.end()


def test_both_themes(case: Case) -> None:
    widget = case.open()
    bar = case.bar(widget)
    label = widget.mpp_source if bar is None else bar.problem
    colours = set()
    for theme in ("light", "dark"):
        case.viewer.theme = theme
        colours.add(label.styleSheet())
    assert len(colours) == 2


@pytest.mark.parametrize("how", ["viewer closed", "napari quits"])
def test_closed_in_the_middle_of_its_work(case: Case, qtbot: QtBot, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_nucleigan.widgets.base.closing.ask", lambda *_: "keep")
    case.accompany()
    widget = case.open()
    case.begin(widget)
    qtbot.waitUntil(lambda: case.working(widget), timeout=LONG)
    if how == "viewer closed":
        case.viewer.close()
    else:
        QApplication.instance().aboutToQuit.emit()
        case.stopped(widget)
    qtbot.wait(50)
    assert QThreadPool.globalInstance().waitForDone(LONG)
    qtbot.wait(100)
    assert not [record.message for record in notification_manager.records if str(record.severity) == "error"]


def made_figures(nuclei: int, seconds: float, mpp: float) -> Figures:
    return Figures(nuclei, seconds, mpp, "m")


def test_line_of_figures() -> None:
    assert figures([]) == ""
    assert figures([made_figures(1, 0.44, 0.25)]) == "1 nucleus · 0.4 s · 0.25 µm per pixel · m"
    assert figures([made_figures(0, 1, 0.2526)]) == "0 nuclei · 1.0 s · 0.253 µm per pixel · m"
    several = [made_figures(1, 1, 0.5), made_figures(2, 2, 0.25), made_figures(3, 3, 1.0)]
    assert figures([made_figures(5, 75, 0.25)]) == "5 nuclei · 1 min 15 s · 0.25 µm per pixel · m"
    assert figures(several) == "3 images · 6 nuclei · 6.0 s · 0.25 to 1 µm per pixel · m"


def test_states_of_the_run_bar(qtbot: QtBot) -> None:
    bar = RunBar("Do it.")
    qtbot.addWidget(bar)
    bar.set_state(False, "No image.")
    assert (bar.run_button.isEnabled(), bar.run_button.toolTip()) == (False, "No image.")
    bar.set_state(True, "No image.")
    assert bar.problem.text() == ""
    assert bar.cancel_button.isEnabled()
    bar.show_progress(Progress(2, 4, "segmenting", 75), "image 1 of 2: ")
    assert bar.progress.value() == 2
    assert bar.progress.format() == "image 1 of 2: segmenting · 1 min 15 s left"
    bar.set_state(False, "")
    assert (bar.run_button.isEnabled(), bar.run_button.toolTip()) == (True, "Do it.")
    bar.note("once")
    bar.note("once")
    bar.note("twice")
    assert bar.notes.text() == "once\ntwice"
    bar.begin()
    assert bar.notes.text() == ""
