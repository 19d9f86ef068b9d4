"""Jobs in threads: progress, results, errors and cancelling."""

from __future__ import annotations

import gc
import logging
import threading
import time
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("qtpy.QtWidgets")
from qtpy.QtCore import QEvent, QThreadPool, QTimer
from qtpy.QtWidgets import QApplication, QWidget

from napari_nucleigan.base.errors import DeviceError, ImageError, ModelError, NucleiganError
from napari_nucleigan.base.events import Note, Progress
from napari_nucleigan.widgets.base.jobs import Runner, _Guard, once

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytestqt.qtbot import QtBot

    from napari_nucleigan.base.events import Job


@pytest.fixture(autouse=True)
def no_thread_left() -> Iterator[None]:
    yield
    assert QThreadPool.globalInstance().waitForDone(5000)


@pytest.fixture(params=[False, True], ids=["plain", "activity"])
def runner(request: pytest.FixtureRequest, qtbot: QtBot) -> Iterator[Runner]:
    made = Runner(activity=request.param)
    yield made
    made.cancel()
    assert QThreadPool.globalInstance().waitForDone(5000)
    qtbot.wait(10)
    made.deleteLater()


def counting(steps: int, pause: float = 0.0) -> Job[str]:
    for step in range(steps):
        yield Progress(step, steps, f"step {step}")
        time.sleep(pause)
    yield Note("nearly there")
    return "done"


def failing(error: BaseException) -> Job[None]:
    yield Progress(0, 1, "about to fail")
    raise error


def test_reports_progress_notes_and_the_result(runner: Runner, qtbot: QtBot) -> None:
    progress: list[Progress] = []
    notes: list[Note] = []
    runner.progressed.connect(progress.append)
    runner.noted.connect(notes.append)
    with qtbot.waitSignal(runner.finished, timeout=5000) as blocker:
        runner.start(counting(5, 0.1), "counting")
        assert runner.running
    assert blocker.args == ["done"]
    assert not runner.running
    assert notes == [Note("nearly there")]
    assert progress[-1].done == 4
    # 0.1 s a step: the estimate is there, falls, and is of the right size
    left = [event.seconds_left for event in progress if event.seconds_left is not None]
    assert left[-1] < left[0] < 1.0


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (ModelError("The model is gone; choose another."), ModelError, "choose another"),
        (RuntimeError("broken"), NucleiganError, "RuntimeError: broken"),
        (RuntimeError("CUDA out of memory. Tried to allocate"), DeviceError, "choose the CPU"),
        (MemoryError(), ImageError, "the current view as the region"),
        (TypeError("odd"), NucleiganError, "TypeError: odd"),
        (KeyboardInterrupt(), NucleiganError, "KeyboardInterrupt"),
    ],
)
def test_no_error_is_swallowed(
    runner: Runner,
    qtbot: QtBot,
    caplog: pytest.LogCaptureFixture,
    error: BaseException,
    kind: type,
    words: str,
) -> None:
    caplog.set_level(logging.CRITICAL, "napari_nucleigan")
    with qtbot.waitSignal(runner.failed, timeout=5000) as blocker:
        runner.start(failing(error), "counting")
    assert type(blocker.args[0]) is kind
    assert words in str(blocker.args[0])
    assert not runner.running


def test_cancel_frees_the_widget_at_once_and_closes_the_job(runner: Runner, qtbot: QtBot) -> None:
    closed = threading.Event()

    def slow() -> Job[None]:
        try:
            yield Progress(0, 1, "slow")
            time.sleep(1.0)
            yield Progress(1, 1, "slow")
        finally:
            closed.set()

    results: list[object] = []
    runner.finished.connect(results.append)
    with qtbot.waitSignal(runner.progressed, timeout=5000):
        runner.start(slow(), "sleeping")
    begin = time.monotonic()
    with qtbot.waitSignal(runner.stopped, timeout=1000):
        runner.cancel()
    assert time.monotonic() - begin < 0.5
    assert not runner.running
    assert closed.wait(5)
    qtbot.wait(100)
    assert results == []


