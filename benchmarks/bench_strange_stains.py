"""Stains that the segmenter has not met: test tiles in the stains of ten pictures of other sets.

`NUCLEIGAN_BENCH_FINAL=1` measures on the test tiles; else it is the patients that may be chosen by. The strangers are
of sets from which no tile that is measured comes, and of the pictures there those whose stains are most unlike one
another, so that the mean is that of hard ones. Tiles take their vectors, and then their strengths too, which is far
harder: where a stranger's eosin is eight times as strong, it drowns the nuclei. A tile whose own stains cannot be told
would stay as it is, and is left out.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from _table import Row, Skip, shared
from _tiles import MPP, Truth, about, model, settings, tiles
from napari_nucleigan import stains
from napari_nucleigan.base.errors import NucleiganError
from napari_nucleigan.base.events import run
from napari_nucleigan.data.images.files import HEImage, read_image
from napari_nucleigan.metrics import aji, overlaps
from napari_nucleigan.segmentation import segment

STRANGERS = 10
SETS = ("dsb2018_he", "crchisto")


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
    donors = strangers()
    right: list[float] = []
    lost: dict[str, list[list[float]]] = {"stain vectors": [], "stain vectors and strengths": []}
    every = tiles()
    for truth in every:
        own = stains.fit(truth.pixels, "macenko")
        if own.method != "macenko":
            continue
        score = _score(truth, truth.pixels)
        right.append(score)
        for taken, losses in lost.items():
            losses.append([score - _score(truth, _recoloured(truth, donor, own, taken)) for donor in donors])
    which = f"{about()}; {len(right)} of {len(every)} tiles, {STRANGERS} strangers"
    note = f"{which}; AJI {np.mean(right):.3f} in their own"
    rows = []
    for taken, losses in lost.items():
        by_stain = np.mean(losses, axis=0)
        bar = "<= 0.03" if taken == "stain vectors" else ""
        rows += [
            Row(f"AJI lost in strangers' {taken}, mean", float(by_stain.mean()), "", bar, note),
            Row(f"AJI lost in strangers' {taken}, worst stranger", float(by_stain.max()), note="mean over the tiles"),
            Row(f"AJI lost in strangers' {taken}, worst tile", float(np.max(losses)), note="of any stranger"),
        ]
    return rows


def _recoloured(truth: Truth, donor: stains.StainFit, own: stains.StainFit, taken: str) -> np.ndarray:
    """Give a tile the stains of a stranger, as strong as its own are or as the stranger's."""
    if taken == "stain vectors":
        donor = replace(donor, max_concentrations=own.max_concentrations)
    return stains.normalize(truth.pixels, donor, own)


def _score(truth: Truth, pixels: np.ndarray) -> float:
    labels = run(segment(HEImage(pixels, MPP, truth.name), settings(), model())).labels
    return float(aji(overlaps(truth.labels, labels)))
