"""Tiles to measure a segmenter on: of patients that it may be chosen by, or, for the final figures, test tiles."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from skimage.transform import resize

from _table import Skip, shared
from napari_nucleigan.data.datasets.dataset import Dataset
from napari_nucleigan.data.images.files import HEImage, read_image
from napari_nucleigan.models import DEFAULT_SEGMENTER

if TYPE_CHECKING:
    import numpy.typing as npt

MODEL = os.environ.get("NUCLEIGAN_BENCH_MODEL", DEFAULT_SEGMENTER)
"""Name or file of the model that is measured."""

FINAL = bool(os.environ.get("NUCLEIGAN_BENCH_FINAL"))
"""Whether test tiles are measured: those of Kumar, and of TNBC's patients 8 to 11. Nothing may be chosen by them."""

MPP = 0.25
COLON_MPP = 0.55


@dataclass(frozen=True)
class Truth:
    """A tile and its nuclei."""

    group: str
    name: str
    pixels: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int32]


def tiles(each: int | None = None) -> list[Truth]:
    """Return tiles at 0.25 microns per pixel with their nuclei; of TNBC the first few of each patient.

    Raises
    ------
    Skip
        If the data are absent.
    """
    tnbc = Dataset.open(shared("data/tnbc"))
    counts: dict[int, int] = {}
    names = []
    for name in tnbc.names:
        patient = int(name.split("_")[1])
        counts[patient] = counts.get(patient, 0) + 1
        if (patient > 7) is FINAL and counts[patient] <= (each or 100):
            names.append(name)
    chosen = [("TNBC", tnbc, names)]
    if FINAL:
        kumar = Dataset.open(shared("data/kumar")).subset("test")
        chosen.append(("Kumar", kumar, list(kumar.names)))
    return [
        Truth(group, name, *((pair := dataset.pair(name))[0].pixels, pair[1]))
        for group, dataset, names in chosen
        for name in names
    ]


def colon() -> list[HEImage]:
    """Return the tiles of colon whose nuclei are known as points only; for measuring alone.

    Raises
    ------
    Skip
        If the data are absent.
    """
    folder = shared("data/crchisto") / "images"
    found = [read_image(path) for path in sorted(folder.glob("*.png"))]
    if not found:
        raise Skip(f"{folder} holds no tiles")
    return found


def at_scale(pixels: npt.NDArray[np.uint8], mpp: float, to: float) -> npt.NDArray[np.uint8]:
    """Show an image of some microns per pixel at another scale."""
    sides = [round(length * mpp / to) for length in pixels.shape[:2]]
    view = resize(pixels, sides, order=1, anti_aliasing=to > mpp, preserve_range=True)
    return np.rint(view).astype(np.uint8)
