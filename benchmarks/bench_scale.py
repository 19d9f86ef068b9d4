"""The scale of an image: how well it is estimated, and what a wrong one costs.

`NUCLEIGAN_BENCH_FINAL=1` measures on the test tiles, and on colon; else it is the patients that may be chosen by.
"""

from __future__ import annotations

import time

import numpy as np

from _table import Row, Skip
from _tiles import COLON_MPP, FINAL, MODEL, MPP, at_scale, colon, tiles
from napari_nucleigan.base.errors import ImageError
from napari_nucleigan.base.events import run
from napari_nucleigan.data.images.files import HEImage
from napari_nucleigan.metrics import aji, overlaps
from napari_nucleigan.models import Model, load_model
from napari_nucleigan.segmentation import SegmentSettings, estimate_mpp, segment

SCALES = np.geomspace(0.2, 1.0, 5)
WRONG = (0.8, 1.25)


def measure() -> list[Row]:
    model = load_model(MODEL, "segmenter")
    return [*_estimates(model), *_wrong(model)]


def _estimates(model: Model) -> list[Row]:
    pictures = [(truth.group, truth.pixels, MPP) for truth in tiles(2)]
    if FINAL:
        try:
            pictures += [("colon", image.pixels, COLON_MPP) for image in colon()[::3]]
        except Skip:
            pass
    settings = SegmentSettings(model=MODEL, device="cpu")
    estimate_mpp(pictures[0][1], model, settings)
    ratios: dict[str, list[float]] = {}
    seconds = []
    for group, pixels, mpp in pictures:
        for scale in SCALES:
            view = at_scale(pixels, mpp, scale)
            begin = time.process_time()
            try:
                ratio = estimate_mpp(view, model, settings).mpp / scale
            except ImageError:
                ratio = np.inf
            seconds.append(time.process_time() - begin)
            ratios.setdefault(group, []).append(ratio)
    rows = []
    for group, found in {**ratios, "all": [ratio for part in ratios.values() for ratio in part]}.items():
        off = np.abs(np.log2(found))
        middle = 2 ** np.median(off) - 1
        note = f"{len(found)} pictures of {SCALES[0]:g} to {SCALES[-1]:g} microns per pixel; median {middle:.0%} off"
        within = float(np.mean(off <= np.log2(1.2)))
        rows.append(Row(f"scale estimated within 20 %, {group}", within, "", ">= 0.9", note))
    rows.append(Row("estimate of the scale", float(np.median(seconds)), "s", "<= 1.5", "of processor time, both cores"))
    return rows


def _wrong(model: Model) -> list[Row]:
    scores: dict[float, list[float]] = {1.0: [], **{factor: [] for factor in WRONG}}
    for truth in tiles(2):
        for factor, found in scores.items():
            settings = SegmentSettings(model=MODEL, device="cpu", mpp=MPP * factor)
            labels = run(segment(HEImage(truth.pixels, None, truth.name), settings, model)).labels
            found.append(aji(overlaps(truth.labels, labels)))
    right = float(np.mean(scores[1.0]))
    return [
        Row(
            f"AJI lost at {factor:g} times the true microns per pixel",
            right - float(np.mean(scores[factor])),
            "",
            "<= 0.03",
            f"{len(scores[factor])} tiles; {right:.3f} at the true scale",
        )
        for factor in WRONG
    ]
