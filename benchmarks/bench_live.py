"""Live mode in a real viewer: how long after a stroke its picture is there, and how long the viewer stands still.

Needs a display; without one: ``scripts/xvfb.sh python benchmarks/run.py --only live``.
"""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from _table import Row, Skip
from napari_nucleigan.devices import usable_cores
from napari_nucleigan.masks.polygons import preset, sample

if TYPE_CHECKING:
    from collections.abc import Callable

MODEL = os.environ.get("NUCLEIGAN_BENCH_SYNTHESIZER", "")
SIDE = 512
STROKES = 12
STEPS = 10
PAUSE_MS = 16  # between two steps of a stroke: a mouse reports so often
LONGEST_S = 120


def measure() -> list[Row]:
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise Skip("it needs a display; run it by scripts/xvfb.sh")
    import napari

    viewer = napari.Viewer(show=True)
    try:
        return _measure(viewer)
    finally:
        viewer.close()


def _measure(viewer: Any) -> list[Row]:
    from napari_nucleigan.widgets.synthesize import SynthesizeWidget

    labels = sample(preset("breast"), (SIDE, SIDE), 0.25, seed=4)
    mask = viewer.add_labels(labels, scale=(0.25, 0.25), units=("um", "um"))
    widget = SynthesizeWidget(viewer)
    viewer.window.add_dock_widget(widget)
    _wait(lambda: widget.form.device.count() > 2 or not widget.problem().startswith("Looking"))
    if MODEL:
        widget.add_model_file(MODEL)
    if problem := widget.problem():
        raise Skip(problem)
    viewer.reset_view()
    widget.form.live.click()
    _wait(lambda: widget.live.mask is not None and not widget.live.beginning)
    mask.brush_size = 16
    _settle(500)
    still = _Ticks()
    _settle(1000)
    still.stop()
    ticks, waits, spent = _Ticks(), [], []
    for stroke in range(STROKES):
        label = int(labels.max()) + 1 + stroke
        at = np.random.default_rng(stroke).integers(60, SIDE - 60, 2)
        with mask.block_history():
            for step in range(STEPS):
                mask.paint(at + 2 * step, label)
                _settle(PAUSE_MS)
        # The last part of the stroke: what the user waits for.
        mask.paint(at + 2 * STEPS, label)
        ended, before = time.perf_counter(), time.process_time()
        _wait(lambda: not widget.live.behind)
        waits.append(time.perf_counter() - ended)
        spent.append(time.process_time() - before)
        assert (widget.picture.labels == mask.data).all()
        _settle(100)
    ticks.stop()
    note = f"{SIDE}x{SIDE}, {STROKES} strokes, {usable_cores()} cores, {widget.form.model.currentText()}"
    return [
        Row("live: from the end of a stroke to its picture, median", float(np.median(waits)), "s", "<= 0.3", note),
        Row("live: from the end of a stroke to its picture, worst", max(waits), "s", "", note),
        Row("live: from the end of a stroke to its picture, best", min(waits), "s", "", note),
        Row(
            "live: processor time of that, median",
            float(np.median(spent)),
            "s",
            "",
            "of all threads; tells more where busy",
        ),
        Row("live: worst standstill of the viewer", ticks.worst(), "s", "<= 0.1", "between ticks of a 5 ms timer"),
        Row("live: 95 % of standstills", ticks.usual(), "s", "", "while strokes are painted and followed"),
        Row("the viewer alone: worst standstill", still.worst(), "s", "", "the same, with nothing to do"),
    ]


class _Ticks:
    """Notes when a timer of 5 ms is heard."""

    def __init__(self) -> None:
        from qtpy.QtCore import Qt, QTimer

        self._times: list[float] = []
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(lambda: self._times.append(time.perf_counter()))
        self._timer.start(5)

    def stop(self) -> None:
        self._timer.stop()

    def worst(self) -> float:
        return float(np.diff(self._times).max())

    def usual(self) -> float:
        return float(np.quantile(np.diff(self._times), 0.95))


def _wait(condition: Callable[[], bool]) -> None:
    from qtpy.QtWidgets import QApplication

    begun = time.monotonic()
    while not condition():
        QApplication.processEvents()
        time.sleep(0.001)
        if time.monotonic() - begun > LONGEST_S:
            raise TimeoutError("the widget did not get there")


def _settle(milliseconds: int) -> None:
    from qtpy.QtCore import QEventLoop, QTimer

    loop = QEventLoop()
    QTimer.singleShot(milliseconds, loop.quit)
    loop.exec()
