"""Training beside napari: the viewer's worst tick, the throughput, and the live plots.

``NUCLEIGAN_BENCH_SECONDS`` shortens the two minutes of each part; figures for the record need them whole, and a machine
with nothing else to do.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from _table import Row, Skip, shared
from napari_nucleigan.base.devices import usable_cores
from napari_nucleigan.data.datasets.dataset import Dataset
from napari_nucleigan.data.images.files import write_image, write_labels

HERE = Path(__file__).resolve().parent
SECONDS = float(os.environ.get("NUCLEIGAN_BENCH_SECONDS", "120"))
TILES = ("TCGA-HE-7129-01Z-00-DX1", "TCGA-A7-A13E-01Z-00-DX1")  # of the training split
POINTS = 100_000


def measure() -> list[Row]:
    rows = _plots()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = _data(folder / "data")
        for part in (_ticks, _throughput):
            try:
                rows += part(data, folder)
            except Skip as reason:
                rows.append(Row(part.__name__[1:], None, note=f"skipped: {reason}"))
    return rows


def _ticks(data: Path, folder: Path) -> list[Row]:
    rows = []
    for mode, title, bars in (
        ("none", "no training", ("", "")),
        ("process", "training in the widget's process", ("<= 60", "<= 23")),
        ("thread", "training in a thread instead", ("", "")),
    ):
        found = _window(mode, SECONDS, data, folder)
        where = f"{SECONDS:g} s of panning and zooming, {usable_cores()} cores"
        own = f"{1000 * found['own']:.0f} ms of the viewer's own work at most"
        rows.append(
            Row(f"worst tick, {title}", 1000 * found["worst"], "ms", bars[0], f"a timer of 20 ms; {own}; {where}")
        )
        rows.append(Row(f"mean tick, {title}", 1000 * found["mean"], "ms", bars[1], where))
    return rows


def _throughput(data: Path, folder: Path) -> list[Row]:
    ours, theirs = [], []
    # Each in turn, so that a machine that gets slower slows both.
    for turn in range(2):
        theirs.append(_terminal(SECONDS, data, folder / f"terminal{turn}"))
        ours.append(_known(_window("still", SECONDS, data, folder / f"turn{turn}")["rate"]))
    note = f"{max(ours):.3g} and {max(theirs):.3g} steps/s, the better of two turns of {SECONDS:g} s each"
    return [Row("throughput in the widget over the terminal's", max(ours) / max(theirs), "", ">= 0.95", note)]


def _data(folder: Path) -> Path:
    """Two tiles of the training split, or the bundled sample."""
    try:
        source = Dataset.open(shared("data/kumar"))
        pairs = [source.pair(name) for name in TILES]
    except Skip:
        from napari_nucleigan.data.images.samples import synthetic_he

        pairs = [synthetic_he()[:2]] * 2
    for number, (image, labels) in enumerate(pairs):
        write_image(folder / "images" / f"{number}.tif", image.pixels, 0.25)
        write_labels(folder / "labels" / f"{number}.tif", labels, 0.25)
    return folder


def _window(mode: str, seconds: float, data: Path, folder: Path) -> dict[str, float]:
    folder.mkdir(parents=True, exist_ok=True)
    line = [sys.executable, str(HERE / "_train_window.py"), mode, str(seconds), str(data), str(folder)]
    done = subprocess.run([*_display(), *line], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Skip(f"no window: {(done.stderr.strip().splitlines() or ['?'])[-1]}")
    found: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def _display() -> list[str]:
    """Return what gives a machine without a display a virtual one."""
    virtual = sys.platform.startswith("linux") and not os.environ.get("DISPLAY")
    return [str(HERE.parent / "scripts" / "xvfb.sh")] if virtual else []


def _terminal(seconds: float, data: Path, run: Path) -> float:
    """Train the same from a terminal; return the steps a second."""
    from _train_window import RECIPE, rate_of
    from napari_nucleigan.training.runs.run_folder import RunFolder

    sets = [part for key, value in RECIPE.items() if key != "name" for part in ("--set", f"{key}={json.dumps(value)}")]
    line = [sys.executable, "-m", "napari_nucleigan", "train", "segmenter", str(data), "--run", str(run), *sets]
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        folder, begin = RunFolder(run), time.monotonic()
        while not any(getattr(event, "step", 0) >= 20 for event in folder.events()):
            if process.poll() is not None or time.monotonic() - begin > 300:
                raise Skip("the training from the terminal did not begin")
            time.sleep(0.2)
        time.sleep(seconds)
        return _known(rate_of(folder))
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def _known(rate: float) -> float:
    if not rate:
        raise Skip("too few steps were made; raise NUCLEIGAN_BENCH_SECONDS")
    return rate


def _plots() -> list[Row]:
    line = [sys.executable, "-c", "import json, bench_train; print(json.dumps(bench_train.time_plots()))"]
    done = subprocess.run([*_display(), *line], capture_output=True, text=True, check=False, cwd=HERE)
    if done.returncode:
        return [Row("live plots", None, note=f"skipped: {(done.stderr.strip().splitlines() or ['?'])[-1]}")]
    return [Row(*row) for row in json.loads(done.stdout.strip().splitlines()[-1])]


def time_plots() -> list[tuple[str, float, str, str, str]]:
    """Time an update of the live plots, drawing included; in a process of its own, which has a display."""
    from qtpy.QtWidgets import QApplication

    from napari_nucleigan.base.events import Losses
    from napari_nucleigan.widgets.train.plots import LivePlots
    from napari_nucleigan.widgets.train.series import Series

    app = QApplication([])
    random = np.random.default_rng(0)

    def series(count: int, names: str) -> Series:
        made, values = Series(), random.random((count, len(names)))
        made.feed(Losses(n, dict(zip(names, row, strict=True)), 1e-3, 1.0) for n, row in enumerate(values.tolist()))
        return made

    plots = LivePlots()
    plots.resize(400, 600)
    plots.show()
    rows = []
    for title, runs in (
        (f"live plots of {POINTS} steps, 4 losses", {"run": series(POINTS, "abcd")}),
        (f"live plots of 10 runs of {POINTS // 10} steps", {str(n): series(POINTS // 10, "abcd") for n in range(10)}),
    ):
        plots.show_runs(runs)
        for _ in range(20):
            app.processEvents()
        times = []
        last = max(one.last_step for one in runs.values())
        for step in range(last + 1, last + 31):
            for one in runs.values():
                one.feed([Losses(step, dict.fromkeys("abcd", 0.5), 1e-3, 1.0)])
            begin = time.perf_counter()
            plots.refresh()
            for chart in plots.charts:
                chart.viewport().repaint()
            times.append(1000 * (time.perf_counter() - begin))
            app.processEvents()
        note = f"one step more, drawn: median of 30; worst {max(times):.0f} ms"
        rows.append((title, float(np.median(times)), "ms", "<= 30", note))
    return rows
