"""The scale of an image: how well it is estimated, and what a wrong one costs.

`NUCLEIGAN_BENCH_FINAL=1` measures on the test tiles, and on every third tile of colon; else it is the patients that may
be chosen by. A model whose card was taught by the same tiles (`scripts/calibrate_segmenter.py`) tells nothing.
"""

from __future__ import annotations

import time

import numpy as np

from _table import Row, Skip
from _tiles import COLON_MPP, FINAL, MPP, about, at_scale, colon, model, settings, tiles
from napari_nucleigan.base.errors import ImageError
from napari_nucleigan.base.events import run
from napari_nucleigan.data.images.files import HEImage
from napari_nucleigan.metrics import aji, overlaps
from napari_nucleigan.segmentation import estimate_mpp, segment

SCALES = np.geomspace(0.2, 1.0, 5)
WRONG = (0.8, 1.25)


def measure() -> list[Row]:
    return [*_estimates(), *_wrong()]


def _estimates() -> list[Row]:
    pictures = [(truth.group, truth.pixels, MPP) for truth in tiles()]
    if FINAL:
        try:
            pictures += [("colon", image.pixels, COLON_MPP) for image in colon()[::3]]
        except Skip:
            pass
    estimate_mpp(pictures[0][1], model(), settings())  # what a first call costs is no part of it
    ratios: dict[str, list[float]] = {}
    walls, spent = [], []
    for group, pixels, mpp in pictures:
        for scale in SCALES:
            view = at_scale(pixels, mpp, scale)
            wall, cpu = time.perf_counter(), time.process_time()
            try:
                ratio = estimate_mpp(view, model(), settings()).mpp / scale
            except ImageError:
                ratio = np.inf
            walls.append(time.perf_counter() - wall)
            spent.append(time.process_time() - cpu)
            ratios.setdefault(group, []).append(ratio)
    rows = []
    for group, found in {**ratios, "all": [ratio for part in ratios.values() for ratio in part]}.items():
        off = np.abs(np.log2(found))
        middle = 2 ** np.median(off) - 1
        note = f"{about()}; {len(found)} pictures of {SCALES[0]:g} to {SCALES[-1]:g} microns per pixel"
        within = float(np.mean(off <= np.log2(1.2)))
        rows.append(
            Row(f"scale estimated within 20 %, {group}", within, "", ">= 0.9", f"{note}; median {middle:.0%} off")
        )
    note = f"model loaded; median {np.median(walls):.2f} s, and {np.median(spent):.2f} s of processor time"
    rows.append(Row("estimate of the scale, the slowest", max(walls), "s", "<= 1.5", note))
    return rows


def _wrong() -> list[Row]:
    scores: dict[float, list[float]] = {factor: [] for factor in (1.0, *WRONG)}
    for truth in tiles():
        for factor, found in scores.items():
            image = HEImage(truth.pixels, MPP * factor, truth.name)
            labels = run(segment(image, settings(), model())).labels
            found.append(aji(overlaps(truth.labels, labels)))
    right = float(np.mean(scores[1.0]))
    return [
        Row(
            f"AJI lost at {factor:g} times the true microns per pixel",
            right - float(np.mean(scores[factor])),
            "",
            "<= 0.03",
            f"{about()}; {len(scores[factor])} tiles; {right:.3f} at the true scale",
        )
        for factor in WRONG
    ]
