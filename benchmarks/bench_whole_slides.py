"""Whole slides: time, memory, outputs, seams, two workers of a cluster, and a slide of 100 000 x 80 000 pixels.

``python benchmarks/bench_whole_slides.py FOLDER [--part NAME ...] [--sides SIDE ...] [--write]`` measures what FOLDER
does not hold yet. What is finished is kept there, and a slide that is broken off goes on from its last tile by the same
command; ``--write`` puts all that is known into docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from _mosaics import write_mosaic
from _seams import seams
from _slide_rows import machines, rows_of
from _slide_run import segmented
from _table import Row, machine, markdown, print_table
from _tiles import MODEL
from napari_nucleigan.segmentation.formats import FORMATS, USUAL

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SIDES = (10_000, 20_000, 40_000)
LARGEST = (100_000, 80_000)
TISSUE = 4e8
"""Pixels of tissue of a slide at most."""

_HERE = Path(__file__).parent

FIRST = """
import json, sys, time
begun = time.perf_counter()
import numpy as np
from napari_nucleigan.data.slides import open_slide
with open_slide(sys.argv[1]) as slide:
    shape = np.asarray(slide.levels[-1]).shape
print(json.dumps({"seconds": time.perf_counter() - begun, "cpu": time.process_time(), "shape": shape}))
"""

CLUSTER = """
import json, sys, time
from distributed import LocalCluster
from napari_nucleigan.base.events import Progress, run
from napari_nucleigan.segmentation import SegmentSettings
from napari_nucleigan.segmentation.slides import segment_slide
if __name__ == "__main__":
    slide, out, workers, model, tile = sys.argv[1:]
    settings = SegmentSettings(model=model, tile=int(tile), tta=1)
    with LocalCluster(n_workers=int(workers), threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        told = []
        def hear(event):
            if isinstance(event, Progress) and event.what == "segmenting tiles":
                told.append((time.perf_counter(), event.done))
        run(segment_slide(slide, out, settings, scheduler=cluster.scheduler_address), hear)
        # From when all workers hold the model, to when one has nothing more to do.
        begun = next(place for place in told if place[1] >= min(16, told[-1][1] // 4))
        ended = next(place for place in told if place[1] >= told[-1][1] - int(workers))
        print(json.dumps({"rate": (ended[1] - begun[1]) / (ended[0] - begun[0])}))
"""


class Folder:
    """What was measured, as lines of JSON, and the slides, which are made when they are asked for.

    Parameters
    ----------
    path : Path
        The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        self._file = path / "whole_slides.jsonl"

    def records(self, part: str = "") -> list[dict[str, Any]]:
        """Return what is known, of all parts or of one."""
        lines = self._file.read_text().splitlines() if self._file.exists() else []
        found = [json.loads(line) for line in lines if line.endswith("}")]
        return [record for record in found if part in ("", record["part"])]

    def keep(self, part: str, key: str, **found: Any) -> None:
        """Keep what was found."""
        with self._file.open("a") as file:
            file.write(json.dumps({"part": part, "key": key, "machine": machine(), **found}) + "\n")

    def lacks(self, part: str, key: str) -> bool:
        """Tell whether something is still to be measured, and say so."""
        missing = not any(record["key"] == key for record in self.records(part))
        print(f"{part} {key} {'...' if missing else 'is known'}", file=sys.stderr, flush=True)
        return missing

    def slide(self, shape: tuple[int, int], tissue: float) -> tuple[Path, float]:
        """Return a mosaic and its megapixels of tissue."""
        path = self.path / f"{shape[0]}x{shape[1]}-{tissue:.2f}.tif"
        said = path.with_suffix(".json")
        if not said.exists():
            area = write_mosaic(path, shape, tissue)
            said.write_text(json.dumps(area))
        return path, float(json.loads(said.read_text()))


def slides(folder: Folder, options: argparse.Namespace) -> None:
    """Segment slides of several sizes; of the smallest all formats are written."""
    for side in options.sides:
        key = str(side)
        if folder.lacks("slides", key):
            path, area = folder.slide((side, side), min(1.0, TISSUE / side**2))
            formats = [each.suffix for each in FORMATS if not each.missing] if side == min(options.sides) else USUAL
            usual = sorted(formats, key=lambda suffix: (suffix not in USUAL, suffix))
            asked = [word for suffix in usual for word in ("--format", suffix[1:])]
            found = segmented(path, folder.path / f"slide{key}", *asked, "--set", f"model={MODEL}")
            folder.keep("slides", key, area=area, **found)


def first(folder: Folder, options: argparse.Namespace) -> None:
    """Time the smallest level of a large slide in a process that has loaded nothing yet, the best of three."""
    key = str(options.first_side)
    if folder.lacks("first", key):
        path, _ = folder.slide((options.first_side,) * 2, 0.02)
        found = min((_process(FIRST, path) for _ in range(3)), key=lambda one: float(one["seconds"]))
        folder.keep("first", key, **found)


def workers(folder: Folder, options: argparse.Namespace) -> None:
    """Segment one slide by one worker of a cluster and by two, each with one thread."""
    side = min(options.sides)
    key = str(side)
    if folder.lacks("workers", key):
        path, _ = folder.slide((side, side), 1.0)
        out = folder.path / f"workers{key}"
        rates = [_process(CLUSTER, path, out / f"{n}.csv", n, MODEL, options.tile)["rate"] for n in (1, 2)]
        folder.keep("workers", key, rates=rates, tile=options.tile)


def same(folder: Folder, options: argparse.Namespace) -> None:
    """Compare labels and polygons of one slide by threads, by processes of dask, and after three kills."""
    side = options.same_side
    key = str(side)
    if folder.lacks("same", key):
        path, _ = folder.slide((side, side), 1.0)
        asked = ["--format", "ome.zarr", "--format", "geojson", "--set", f"model={MODEL}", "--set", "tile=512"]
        told, sums = {}, {}
        for name in ("threads", "dask", "kills"):
            out = folder.path / f"same{key}" / name
            if name == "dask":
                with _cluster() as address:
                    found = segmented(path, out, *asked, "--scheduler", address)
            else:
                found = segmented(path, out, *asked, kills=3 if name == "kills" else 0)
            told[name] = {"nuclei": found["nuclei"], "sittings": found["sittings"], "tiles": found["of"]}
            sums[name] = _labels_sum(next((out / "out").glob("*.ome.zarr")))
        folder.keep("same", key, told=told, differ=sum(each != sums["threads"] for each in sums.values()))


def edges(folder: Folder, options: argparse.Namespace) -> None:
    """Look for nuclei that borders of tiles cut, double or lose."""
    del options
    if folder.lacks("seams", ""):
        folder.keep("seams", "", rows=[vars(row) for row in seams()])


def largest(folder: Folder, options: argparse.Namespace) -> None:
    """Segment the largest slide, killed twice on the way; read its polygons back; have napari show it."""
    height, width = options.largest
    key = f"{height}x{width}"
    if folder.lacks("largest", key):
        path, area = folder.slide((height, width), 0.4)
        out = folder.path / f"largest{key}"
        found = segmented(path, out, "--set", f"model={MODEL}", kills=2)
        begun = time.perf_counter()
        counts = [_detections(part) for part in sorted((out / "out").glob("*.geojson.gz"))]
        read = {"counts": counts, "seconds": time.perf_counter() - begun}
        shown = _shown(path, next((out / "out").glob("*.ome.zarr")))
        folder.keep("largest", key, area=area, slide=path.stat().st_size, read=read, shown=shown, **found)


@contextmanager
def _cluster() -> Iterator[str]:
    """Run ``nucleigan cluster local`` with two workers, and return its file."""
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "cluster.json"
        program = [sys.executable, "-m", "napari_nucleigan", "cluster", "local", "--workers", "2"]
        with subprocess.Popen([*program, "--port", "0", "--file", str(file)], stderr=subprocess.DEVNULL) as process:
            try:
                while not file.exists() and process.poll() is None:
                    time.sleep(0.2)
                yield str(file)
            finally:
                process.terminate()


def _labels_sum(path: Path) -> str:
    """Return a checksum of the labels of a slide at full resolution."""
    from napari_nucleigan.data.slides.label_pyramids import open_label_pyramid

    return hashlib.sha256(np.asarray(open_label_pyramid(path).levels[0]).tobytes()).hexdigest()


def _detections(path: Path) -> int:
    """Read a file of polygons as QuPath does, and count the detections with an outline."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        features = json.load(file)["features"]
    return sum(
        each["properties"]["objectType"] == "detection" and each["geometry"]["type"] in ("Polygon", "MultiPolygon")
        for each in features
    )


def _shown(slide: Path, labels: Path) -> dict[str, float] | None:
    program = [sys.executable, str(_HERE / "_slide_shown.py"), str(slide), str(labels)]
    if not os.environ.get("DISPLAY") and sys.platform == "linux":
        program = [str(_HERE.parent / "scripts/xvfb.sh"), *program]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"napari did not show it: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
        return None
    told: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return told


def _process(program: str, *arguments: Any) -> dict[str, Any]:
    with tempfile.NamedTemporaryFile("w", suffix=".py") as file:
        file.write(program)
        file.flush()
        done = subprocess.run(
            [sys.executable, file.name, *map(str, arguments)], capture_output=True, text=True, check=False
        )
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


PARTS = {
    "slides": slides,
    "first": first,
    "workers": workers,
    "same": same,
    "seams": edges,
    "largest": largest,
}


def parsed(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("folder", type=Path, help="where slides, results and figures are kept")
    asked.add_argument("--part", action="append", choices=PARTS, help="by default all; may be repeated")
    asked.add_argument("--sides", type=int, nargs="+", default=SIDES, help="of the slides, in pixels")
    asked.add_argument("--first-side", type=int, default=50_000, help="of the slide of the first picture")
    asked.add_argument("--same-side", type=int, default=4096, help="of the slide that is segmented in three ways")
    asked.add_argument("--tile", type=int, default=1024, help="of the workers of a cluster")
    asked.add_argument("--largest", type=int, nargs=2, default=LARGEST, metavar=("HEIGHT", "WIDTH"))
    asked.add_argument("--write", action="store_true", help="write the table into docs/benchmarks.md")
    return asked.parse_args(words)


def measure() -> list[Row]:
    """Measure all but the largest slide, or what the folder lacks that ``NUCLEIGAN_WHOLE_SLIDES`` names."""
    with tempfile.TemporaryDirectory() as name:
        options = parsed([os.environ.get("NUCLEIGAN_WHOLE_SLIDES", name)])
        folder = Folder(options.folder)
        for part in list(PARTS)[:-1]:
            PARTS[part](folder, options)
        return rows_of(folder.records())


def main() -> None:
    """Measure what is not there yet, and print all that is."""
    options = parsed()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # else what was started would go on alone
    folder = Folder(options.folder)
    for part in options.part or PARTS:
        PARTS[part](folder, options)
    rows = rows_of(folder.records())
    print_table(rows)
    if options.write:
        from run import write

        write("whole-slides", f"{machines(folder.records())}\n\n{markdown(rows)}")


if __name__ == "__main__":
    main()
