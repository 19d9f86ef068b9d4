"""Nuclei with classes, as an image and as a slide of several tiles have them: the same nuclei."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nucleigan.data.images.files import HEImage
from napari_nucleigan.labels.features import measure
from napari_nucleigan.segmentation import Segmentation, SegmentSettings
from napari_nucleigan.segmentation.artefacts import ArtefactMap
from napari_nucleigan.segmentation.instances import Instances, owned
from napari_nucleigan.segmentation.slides.assembly import Assembly
from napari_nucleigan.segmentation.slides.nuclei import SlideNuclei
from napari_nucleigan.segmentation.slides.worker import ModelView
from napari_nucleigan.tiling import plan_tiles
from oracle import model, scatter
from slide_pictures import slide_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

CLASSES = ("epithelial", '=cmd, "x"', "Fibroblast", "")
"""Names, one that a spreadsheet would take for a formula, and one of nuclei that have no class."""

PROVENANCE: dict[str, Any] = {"model": "oracle"}


def classed(table: dict[str, NDArray[Any]], vectors: int = 3) -> dict[str, NDArray[Any]]:
    """Add classes that follow from the areas, so that they are the same whatever the order of the rows."""
    area = table["area_px"]
    return {
        **table,
        "class": np.array(CLASSES)[area % len(CLASSES)],
        "class_probability": np.where(area % 7 == 0, np.nan, 0.5 + (area % 50) / 100),
        "confidence": (area % 10) / 10,
        **({"embedding": np.outer(area, np.arange(1, vectors + 1)).astype(np.float32)} if vectors else {}),
    }


def image_nuclei(shape: tuple[int, int] = (200, 240), mpp: float = 0.25, vectors: int = 0) -> Segmentation:
    """Return the nuclei of an image."""
    labels = _sorted(scatter(shape))
    image = HEImage(np.full((*shape, 3), 200, np.uint8), mpp, "picture", Path("picture.png"))
    table = classed(measure(labels, image.pixels, mpp), vectors)
    seen = table.pop("embedding", None)
    return Segmentation(
        labels, table, None, mpp, SegmentSettings(), dict(PROVENANCE), (), 0.0, image, model().card, seen
    )


def slide_nuclei(
    shape: tuple[int, int] = (200, 240), mpp: float = 0.25, vectors: int = 0, core: int = 96
) -> SlideNuclei:
    """Return the same nuclei as of a slide, whose tiles a reader meets one after the other."""
    labels = _sorted(scatter(shape))
    pixels = np.full((*shape, 3), 200, np.uint8)
    tiles = plan_tiles(shape, core, 32, 32)
    assembly = Assembly(tiles, lambda number: records[number])
    records = []
    for tile in tiles:
        window = labels[tile.window.slices]
        _, local = np.unique(window, return_inverse=True)
        local = local.reshape(window.shape).astype(np.int32) + (0 if (window == 0).any() else 1)
        kept = owned(local, tile)
        table = measure(local, pixels[tile.window.slices], mpp)
        for axis, offset in (("y", tile.window.top), ("x", tile.window.left)):
            table[f"centroid_{axis}_px"] = table[f"centroid_{axis}_px"] + offset
            table[f"centroid_{axis}_um"] = table[f"centroid_{axis}_px"] * mpp
        chosen = {name: values[kept[table["label"]]] for name, values in classed(table, vectors).items()}
        del chosen["label"]
        records.append(Instances.of(local, tile.window, kept, chosen))
    for number, record in enumerate(records):
        assembly.add(number, record)
    slide = replace(slide_of(labels, mpp), name="picture")
    blank = np.zeros([-(-length // 64) for length in shape], np.uint8)
    artefacts = ArtefactMap(blank, blank == 0, (64.0, 64.0))
    return SlideNuclei(ModelView(slide, mpp, mpp), assembly, mpp, dict(PROVENANCE), artefacts=artefacts)


def _sorted(labels: NDArray[np.int32]) -> NDArray[np.int32]:
    """Number labels by their first pixels, as slides are."""
    values, first = np.unique(labels, return_index=True)
    names = np.zeros(int(labels.max()) + 1, np.int32)
    kept = values > 0
    names[values[kept]] = 1 + np.argsort(np.argsort(first[kept]))
    return names[labels]
