"""Evaluation of a folder: time of the real command on 100 tiles of 1000x1000 with 800 nuclei each."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from _table import Row, shared, timed
from napari_nucleigan.base.devices import usable_cores
from napari_nucleigan.base.events import run
from napari_nucleigan.data.images.files import write_labels
from napari_nucleigan.evaluation import Bootstrap, Group, ImageScores, evaluate_folders

TILES = 100
AJI = 0.6376327430724197
ORGANS = ("breast", "colon", "kidney", "liver")


def measure() -> list[Row]:
    note = f"{TILES} tiles of 1000x1000, 800 nuclei each"
    with tempfile.TemporaryDirectory() as folder:
        pred, truth = write_tiles(Path(folder))
        line = [sys.executable, "-m", "napari_nucleigan", "evaluate", str(pred), str(truth), "--by", "organ", "--json"]
        start = time.perf_counter()
        done = subprocess.run(line, capture_output=True, text=True, check=True)
        command = time.perf_counter() - start
        found = json.loads(done.stdout)["mean"]
        if found["images"] != TILES or abs(found["aji"] - AJI) > 1e-9:
            raise ValueError(f"the command found {found}")
        start = time.perf_counter()
        report = run(evaluate_folders(pred, truth, workers=0))
        alone = time.perf_counter() - start
        stop = cancel(pred, truth)
    draws = timed(lambda: intervals(report.images), repeats=3)
    return [
        Row("nucleigan evaluate --by organ", command, "s", "<= 20", f"{note}; the command, {usable_cores()} cores"),
        Row("evaluate_folders in one process", alone, "s", note=note),
        Row("evaluate_folders cancelled", stop, "s", "<= 1", "until its processes have ended"),
        draws.row("bootstrap intervals", note=f"means and pooled figures of {TILES} images, 2000 draws"),
    ]


def cancel(pred: Path, truth: Path) -> float:
    """Seconds from the request to cancel to the end, with two processes at work."""
    job = evaluate_folders(pred, truth, workers=2)
    while getattr(next(job), "done", 0) < 4:
        pass
    start = time.perf_counter()
    job.close()
    return time.perf_counter() - start


def intervals(images: tuple[ImageScores, ...]) -> None:
    group = Group("overall", images, Bootstrap())
    assert group.mean_intervals["aji"] is not None
    assert group.pooled_intervals["aji"] is not None


def write_tiles(folder: Path) -> tuple[Path, Path]:
    """Write the reference pair, turned and mirrored, as a data set and predictions."""
    with np.load(shared("reference/metrics_pair.npz")) as arrays:
        images = {"truth/labels": arrays["gt"].astype(np.int32), "pred": arrays["pred"].astype(np.int32)}
    rows = ["name,organ,split"]
    for place in range(TILES):
        for part, labels in images.items():
            turned = np.rot90(labels, place % 4)
            turned = turned[::-1] if place % 8 > 3 else turned
            write_labels(folder / part / f"tile{place:03}.tif", np.ascontiguousarray(turned))
        rows.append(f"tile{place:03},{ORGANS[place % len(ORGANS)]},test")
    (folder / "truth" / "split.csv").write_text("\n".join(rows) + "\n")
    return folder / "pred", folder / "truth"
