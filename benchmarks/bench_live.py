"""Live mode in a real viewer: how long after a stroke its picture is there, and how long the viewer stands still.

Needs a display; without one: ``scripts/xvfb.sh python benchmarks/run.py --only live``.
"""

from __future__ import annotations

import os
import time
from typing import Any

import numpy as np

from _table import Row, Skip
from _window import Ticks, need_display, settle, wait
from napari_nucleigan.base.devices import usable_cores
from napari_nucleigan.masks.polygons import preset, sample

MODEL = os.environ.get("NUCLEIGAN_BENCH_SYNTHESIZER", "")
SIDE = 512
STROKES = 12
STEPS = 10
PAUSE_MS = 16  # between two steps of a stroke: a mouse reports so often


def measure() -> list[Row]:
    need_display()
    import napari

    viewer = napari.Viewer(show=True)
    try:
        return _measure(viewer)
    finally:
        viewer.close()


def _measure(viewer: Any) -> list[Row]:
    from napari_nucleigan.widgets.synthesize.dock import SynthesizeWidget

    labels = sample(preset("breast"), (SIDE, SIDE), 0.25, seed=4)
    mask = viewer.add_labels(labels, scale=(0.25, 0.25), units=("um", "um"))
    widget = SynthesizeWidget(viewer)
    viewer.window.add_dock_widget(widget)
    wait(lambda: widget.form.device.count() > 2 or not widget.problem().startswith("Looking"))
    if MODEL:
        widget.add_model_file(MODEL)
    if problem := widget.problem():
        raise Skip(problem)
    viewer.reset_view()
    widget.form.live.click()
    wait(lambda: widget.live.mask is not None and not widget.live.beginning)
    mask.brush_size = 16
    settle(500)
    still = Ticks()
    settle(1000)
    still.stop()
    ticks, waits, spent = Ticks(), [], []
    for stroke in range(STROKES):
        label = int(labels.max()) + 1 + stroke
        at = np.random.default_rng(stroke).integers(60, SIDE - 60, 2)
        with mask.block_history():
            for step in range(STEPS):
                mask.paint(at + 2 * step, label)
                settle(PAUSE_MS)
        # The last part of the stroke: what the user waits for.
        mask.paint(at + 2 * STEPS, label)
        ended, before = time.perf_counter(), time.process_time()
        wait(lambda: not widget.live.behind)
        waits.append(time.perf_counter() - ended)
        spent.append(time.process_time() - before)
        assert (widget.picture.labels == mask.data).all()
        settle(100)
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
