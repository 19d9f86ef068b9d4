"""A slide of 100 000 x 80 000 pixels, segmented in full, over as many sittings as it takes.

``python benchmarks/largest_slide.py FOLDER`` makes the slide in the folder where it is not there yet, and segments it.
Whatever ends the program, the same command goes on from the last tile; ``sittings.jsonl`` says what each sitting did,
and its last line what came of it all.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from pathlib import Path
from typing import Any

from _mosaics import write_mosaic
from napari_nucleigan.base.events import Progress, run
from napari_nucleigan.segmentation import SegmentSettings
from napari_nucleigan.segmentation.slides import segment_slide


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("folder", type=Path)
    asked.add_argument("--shape", type=int, nargs=2, default=(100_000, 80_000), metavar=("HEIGHT", "WIDTH"))
    asked.add_argument("--tissue", type=float, default=0.4, help="share of the slide")
    asked.add_argument("--format", action="append", default=[], help="as for nucleigan segment")
    asked.add_argument("--scheduler", default="")
    options = asked.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    slide = options.folder / "largest.tif"
    said = options.folder / "slide.json"
    if not said.exists():
        area = write_mosaic(slide, tuple(options.shape), options.tissue)
        said.write_text(json.dumps({"shape": options.shape, "tissue": area, "bytes": slide.stat().st_size}))
    print(said.read_text(), flush=True)
    begun = time.time()
    stages: dict[str, float] = {}
    state: dict[str, Any] = {"what": "", "at": begun, "first": None, "done": 0}

    def note(**more: Any) -> None:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        line = {"begun": begun, "seconds": time.time() - begun, "peak_mib": round(peak), "stages": stages, **more}
        with (options.folder / "sittings.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(json.dumps(line), flush=True)

    def hear(event: Any) -> None:
        if not isinstance(event, Progress):
            return
        now = time.time()
        stages[state["what"]] = stages.get(state["what"], 0.0) + now - state["at"]
        state.update(what=event.what, at=now)
        if event.what == "segmenting tiles":
            state["first"] = event.done if state["first"] is None else state["first"]
            if event.done // 50 > state["done"] // 50:
                note(tiles=event.done, of=event.total, before=state["first"])
            state["done"] = event.done

    job = segment_slide(slide, options.folder / "out", SegmentSettings(), options.format, scheduler=options.scheduler)
    result = run(job, hear)
    sizes = {
        path.name: sum(part.stat().st_size for part in (path.rglob("*") if path.is_dir() else [path]) if part.is_file())
        for path in result.outputs
    }
    files = sum(part.is_file() for path in result.outputs for part in path.rglob("*"))
    note(
        tiles=result.tiles,
        resumed=result.resumed,
        nuclei=result.nuclei,
        lost=len(result.lost),
        bytes=sizes,
        files=files,
    )


if __name__ == "__main__":
    main()
