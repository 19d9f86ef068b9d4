"""Fine-tuning on one corrected region: what it does for the rest of an image of another look.

The look is another stain and another scale than the bundled model has learnt, made by this script: the stain vectors of
a tile are exchanged for others, and it is enlarged by 1.7 while it still says 0.25 microns per pixel. The corrections
are the true labels of a region of 500x500 pixels. The model has learnt all training tiles, though not like this; so
the second tile is one that it has never seen. Nothing was chosen by it.

``NUCLEIGAN_BENCH_MINUTES`` shortens the five minutes of each tile.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from _looks import other_look
from _table import Row, shared
from napari_nucleigan import metrics, segment
from napari_nucleigan.base.devices import usable_cores
from napari_nucleigan.base.events import run
from napari_nucleigan.data.datasets.dataset import Dataset
from napari_nucleigan.data.images.files import HEImage
from napari_nucleigan.segmentation import SegmentSettings
from napari_nucleigan.training import RunFolder, read_recipe
from napari_nucleigan.training.corrections import write_corrections
from napari_nucleigan.training.recipes import FINE_TUNING
from napari_nucleigan.training.runs.processes import start

if TYPE_CHECKING:
    import numpy.typing as npt

MINUTES = float(os.environ.get("NUCLEIGAN_BENCH_MINUTES", "5"))
TILES = {"TCGA-G9-6356-01Z-00-DX1": "a training tile", "TCGA-21-5784-01Z-00-DX1": "a test tile"}
REGION = slice(100, 600), slice(100, 600)
MPP = 0.25


def measure() -> list[Row]:
    data = Dataset.open(shared("data/kumar"))
    rows = []
    for name, which in TILES.items():
        image, labels = data.pair(name)
        with tempfile.TemporaryDirectory() as folder:
            rows += _loop(*other_look(image.pixels, labels), Path(folder), which)
    return rows


def _loop(pixels: npt.NDArray[np.uint8], truth: npt.NDArray[np.int32], folder: Path, which: str) -> list[Row]:
    """Correct a region, fine-tune, segment again: as the widget does, in a process of its own."""
    image = HEImage(pixels, MPP, "tile")
    known = np.zeros(truth.shape, dtype=bool)
    known[REGION] = True
    before = _score(image, truth, known, SegmentSettings())
    run(write_corrections(image, truth, known, folder / "data", "tile"))
    recipe = read_recipe(FINE_TUNING, {"minutes": MINUTES})
    process = start("segmenter", folder / "data", recipe, folder / "run")
    status = process.wait(60 * (MINUTES + 60))
    if status.model is None:
        raise RuntimeError(status.message)
    after = _score(image, truth, known, SegmentSettings(model=str(RunFolder(folder / "run").best)))
    share = f"{np.unique(truth[REGION]).size - 1} of {truth.max()} nuclei corrected"
    note = f"{which}; {share}; {status.step} steps in {MINUTES:g} minutes on {usable_cores()} cores"
    return [
        Row(f"AJI of the rest before, {which}", before.aji, note=f"nucleigan-he as it is; F1 {before.f1:.3f}"),
        Row(f"AJI of the rest after, {which}", after.aji, note=f"{note}; F1 {after.f1:.3f}"),
        Row(f"rise of AJI by one corrected region, {which}", after.aji - before.aji, "", ">= 0.05", "500x500 pixels"),
    ]


def _score(
    image: HEImage, truth: npt.NDArray[np.int32], known: npt.NDArray[np.bool_], settings: SegmentSettings
) -> metrics.Scores:
    """Score what is found outside of the region; a nucleus on its edge counts with the part outside."""
    found = run(segment(image, settings)).labels
    return metrics.evaluate(np.where(known, 0, truth), np.where(known, 0, found), hausdorff=False)
