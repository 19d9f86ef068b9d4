"""Segment a slide on a cluster that loses all of its workers, and go on with others until it loses its scheduler.

``cluster_losses.py SLIDE OUT`` prints as JSON, for either loss, what was said, after how many seconds, and how many
tiles are kept.
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

SETTINGS = SegmentSettings(tile=64, device="cpu", precision="float32", tta=4)


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
    executors._ASK_AGAIN, executors._ALONE, executors._PATIENCE = 0.5, 2.0, 5.0
    place = Path(out).parent / "scheduler.json"
    worker = "worker", "--scheduler-file", str(place), "--nthreads", "1", "--no-nanny"
    parts = [dask("scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(place)), dask(*worker)]
    try:
        while not place.is_file():
            time.sleep(0.1)
        told = [lose(parts[1], slide, out, place)]
        parts.append(dask(*worker))
        told.append(lose(parts[0], slide, out, place))
        print(json.dumps(told))
    finally:
        for part in parts:
            part.kill()
            part.wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
