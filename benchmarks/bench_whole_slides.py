"""Whole slides: time, memory, seams, and two processes of a cluster.

Each slide is segmented by a process of its own, which tells its highest resident memory.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from _mosaics import write_mosaic
from _seams import seams
from _table import Row
from napari_nucleigan.base.devices import usable_cores

RUN = """
import json, resource, sys, time
from pathlib import Path
from napari_nucleigan.base.events import Progress, run
from napari_nucleigan.segmentation import SegmentSettings
from napari_nucleigan.segmentation.slides import segment_slide
slide, out, views, *formats = sys.argv[1:]
spent = {}
def hear(event, at=[None, 0.0]):
    what = event.what if isinstance(event, Progress) else at[0]
    now = time.perf_counter()
    if at[0]:
        spent[at[0]] = spent.get(at[0], 0) + now - at[1]
    at[:] = [what, now]
result = run(segment_slide(slide, out, SegmentSettings(tta=int(views) or None), formats), hear)
sizes = {
    path.name: sum(part.stat().st_size for part in (path.rglob("*") if path.is_dir() else [path]) if part.is_file())
    for path in result.outputs
}
print(json.dumps({
    "sizes": sizes, "files": sum(part.is_file() for path in result.outputs for part in path.rglob("*")),
    "seconds": result.seconds, "nuclei": result.nuclei, "tiles": result.tiles, "lost": len(result.lost),
    "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "spent": spent,
    "device": result.provenance["device"], "precision": result.provenance["precision"],
}))
"""

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
import json, sys
from distributed import LocalCluster
from napari_nucleigan.base.events import Progress, run
from napari_nucleigan.segmentation import SegmentSettings
from napari_nucleigan.segmentation.slides import segment_slide
if __name__ == "__main__":
    slide, out, workers = sys.argv[1:]
    import time
    with LocalCluster(n_workers=int(workers), threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        first = []
        def hear(event):
            if isinstance(event, Progress) and event.what == "segmenting tiles":
                first.append((time.perf_counter(), event.done))
        run(segment_slide(slide, out, SegmentSettings(tile=1024, tta=1), scheduler=cluster.scheduler_address), hear)
        # From when all workers hold the model, to the last.
        begun = next(place for place in first if place[1] >= 16)
        ended = next(place for place in first if place[1] == first[-1][1])
        print(json.dumps({"rate": (ended[1] - begun[1]) / (ended[0] - begun[0])}))
"""


def first_picture(side: int = 50_000) -> Row:
    """Time the smallest level of a large slide in a process that has loaded nothing yet, the best of three."""
    with tempfile.TemporaryDirectory() as name:
        slide = Path(name) / "slide.tif"
        write_mosaic(slide, side, 0.02)
        found = min((_process(FIRST, slide) for _ in range(3)), key=lambda one: float(one["seconds"]))
    note = (
        f"{found['shape'][1]} x {found['shape'][0]} pixels, libraries included; {found['cpu']:.2g} s of processor time"
    )
    return Row(f"first picture of {side} squared in a fresh process", found["seconds"], "s", "<= 1", note)


def measure() -> list[Row]:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        found = {}
        for side, tissue in ((10_000, 1.0), (20_000, 1.0), (40_000, 0.25)):
            slide = root / f"{side}.tif"
            area = write_mosaic(slide, side, tissue)
            found[side] = {**_process(RUN, slide, root / f"out{side}", 0), "area": area}
            print(f"{side}: {found[side]}", file=sys.stderr, flush=True)
            if side != 10_000:
                slide.unlink()
        rates = [_process(CLUSTER, root / "10000.tif", root / f"workers{count}", count)["rate"] for count in (1, 2)]
    small, middle, large = found.values()
    cores, what = usable_cores(), f"{middle['device']}, {middle['precision']}, two views"
    per_area = [one["seconds"] / one["area"] for one in (small, middle, large)]
    return [
        Row("segment a slide of 20 000 x 20 000", middle["seconds"], "s", "", f"all tissue; {what}; {_parts(middle)}"),
        Row("its nuclei per second", middle["nuclei"] / middle["seconds"], "1/s", "", f"{middle['nuclei']} nuclei"),
        Row("its peak memory", middle["peak"], "MiB", "<= 2560", "resident, a process of its own"),
        Row("a slide of 10 000 x 10 000", small["seconds"], "s", "", f"all tissue; {small['nuclei']} nuclei"),
        Row("its peak memory", small["peak"], "MiB", "<= 2560", ""),
        Row("a slide of 40 000 x 40 000", large["seconds"], "s", "", f"a quarter is tissue; {large['nuclei']} nuclei"),
        Row("its peak memory", large["peak"], "MiB", "<= 2560", ""),
        Row("memory of 40 000 over that of 10 000", large["peak"] / small["peak"], "", "<= 1.1", ""),
        Row(
            "time by area of tissue, largest over smallest",
            max(per_area) / min(per_area),
            "",
            "<= 1.1",
            ", ".join(f"{1e3 * one:.0f} ms" for one in per_area) + " per megapixel",
        ),
        Row(
            "two workers of a cluster over one",
            rates[1] / rates[0],
            "",
            ">= 1.7" if cores > 1 else "",
            f"{rates[0]:.2f} and {rates[1]:.2f} tiles of 1024 a second, one thread each, {cores} cores",
        ),
        first_picture(),
        *(row for side, one in found.items() for row in _details(side, one)),
        *seams(),
    ]


def _details(side: int, found: dict[str, Any]) -> list[Row]:
    """Seconds a megapixel of tissue, and bytes and seconds of each output."""
    rows = [
        Row(
            f"seconds a megapixel of tissue, {side} squared",
            found["seconds"] / found["area"],
            "s",
            "",
            f"{found['nuclei'] / found['seconds']:.0f} nuclei a second; {_parts(found)}",
        )
    ]
    for name, size in found["sizes"].items():
        seconds = found["spent"].get(f"writing {name}", 0.0)
        rows.append(Row(f"writing {name}", seconds, "s", "", f"{size / 2**20:.1f} MiB, {found['nuclei']} nuclei"))
    return rows


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


def _parts(found: dict[str, Any]) -> str:
    spent: dict[str, float] = {}
    for what, seconds in found["spent"].items():
        stage = what.split()[0]
        spent[stage] = spent.get(stage, 0.0) + seconds / sum(found["spent"].values())
    return ", ".join(f"{what} {share:.0%}" for what, share in spent.items() if share > 0.02)