def test_a_new_job_takes_the_place_of_a_running_one(runner: Runner, qtbot: QtBot) -> None:
    results: list[object] = []
    runner.finished.connect(results.append)
    runner.start(counting(100, 0.05), "long")
    with qtbot.waitSignal(runner.finished, timeout=5000):
        runner.start(once(lambda: "short"), "short")
    qtbot.wait(100)
    assert results == ["short"]


def test_napari_can_cancel(qtbot: QtBot) -> None:
    runner = Runner(activity=True)
    with qtbot.waitSignal(runner.progressed, timeout=5000):
        runner.start(counting(1000, 0.02), "counting")
    with qtbot.waitSignal(runner.stopped, timeout=1000):
        runner._task.worker.quit()  # what napari calls when its window closes
    with qtbot.waitSignal(runner.progressed, timeout=5000):
        runner.start(counting(1000, 0.02), "counting")
    with qtbot.waitSignal(runner.stopped, timeout=1000):
        runner._bar.cancel()  # the button in the activity dock


def test_activity_dock_shows_the_job(qtbot: QtBot) -> None:
    from napari.utils import progress

    runner = Runner(activity=True)
    with qtbot.waitSignal(runner.progressed, timeout=5000):
        runner.start(counting(40, 0.02), "counting")
    assert [bar.total for bar in progress._all_instances] == [40]
    with qtbot.waitSignal(runner.finished, timeout=5000):
        pass
    assert not progress._all_instances


def test_deleting_the_widget_stops_the_job(qtbot: QtBot) -> None:
    closed = threading.Event()

    def endless() -> Job[None]:
        try:
            while True:
                yield Progress(0, 0, "endless")
                time.sleep(0.01)
        finally:
            closed.set()

    widget = QWidget()
    runner = Runner(widget)
    with qtbot.waitSignal(runner.progressed, timeout=5000):
        runner.start(endless(), "running for ever")
    widget.deleteLater()
    assert closed.wait(0) is False
    qtbot.waitUntil(closed.is_set, timeout=5000)


def test_widgets_may_be_destroyed_and_collected_in_any_order(qtbot: QtBot) -> None:
    # once a crash: the slot of `destroyed` had been torn down by the garbage collector
    gc.collect()
    gc.freeze()  # so that collecting takes no time
    for round_ in range(500):
        widget = QWidget()
        widget.runner = Runner(widget)
        widget.runner.cycle = widget
        widget.deleteLater()
        del widget
        if round_ % 7 == 0:
            gc.collect()
        if round_ % 3 == 0:
            QApplication.processEvents()
        QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    gc.collect()
    gc.unfreeze()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    assert not _Guard._alive


def test_a_job_that_must_not_wait_does_not(qtbot: QtBot) -> None:
    pool, free = QThreadPool.globalInstance(), threading.Event()
    for _ in range(pool.maxThreadCount()):
        pool.start(free.wait)
    try:
        runner = Runner(apart=True)
        with qtbot.waitSignal(runner.finished, timeout=5000) as blocker:
            runner.start(once(lambda: "done"), "hurrying")
        assert blocker.args == ["done"]
    finally:
        free.set()
    runner.deleteLater()


def test_what_takes_long_to_show_leaves_the_viewer_free_between(qtbot: QtBot) -> None:
    def noting() -> Job[None]:
        for step in range(3):
            yield Note(f"step {step}")

    seen: list[str] = []

    def show(note: Note) -> None:
        seen.append(note.text)
        QTimer.singleShot(0, lambda: seen.append("free"))

    runner = Runner(budget=0.0, poll_ms=1)
    runner.noted.connect(show)
    with qtbot.waitSignal(runner.finished, timeout=5000):
        runner.start(noting(), "noting")
    assert seen == ["step 0", "free", "step 1", "free", "step 2", "free"]
