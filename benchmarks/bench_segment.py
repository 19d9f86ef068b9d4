"""Segmenting a 1000x1000 tile: time, memory, agreement between tile sizes, and StarDist beside it.

StarDist needs TensorFlow, hence an environment of its own::

    python -m venv .venv-stardist
    .venv-stardist/bin/pip install stardist tensorflow-cpu

``NUCLEIGAN_STARDIST`` names its Python where it lies elsewhere. Its network has the published
configuration for H&E and random weights, so nothing is downloaded. Its second step, which turns
predictions into nuclei, gets those of the 800 true nuclei of the reference pair.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from _table import Row, Skip, Timing, shared, timed
from napari_nucleigan.base.devices import usable_cores
from napari_nucleigan.base.errors import ModelError
from napari_nucleigan.base.events import run
from napari_nucleigan.data.images.files import HEImage, read_image
from napari_nucleigan.models import Model, load_model
from napari_nucleigan.segmentation import SegmentSettings, refilter, segment

HERE = Path(__file__).resolve().parent
TILE = "TCGA-HE-7129-01Z-00-DX1"  # of the training split; crowded
MODEL = os.environ.get("NUCLEIGAN_BENCH_MODEL", "nucleigan-he")


def measure() -> list[Row]:
    model = _model()
    image = _image()
    rows = [*_startup(), _memory(image)]
    best = SegmentSettings(device="cpu")
    found = run(segment(image, best, model))
    what = f"{image.name}, {found.labels.max()} nuclei, {found.provenance['precision']}, {usable_cores()} threads"
    time = timed(lambda: run(segment(image, best, model)), repeats=7)
    rows.append(time.row("segment 1000x1000, model loaded", "<= 1.0", what))
    exact = SegmentSettings(device="cpu", precision="float32")
    slow = timed(lambda: run(segment(image, exact, model)), repeats=5)
    rows.append(slow.row("segment 1000x1000 in float32", note=image.name))
    moved = timed(lambda: refilter(found, SegmentSettings(threshold=0.45)), repeats=7)
    rows.append(moved.row("move the threshold", "<= 0.25", image.name))
    rows += _agreement(image, model)
    rows += _stardist(time)
    return rows


def overlap_f1(first: np.ndarray, second: np.ndarray, least: float) -> float:
    """F1 of nuclei that match with an intersection over union of at least `least`."""
    inside = (first > 0) & (second > 0)
    base = int(second.max()) + 1
    keys, common = np.unique(first[inside].astype(np.int64) * base + second[inside], return_counts=True)
    one, other = np.bincount(first.ravel()), np.bincount(second.ravel())
    hits = (common / (one[keys // base] + other[keys % base] - common) >= least).sum()
    return float(2 * hits / (first.max() + second.max()))


def _model() -> Model:
    try:
        return load_model(MODEL, "segmenter")
    except ModelError as error:
        raise Skip(str(error)) from error


def _image() -> HEImage:
    try:
        path = shared(f"data/kumar/images/{TILE}.png")
    except Skip:
        path = HERE.parent / "src/napari_nucleigan/_sample_data/synthetic_he.png"
    image = replace(read_image(path), mpp=0.25)
    pixels = np.pad(image.pixels, [(0, max(0, 1000 - length)) for length in image.pixels.shape[:2]] + [(0, 0)], "wrap")
    return replace(image, pixels=np.ascontiguousarray(pixels[:1000, :1000]))


def _fresh(code: str, python: str | Path = sys.executable) -> dict[str, float]:
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True, cwd=HERE)
    values: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return values


def _startup() -> list[Row]:
    code = (
        "import time, sys, json; t = time.perf_counter(); import napari_nucleigan;"
        "print(json.dumps({'s': time.perf_counter() - t, 'torch': 'torch' in sys.modules}))"
    )
    found = [_fresh(code) for _ in range(5)]
    with_torch = "with torch" if any(one["torch"] for one in found) else "without torch"
    command = Path(sys.executable).with_name("nucleigan")
    shown = timed(lambda: subprocess.run([command, "--help"], capture_output=True, check=True), repeats=5)
    return [
        Row("import napari_nucleigan", min(one["s"] for one in found), "s", "<= 0.1", with_torch),
        Row("nucleigan --help", shown.wall, "s", note="a process of its own"),
    ]


def _memory(image: HEImage) -> Row:
    code = (
        "import json, resource, sys\n"
        "from pathlib import Path\n"
        "from bench_segment import MODEL, _image\n"
        "from napari_nucleigan import SegmentSettings, load_model, run, segment\n"
        "run(segment(_image(), SegmentSettings(device='cpu'), load_model(MODEL)))\n"
        "status = Path('/proc/self/status')\n"
        "if status.exists():\n"  # what getrusage says there, a process inherits from the one that started it
        "    lines = dict(line.split(':', 1) for line in status.read_text().splitlines())\n"
        "    mib = int(lines['VmHWM'].split()[0]) / 2**10\n"
        "else:\n"
        "    unit = 2**20 if sys.platform == 'darwin' else 2**10\n"
        "    mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit\n"
        "print(json.dumps({'mib': mib}))\n"
    )
    peak = _fresh(code)["mib"]
    return Row("peak memory of 1000x1000", peak, "MiB", "<= 1024", "resident, a process of its own")


def _agreement(image: HEImage, model: Model) -> list[Row]:
    """Tiles against one pass, on a mosaic of four mirror images, so that there are many borders."""
    flipped = np.concatenate([image.pixels, image.pixels[:, ::-1]], axis=1)
    large = replace(image, pixels=np.concatenate([flipped, flipped[::-1]]), name="2000x2000")
    one = run(segment(large, SegmentSettings(device="cpu", tile=4096), model)).labels
    rows = []
    for tile in (256, 512, 1024):
        many = run(segment(large, SegmentSettings(device="cpu", tile=tile), model)).labels
        score = overlap_f1(one, many, 0.9)
        note = f"F1 at IoU 0.9; {one.max()} nuclei in one pass, {many.max()} in tiles"
        rows.append(Row(f"tiles of {tile} against one pass", score, "", ">= 0.995", note))
    return rows


def _stardist(ours: Timing) -> list[Row]:
    beside = HERE.parent / ".venv-stardist/bin/python"
    python = Path(os.environ.get("NUCLEIGAN_STARDIST", beside))
    if not python.is_file():
        return [Row("StarDist 1000x1000", None, "s", note="skipped: no environment, see bench_segment.py")]
    command = [python, HERE / "peer_stardist.py", shared("reference/metrics_pair.npz")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return [Row("StarDist 1000x1000", None, "s", note=f"failed: {done.stderr.strip().splitlines()[-1]}")]
    theirs = json.loads(done.stdout.strip().splitlines()[-1])
    total = theirs["network"] + theirs["nuclei"]
    note = f"network {theirs['network']:.3g} s, {theirs['count']} nuclei {theirs['nuclei']:.3g} s"
    return [
        Row("StarDist 1000x1000", total, "s", note=f"{note}; TensorFlow {theirs['tensorflow']}"),
        Row("StarDist's time over ours", total / ours.wall, "", ">= 1", "the same run, the same cores"),
    ]
