"""A napari window whose user pans and zooms while a network trains; run by ``bench_train``.

``python _train_window.py MODE SECONDS DATA FOLDER`` prints one line of JSON. MODE is where training happens:
``process`` (by the Train widget), ``thread`` (in this process, as others do it), or ``none``; ``still`` is ``process``
with a user who only looks on.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QEventLoop, QObject, Qt, QTimer

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.viewer import Viewer

TICK_MS = 20
MOVE_MS = 50
LONGEST_S = 300
RECIPE = {
    "name": "compact-segmenter",
    "batch": 2,
    "epochs_constant": 100_000,
    "validate_every": 100_000,
    "checkpoint_every": 100_000,
    "validation": 0.0,
}


class Hands(QObject):
    """Pans and zooms, and measures how late the events of a timer come."""

    def __init__(self, viewer: Viewer, moving: bool) -> None:
        super().__init__()
        self.gaps: list[float] = []
        self.own: list[float] = []
        self._camera, self._phase = viewer.scene.camera, 0.0
        self._centre = np.array(self._camera.center, float)
        self._zoom = self._camera.zoom
        self._tick = QTimer(self, interval=TICK_MS, timerType=Qt.TimerType.PreciseTimer)
        self._tick.timeout.connect(self._ticked)
        self._move = QTimer(self, interval=MOVE_MS)
        self._move.timeout.connect(self._moved)
        self._last, self._used = time.perf_counter(), time.thread_time()
        self._tick.start()
        if moving:
            self._move.start()

    def stop(self) -> None:
        self._tick.stop()
        self._move.stop()

    def _ticked(self) -> None:
        now, used = time.perf_counter(), time.thread_time()
        self.gaps.append(now - self._last)
        self.own.append(used - self._used)
        self._last, self._used = now, used

    def _moved(self) -> None:
        self._phase += 0.05
        offset = 0.0, 300 * np.sin(self._phase), 300 * np.cos(0.7 * self._phase)
        self._camera.center = self._centre + np.array(offset)
        self._camera.zoom = self._zoom * (1.5 + np.sin(0.3 * self._phase))


def main(mode: str, seconds: float, data: Path, folder: Path) -> None:
    import napari

    from napari_nucleigan.data.datasets.dataset import Dataset
    from napari_nucleigan.training.runs.run_folder import RunFolder
    from napari_nucleigan.widgets.train.dock import TrainWidget

    os.environ["NUCLEIGAN_RUNS"] = str(folder / mode)
    os.environ["NUCLEIGAN_CONFIG"] = str(folder / "config")
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1400, 900)
    dataset = Dataset.open(data)
    tile = dataset.image(dataset.names[0]).pixels
    viewer.add_image(np.tile(tile, (4, 4, 1)), name="slide")
    widget = TrainWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Train a model")
    ready: list[int] = []
    widget.ready.connect(lambda: ready.append(1))
    wait_for(lambda: bool(ready))
    runner: Any = None
    if mode in ("process", "still"):
        train_beside(widget, data, folder)
    elif mode == "thread":
        runner = train_within(data, folder / mode / "run")
    settle(3)
    hands = Hands(viewer, moving=mode != "still")
    settle(seconds)
    hands.stop()
    # What the viewer itself has computed meanwhile tells of it even where other programs take the cores.
    answer = {"worst": max(hands.gaps), "mean": float(np.mean(hands.gaps)), "own": max(hands.own)}
    if widget.panel.path is not None:
        answer["rate"] = rate_of(RunFolder(widget.panel.path))
        path = widget.panel.path
        widget.act(path, "kill")
        wait_for(lambda: not widget.panel.status.state.alive)
    if runner is not None:
        runner.cancel()
    print(json.dumps(answer), flush=True)
    # A thread that trains ends only after its step; nothing of it is needed any more.
    os._exit(0)


def train_beside(widget: Any, data: Path, folder: Path) -> None:
    """Start a run as a user does, and wait for its first losses."""
    recipe = folder / "endless.json"
    recipe.write_text(json.dumps(RECIPE))
    form = widget.form
    form.data.source.setCurrentIndex(1)
    form.data.folder.field.line.setText(str(data))
    form.set_recipe(recipe)
    wait_for(lambda: not widget.problem())
    widget.bar.run_button.click()
    wait_for(lambda: widget.panel.status is not None and (widget.panel.status.step or 0) >= 20)


def train_within(data: Path, run: Path) -> Any:
    """Train in a thread of this process."""
    from napari_nucleigan.base.events import Losses
    from napari_nucleigan.training import read_recipe, train_segmenter
    from napari_nucleigan.widgets.base.jobs import Runner

    runner = Runner()
    told: list[Any] = []
    runner.noted.connect(told.append)
    runner.failed.connect(lambda error: sys.exit(str(error)))
    runner.start(train_segmenter(data, read_recipe("compact-segmenter", RECIPE), run, device="cpu"), "training")
    wait_for(lambda: any(isinstance(event, Losses) and event.step >= 20 for event in told))
    return runner


def rate_of(run: Any) -> float:
    """Return the steps a second of a run, after the first twenty; 0 where there are too few."""
    from napari_nucleigan.training.runs.run_folder import EventLogReader

    tail, told = EventLogReader(run), []
    while part := tail.read():
        told += [each for each in part if hasattr(each.event, "lr") and each.event.step >= 20]
    if len(told) < 2:
        return 0.0
    return (told[-1].event.step - told[0].event.step) / (told[-1].time - told[0].time)


def settle(seconds: float) -> None:
    loop = QEventLoop()
    QTimer.singleShot(round(1000 * seconds), loop.quit)
    loop.exec()


def wait_for(condition: Callable[[], bool]) -> None:
    begin = time.monotonic()
    while not condition():
        settle(0.05)
        if time.monotonic() - begin > LONGEST_S:
            sys.exit("nothing happened within five minutes")


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4]))
