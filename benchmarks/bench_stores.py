"""Stores of a slide's nuclei, and filters on them: time and memory for a million nuclei, beside the segmentation.

The nuclei are records of tiles on disk, as a finished slide leaves them. Each format is written by a process of its
own, whose figures are less what it took to take the records over.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from _table import Row
from napari_nucleigan.base.events import run
from napari_nucleigan.segmentation.filter_files import filter_results
from napari_nucleigan.segmentation.formats import USUAL, write_slide_results
from napari_nucleigan.segmentation.instances import Instances
from napari_nucleigan.segmentation.settings import NucleiFilter
from napari_nucleigan.segmentation.slides.assembly import Assembly, TileStore
from napari_nucleigan.segmentation.slides.nuclei import SlideNuclei
from napari_nucleigan.tiling import plan_tiles
from napari_nucleigan.widgets.segment.jobs import filter_slide

NUCLEI = int(os.environ.get("NUCLEI", "1_000_000"))
MPP = 0.25
CORE, PITCH = 2048, 28  # pixels of a tile, and from nucleus to nucleus
COLUMNS, VECTOR = 60, 32  # measurements, and values of an embedding
CLASSES = np.array(["epithelial", "inflammatory", "fibroblast", "other"])
FORMATS = tuple(os.environ.get("FORMATS", ".ome.zarr .csv .geojson.gz .parquet .h5ad .spatialdata.zarr").split())
_EACH = (CORE // PITCH) ** 2


def _tile(number: int, top: int, left: int, masks: tuple[np.ndarray, ...]) -> Instances:
    random = np.random.default_rng(number)
    rows, columns = np.divmod(np.arange(_EACH), CORE // PITCH)
    corners = np.stack([top + rows * PITCH + 2, left + columns * PITCH + 2], axis=1)
    centres = corners + 11.5
    features: dict[str, Any] = {"area_px": np.array([int(mask.sum()) for mask in masks])}
    for axis, place in zip("yx", centres.T, strict=True):
        features[f"centroid_{axis}_px"] = place
        features[f"centroid_{axis}_um"] = place * MPP
    for column in range(COLUMNS - 5):
        features[f"measurement_{column}"] = random.normal(size=_EACH)
    features["class"] = CLASSES[random.integers(0, 4, _EACH)]
    features["class_probability"] = random.random(_EACH)
    features["confidence"] = random.random(_EACH)
    features["embedding"] = random.normal(size=(_EACH, VECTOR)).astype(np.float32)
    return Instances(corners, masks, features)


def _masks() -> tuple[np.ndarray, ...]:
    random = np.random.default_rng(0)
    y, x = np.mgrid[:24, :24] - 11.5
    found = []
    for _ in range(_EACH):
        radii, angle = random.uniform(7, 11.5, 2), random.uniform(0, np.pi)
        along, across = y * np.cos(angle) + x * np.sin(angle), x * np.cos(angle) - y * np.sin(angle)
        found.append((along / radii[0]) ** 2 + (across / radii[1]) ** 2 < 1)
    return tuple(found)


def _side() -> int:
    """Tiles along each side of the slide."""
    return int(np.ceil(np.sqrt(NUCLEI / _EACH)))


def _fill(folder: Path) -> None:
    store, masks = TileStore(folder), _masks()
    tiles = plan_tiles((CORE * _side(),) * 2, CORE, 128, 32)
    for number, tile in enumerate(tiles):
        store.put(number, _tile(number, tile.core.top, tile.core.left, masks))


def _write(folder: Path, target: Path) -> None:
    """Take the records over, write one format, and print seconds, seconds of the processor, and MiB."""
    store, length = TileStore(folder), CORE * _side()
    tiles = plan_tiles((length,) * 2, CORE, 128, 32)
    assembly = Assembly(tiles, store.get)
    for number in range(len(tiles)):
        record = store.get(number)
        assert record is not None
        assembly.add(number, record)
    # A slide of one grey level stands for the picture, whose reading is not what is measured.
    overview = np.full((512, 512, 3), 220, np.uint8)
    slide = SimpleNamespace(
        name="slide", shape=(length, length), planes=(overview,), region=lambda box, _: overview[box[0] : box[1]]
    )
    view = SimpleNamespace(slide=slide, shape=(length, length), factors=(1.0, 1.0))
    found = SlideNuclei(
        view,
        assembly,
        MPP,
        {"model": "bench", "mpp": MPP, "classes": {str(name): [9 * place] * 3 for place, name in enumerate(CLASSES)}},
    )  # type: ignore[arg-type]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in write_slide_results([target], found):
        pass
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    size = sum(path.stat().st_size for path in [target, *target.rglob("*")] if path.is_file())
    print(time.perf_counter() - wall, time.process_time() - cpu, before / 1024, peak / 1024, size / 2**20, found.count)


def _filter(result: Path, out: Path) -> None:
    """Move a filter as the viewer does, the first time and again, then write all files with what it leaves."""
    labels = result / "x.ome.zarr"
    begun = time.perf_counter()
    view = run(filter_slide(labels, NucleiFilter(min_confidence=0.5), None, ()))
    first, begun = time.perf_counter() - begun, time.perf_counter()
    view = run(filter_slide(labels, NucleiFilter(min_confidence=0.6), view.table, ()))
    again, begun, cpu = time.perf_counter() - begun, time.perf_counter(), time.process_time()
    (done,) = run(filter_results([labels], out, NucleiFilter(min_confidence=0.5)))
    wall, cpu = time.perf_counter() - begun, time.process_time() - cpu
    print(first, again, wall, cpu, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, done.nuclei)


def _apart(*arguments: object) -> list[float]:
    """Run this file in a process of its own, and return the numbers that it prints."""
    done = subprocess.run([sys.executable, __file__, *map(str, arguments)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    return [float(word) for word in done.stdout.split()]


def measure() -> list[Row]:
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for inner in ("usual", "stores"):
            (folder / inner).mkdir()
        _fill(folder / "tiles")
        for suffix in FORMATS:
            where = folder / ("usual" if suffix in USUAL else "stores")
            wall, cpu, before, peak, size, count = _apart("write", folder / "tiles", where / f"x{suffix}")
            bar = "<= 60" if suffix in (".parquet", ".h5ad", ".spatialdata.zarr") else ""
            note = f"{count:.0f} nuclei, {COLUMNS} measurements, {VECTOR} values each; {cpu:.0f} s of processor time"
            rows += [
                Row(f"write {suffix}", wall, "s", bar, f"{note}; {size:.0f} MiB"),
                Row(f"its peak memory, {suffix}", peak, "MiB", "<= 2048", f"{before:.0f} MiB before"),
            ]
            print(rows[-2:], file=sys.stderr, flush=True)
        if {".ome.zarr", ".csv"} <= set(FORMATS):
            first, again, wall, cpu, peak, left = _apart("filter", folder / "usual", folder / "filtered")
            names = ", ".join(suffix for suffix in FORMATS if suffix in USUAL)
            note = f"{names}: {left:.0f} nuclei; {cpu:.0f} s of processor time"
            rows += [
                Row("move a filter on a slide's result", first, "s", "", f"{count:.0f} nuclei; the table is read"),
                Row("move it again", again, "s", "<= 0.3", "what is in view is drawn again by napari"),
                Row(
                    "write the filtered result",
                    wall,
                    "s",
                    "",
                    f"{names}: {left:.0f} nuclei; {cpu:.0f} s of processor time",
                ),
                Row("its peak memory", peak, "MiB", "<= 2048", ""),
            ]
    return rows


if __name__ == "__main__":
    {"write": _write, "filter": _filter}[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]))
