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
import traceback
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QEventLoop, QObject, Qt, QTimer

from napari_nucleigan.base.errors import NucleiganError

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.viewer import Viewer

    from napari_nucleigan.training.runs.processes import RunProcess

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


def main(mode: str, seconds: float, data: Path, folder: Path, runs: list[RunProcess]) -> None:
    """Measure; what runs in a process of its own is added to `runs`."""
    import napari

    from napari_nucleigan.data.datasets.dataset import Dataset
    from napari_nucleigan.training.runs.processes import RunProcess
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
    if mode in ("process", "still"):
        widget.started.connect(lambda path: runs.append(RunProcess(path)))
        train_beside(widget, data, folder)
    elif mode == "thread":
        runner = train_within(data, folder / mode / "run")  # noqa: F841 - it trains as long as it is held
    settle(3)
    hands = Hands(viewer, moving=mode != "still")
    settle(seconds)
    hands.stop()
    # What the viewer itself has computed meanwhile tells of it even where other programs take the cores.
    answer = {"worst": max(hands.gaps), "mean": float(np.mean(hands.gaps)), "own": max(hands.own)}
    if runs:
        answer["rate"] = rate_of(runs[0].run)
    print(json.dumps(answer), flush=True)


def train_beside(widget: Any, data: Path, folder: Path) -> None:
    """Start a run as a user does, and wait for its first losses."""
    recipe = folder / "endless.json"
    recipe.write_text(json.dumps(RECIPE))
    widget.learn_from(data)
    widget.form.set_recipe(recipe)
    wait_for(lambda: not widget.new.problem())
    widget.new.bar.run_button.click()
    wait_for(lambda: widget.panel.status is not None and (widget.panel.status.step or 0) >= 20)


def train_within(data: Path, run: Path) -> Any:
    """Train in a thread of this process."""
    from napari_nucleigan.base.events import Losses
    from napari_nucleigan.training import read_recipe, train_segmenter
    from napari_nucleigan.widgets.base.jobs import Runner

    runner = Runner()
    told: list[Any] = []
    runner.noted.connect(told.append)
    runner.failed.connect(told.append)
    runner.start(train_segmenter(data, read_recipe("compact-segmenter", RECIPE), run, device="cpu"), "training")
    wait_for(
        lambda: any(isinstance(each, Exception) or (isinstance(each, Losses) and each.step >= 20) for each in told)
    )
    if isinstance(told[-1], Exception):
        sys.exit(str(told[-1]))
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
    code, begun = 1, []
    try:
        main(sys.argv[1], float(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4]), begun)
        code = 0
    except SystemExit as reason:
        print(reason, file=sys.stderr, flush=True)
    except Exception:
        traceback.print_exc()
    finally:
        for run in begun:
            with suppress(NucleiganError):
                run.kill()
        # Threads of the viewer, and one that trains, would be waited for; nothing of them is needed any more.
        os._exit(code)
