"""Tiles to measure a segmenter on: of patients that it may be chosen by, or, for the final figures, test tiles."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from skimage.transform import resize

from _table import Skip, shared
from napari_nucleigan.data.datasets.dataset import Dataset
from napari_nucleigan.data.images.files import HEImage, read_image
from napari_nucleigan.models import DEFAULT_SEGMENTER, load_model
from napari_nucleigan.segmentation import SegmentSettings

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_nucleigan.models import Model

MODEL = os.environ.get("NUCLEIGAN_BENCH_MODEL", DEFAULT_SEGMENTER)
"""Name or file of the model that is measured."""

FINAL = bool(os.environ.get("NUCLEIGAN_BENCH_FINAL"))
"""Whether test tiles are measured: those of Kumar, and of TNBC's patients 8 to 11. Nothing may be chosen by them."""

VIEWS = 1
"""Views of an image that the network is averaged over, whatever the model's card asks for."""

MPP = 0.25
COLON_MPP = 0.55


@dataclass(frozen=True)
class Truth:
    """A tile and its nuclei; `patient` tells tiles of one patient from those of others."""

    group: str
    name: str
    pixels: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int32]

    @property
    def patient(self) -> str:
        return self.name.rsplit("_", 1)[0]


@cache
def model() -> Model:
    """Return the model that is measured.

    Raises
    ------
    ModelError
        If it cannot be used.
    """
    return load_model(MODEL, "segmenter")


def settings(**changes: Any) -> SegmentSettings:
    """Return how the model is measured: on the processor, with one view."""
    return SegmentSettings(**{"model": MODEL, "device": "cpu", "tta": VIEWS, **changes})


def about() -> str:
    """Say what is measured, for the note of a row."""
    return f"{model().card.name}, {VIEWS} view"


def tiles() -> list[Truth]:
    """Return tiles at 0.25 microns per pixel with their nuclei.

    Raises
    ------
    Skip
        If the data are absent.
    """
    tnbc = Dataset.open(shared("data/tnbc"))
    chosen = [("TNBC", tnbc, [name for name in tnbc.names if (int(name.split("_")[1]) > 7) is FINAL])]
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
