"""Stains that the segmenter has not met: test tiles in the stains of ten pictures of other sets.

`NUCLEIGAN_BENCH_FINAL=1` measures on the test tiles; else it is the patients that may be chosen by.
"""

from __future__ import annotations

import numpy as np

from _table import Row, Skip, shared
from _tiles import MODEL, MPP, tiles
from napari_nucleigan import stains
from napari_nucleigan.base.errors import NucleiganError
from napari_nucleigan.base.events import run
from napari_nucleigan.data.images.files import HEImage, read_image
from napari_nucleigan.metrics import aji, overlaps
from napari_nucleigan.models import load_model
from napari_nucleigan.segmentation import SegmentSettings, segment

STRANGERS = 10
SETS = ("dsb2018_he", "crchisto", "kumar")


def strangers() -> list[stains.StainFit]:
    """Return Macenko's stains of ten pictures of several sets that are as unlike one another as can be."""
    found = []
    for name in SETS:
        try:
            paths = sorted((shared(f"data/{name}") / "images").iterdir())
        except Skip:
            continue
        for path in paths[:: max(1, len(paths) // 12)]:
            try:
                fit = stains.fit(read_image(path).pixels, "macenko")
            except NucleiganError:
                continue
            if fit.method == "macenko":
                found.append(fit)
    if len(found) < STRANGERS:
        raise Skip("there are not enough pictures of other sets")
    vectors = np.array([fit.matrix.ravel() for fit in found])
    chosen = [int(np.linalg.norm(vectors - vectors.mean(axis=0), axis=1).argmax())]
    while len(chosen) < STRANGERS:
        chosen.append(int(np.linalg.norm(vectors[:, None] - vectors[chosen], axis=2).min(axis=1).argmax()))
    return [found[at] for at in chosen]


def measure() -> list[Row]:
    model = load_model(MODEL, "segmenter")
    settings = SegmentSettings(model=MODEL, device="cpu")
    donors = strangers()
    right: list[float] = []
    lost: list[list[float]] = []
    for truth in tiles(1):
        own = stains.fit(truth.pixels, "macenko")

        def score(pixels: np.ndarray, truth: object = truth) -> float:
            labels = run(segment(HEImage(pixels, MPP, truth.name), settings, model)).labels
            return float(aji(overlaps(truth.labels, labels)))

        right.append(score(truth.pixels))
        lost.append([right[-1] - score(stains.normalize(truth.pixels, donor, own)) for donor in donors])
    by_stain = np.mean(lost, axis=0)
    note = f"{len(right)} tiles in {STRANGERS} strangers' stains; AJI {np.mean(right):.3f} in their own"
    return [
        Row("AJI lost in strangers' stains, mean", float(by_stain.mean()), "", "<= 0.03", note),
        Row("AJI lost in strangers' stains, worst stain", float(by_stain.max()), "", "", "mean over the tiles"),
        Row("AJI lost in strangers' stains, worst tile", float(np.max(lost)), "", "", "of any stain"),
    ]
