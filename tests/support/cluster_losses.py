"""Segment a slide on a cluster that loses its workers, then its scheduler, and come to the end on another one.

``cluster_losses.py SLIDE OUT`` prints as JSON, for either loss, what was said, after how many seconds, and how many
tiles are kept; then how many tiles the last run found done, and how many there are.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from napari_nucleigan.base.errors import RunError
from napari_nucleigan.base.events import Progress, run
from napari_nucleigan.segmentation import SegmentSettings
from napari_nucleigan.segmentation.slides import executors, segment_slide

SETTINGS = SegmentSettings(tile=64, device="cpu", precision="float32", tta=1)


def dask(program: str, *words: str) -> subprocess.Popen[bytes]:
    """Start a part of a cluster."""
    line = [sys.executable, "-m", f"distributed.cli.dask_{program}", *words, "--no-dashboard"]
    alone = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(line, env=alone, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def lose(part: subprocess.Popen[bytes], slide: str, out: str, place: Path) -> dict[str, Any]:
    """Segment, and kill a part of the cluster as soon as some tiles more are done."""
    killed, begun = 0.0, -1

    def hear(event: Any) -> None:
        nonlocal killed, begun
        if isinstance(event, Progress) and event.what == "segmenting tiles":
            begun = event.done if begun < 0 else begun
            if event.done >= begun + 2 and not killed:
                killed = time.monotonic()
                part.kill()

    said = ""
    try:
        run(segment_slide(slide, out, SETTINGS, scheduler=str(place)), hear)
    except RunError as error:
        said = str(error)
    kept = len(list(Path(out).parent.glob(".*.nucleigan/tiles/*.npz")))
    return {"said": said, "seconds": time.monotonic() - killed, "kept": kept}


def main(slide: str, out: str) -> None:
    executors._ASK_AGAIN, executors._ALONE, executors._PATIENCE = 0.5, 2.0, 20.0
    place = Path(out).parent / "scheduler.json"
    worker = "worker", "--scheduler-file", str(place), "--nthreads", "1", "--no-nanny"
    scheduler = "scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(place)
    parts = [dask(*scheduler), dask(*worker)]

    def wait_for_it() -> None:
        while not place.is_file():
            time.sleep(0.1)

    try:
        wait_for_it()
        told = [lose(parts[1], slide, out, place)]
        parts.append(dask(*worker))
        told.append(lose(parts[0], slide, out, place))
        parts[2].kill()
        place.unlink(missing_ok=True)
        parts += [dask(*scheduler), dask(*worker)]
        wait_for_it()
        executors._ASK_AGAIN, executors._ALONE, executors._PATIENCE = 2.0, 60.0, 60.0  # however busy the machine is
        result = run(segment_slide(slide, out, SETTINGS, scheduler=str(place)))
        told.append({"resumed": result.resumed, "tiles": result.tiles, "lost": len(result.lost)})
        print(json.dumps(told))
    finally:
        for part in parts:
            part.kill()
            part.wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
