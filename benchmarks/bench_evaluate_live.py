"""The Evaluate widget in a real viewer: how long after a stroke figures and picture are there.

Needs a display; without one: ``scripts/xvfb.sh python benchmarks/run.py --only evaluate_live``.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from _table import Row, shared
from _window import Ticks, need_display, settle, wait
from napari_nucleigan.base.devices import usable_cores

STROKES = 15
STEPS = 10
PAUSE_MS = 16  # between two steps of a stroke: a mouse reports so often
MICRONS = {"scale": (0.25, 0.25), "units": ("um", "um")}


def measure() -> list[Row]:
    need_display()
    with np.load(shared("reference/metrics_pair.npz")) as arrays:
        truth, pred = arrays["gt"].astype(np.int32), arrays["pred"].astype(np.int32)
    import napari

    viewer = napari.Viewer(show=True)
    try:
        return _measure(viewer, truth, pred)
    finally:
        viewer.close()


def _measure(viewer: Any, truth: Any, pred: Any) -> list[Row]:
    from napari_nucleigan.widgets.evaluate.dock import EvaluateWidget

    viewer.window.resize(1400, 900)
    layers = viewer.add_labels(truth, name="truth", **MICRONS), viewer.add_labels(pred, name="found", **MICRONS)
    widget = EvaluateWidget(viewer)
    viewer.window.add_dock_widget(widget)
    page = widget.layers
    viewer.reset_view()
    begun = time.perf_counter()
    page.bar.run_button.click()
    wait(lambda: page.comparison is not None and not page.live.behind)
    first = time.perf_counter() - begun
    page.form.live.click()
    alone, _, _ = _paint(page, layers, 0)
    page.form.live.click()
    ticks, waits, spent = _paint(page, layers, STROKES)
    assert (page.comparison.inspection.truth == layers[0].data).all()
    assert (page.comparison.inspection.pred == layers[1].data).all()
    counts = page.comparison.inspection.scores
    note = f"{truth.shape[0]}x{truth.shape[1]}, {counts.n_truth} true nuclei, {STROKES} strokes, {usable_cores()} cores"
    name = "evaluate live: from the end of a stroke to its figures and picture"
    return [
        Row(f"{name}, median", float(np.median(waits)), "s", "<= 0.3", note),
        Row(f"{name}, worst", max(waits), "s", "", note),
        Row(f"{name}, best", min(waits), "s", "", note),
        Row(
            "evaluate live: processor time of that, median",
            float(np.median(spent)),
            "s",
            "",
            "of all threads, with the drawing of the canvas; tells more where busy",
        ),
        Row("evaluate: the first comparison", first, "s", "", "from the click on Compare, with the layers made"),
        Row("evaluate live: worst standstill of the viewer", ticks.worst(), "s", "", "between ticks of a 5 ms timer"),
        Row("evaluate live: 95 % of standstills", ticks.usual(), "s", "", "while strokes are painted and followed"),
        Row("the viewer without live mode: worst standstill", alone.worst(), "s", "", "the same strokes, not followed"),
    ]


def _paint(page: Any, layers: Any, first: int) -> tuple[Ticks, list[float], list[float]]:
    """Paint strokes; seconds until each is followed, on the clock and of the processor."""
    settle(500)
    ticks, waits, spent = Ticks(), [], []
    for stroke in range(first, first + STROKES):
        layer = layers[stroke % 2]
        layer.brush_size = 14
        at = np.random.default_rng(stroke).integers(60, 900, 2)
        with layer.block_history():
            for step in range(STEPS):
                layer.paint(at + 3 * step, 10_000 + stroke)
                settle(PAUSE_MS)
        # The last part of the stroke: what the user waits for.
        layer.paint(at + 3 * STEPS, 10_000 + stroke)
        ended, before = time.perf_counter(), time.process_time()
        wait(lambda: not page.live.behind)
        settle(0)  # the canvas is drawn, too
        waits.append(time.perf_counter() - ended)
        spent.append(time.process_time() - before)
        settle(100)
    ticks.stop()
    return ticks, waits, spent
