"""Time StarDist's network for H&E and its second step; run by bench_segment.py in another environment.

Prints a line of JSON: seconds of the network, seconds from prediction to nuclei, and their number.
"""

from __future__ import annotations

import json
import os
import sys
import time

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np
import tensorflow
from stardist.geometry import star_dist
from stardist.models import Config2D, StarDist2D
from stardist.utils import edt_prob


def main() -> None:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    tensorflow.config.threading.set_intra_op_parallelism_threads(cores)
    # The configuration of the published model 2D_versatile_he.
    config = Config2D(n_rays=32, grid=(2, 2), n_channel_in=3, unet_n_depth=3, unet_n_filter_base=32)
    model = StarDist2D(config, name=None, basedir=None)
    image = np.random.default_rng(0).random((1000, 1000, 3), dtype=np.float32)
    network = best(lambda: model.predict(image, show_tile_progress=False))

    labels = np.load(sys.argv[1])["gt"].astype(np.int32)
    prob = edt_prob(labels)[::2, ::2]
    dist = star_dist(labels, 32, grid=(2, 2))
    found: list[np.ndarray] = []

    def nuclei() -> None:
        found[:] = [model._instances_from_prediction((1000, 1000), prob, dist, prob_thresh=0.69, nms_thresh=0.3)[0]]

    seconds = best(nuclei)
    result = {
        "network": network,
        "nuclei": seconds,
        "count": int(found[0].max()),
        "tensorflow": tensorflow.__version__,
    }
    print(json.dumps(result))


def best(call: object, repeats: int = 5) -> float:
    call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


if __name__ == "__main__":
    main()
