"""Segment a slide on a cluster of two processes, and kill one of them in the middle.

``cluster_program.py SLIDE OUT`` prints what happened as JSON. It is a program of its own: a cluster brings processes,
event loops and warnings that no test should inherit.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

from distributed import Client, LocalCluster

from napari_nucleigan.base.events import Progress, run
from napari_nucleigan.segmentation import SegmentSettings
from napari_nucleigan.segmentation.slides import segment_slide

SETTINGS = SegmentSettings(tile=128, device="cpu", precision="float32", tta=1)


def main(slide: str, out: str) -> None:
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        pids = client.run(os.getpid)
        killed: list[int] = []

        def hear(event: Any) -> None:
            if isinstance(event, Progress) and event.what == "segmenting tiles" and event.done >= 3 and not killed:
                killed.append(next(iter(pids.values())))
                os.kill(killed[0], signal.SIGKILL)

        result = run(segment_slide(slide, out, SETTINGS, scheduler=cluster.scheduler_address), hear)
        print(
            json.dumps(
                {
                    "killed": killed,
                    "here": os.getpid(),
                    "workers": sorted(pids.values()),
                    "nuclei": result.nuclei,
                    "lost": len(result.lost),
                    "tiles": result.tiles,
                    "device": result.provenance["device"],
                }
            )
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
