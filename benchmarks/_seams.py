"""Nuclei at the borders of tiles: a large mosaic whose nuclei are known, by tiles and in one piece."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import dask.array as da
import numpy as np
import torch

from _table import Row
from napari_nucleigan.base.events import run
from napari_nucleigan.data.images.files import read_labels
from napari_nucleigan.data.slides import Slide
from napari_nucleigan.masks.encoding import encode
from napari_nucleigan.masks.polygons import preset, sample
from napari_nucleigan.metrics import overlaps, panoptic_quality
from napari_nucleigan.models import Model, ModelCard
from napari_nucleigan.networks.generators import Generator
from napari_nucleigan.segmentation import SegmentSettings
from napari_nucleigan.segmentation.slides import segment_slide

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDE, TILE = 4096, 128
DARK, BRIGHT = 90, 250  # what -1 and 1 are shown as: neither the black around a scan nor the white of glass
SEEDS = (1, 3, 6, 7, 4, 9, 11, 14, 15)
WANTED = 100_000


class Reader(Generator):
    """Reads the field off an image that shows it, rounded as bfloat16 would, differently in every window."""

    scale = 255 / (BRIGHT - DARK)
    shift = scale * (1 - 2 * DARK / 255) - 1

    stride, halo = 32, 128

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        random = torch.Generator().manual_seed(int(images.double().sum().abs() * 1000) % 2**31)
        return self.scale * images + self.shift + 0.004 * (2 * torch.rand(images.shape, generator=random) - 1)


def seams() -> list[Row]:
    """Compare, until `WANTED` nuclei at borders were looked at."""
    card = ModelCard(name="reader", kind="segmenter", architecture={}, mpp=0.25)
    model = Model(card, Path("reader"), Reader().eval())
    crossing = lost = doubled = cut = 0
    scores = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in SEEDS:
            slide, labels = _slide(seed)
            found = {tile: _labels(slide, Path(folder), tile, model) for tile in (TILE, TILE + 32, TILE + 96, 2 * SIDE)}
            whole = found.pop(2 * SIDE)
            for tile, tiled in found.items():
                at_border = _at_borders(whole, tile)
                crossing += at_border.size
                cut_, lost_, doubled_ = _faults(whole, tiled, at_border)
                cut, lost, doubled = cut + cut_, lost + lost_, doubled + doubled_
                scores.append(panoptic_quality(overlaps(whole, tiled)).dq)
            if crossing >= WANTED:
                break
    what = f"{crossing} nuclei that cross or touch a border of tiles of {TILE} to {TILE + 96} pixels"
    return [
        Row("nuclei cut at borders", cut, "", "<= 0", f"{what}; less than half of one is in any"),
        Row("nuclei lost at borders", lost, "", "<= 0", what),
        Row("nuclei doubled at borders", doubled, "", "<= 0", what),
        Row("nuclei looked at", crossing, "", f">= {WANTED}", f"{int(labels.max())} in the last mosaic"),
        Row("object F1 of tiles against one piece", min(scores), "", ">= 0.999", "the worst mosaic and size of tiles"),
    ]


def _slide(seed: int) -> tuple[Slide, NDArray[np.int32]]:
    labels = sample(preset("kidney"), (SIDE, SIDE), seed=seed)
    field = (np.moveaxis(encode(labels), 0, -1) + 1) / 2
    shown = np.rint(DARK + (BRIGHT - DARK) * field).astype(np.uint8)
    pixels = da.from_array(shown, chunks=(512, 512, 3))
    return Slide("mosaic", Path("mosaic.svs"), (pixels,), 0.25), labels


def _labels(slide: Slide, folder: Path, tile: int, model: Model) -> NDArray[np.int32]:
    settings = SegmentSettings(tile=tile, device="cpu", precision="float32")
    run(segment_slide(slide, folder / "found.tif", settings, model=model))
    return read_labels(folder / "found.tif")


def _at_borders(labels: NDArray[np.int32], tile: int) -> NDArray[np.intp]:
    """Return the nuclei that have a pixel beside a line between two tiles."""
    from napari_nucleigan.tiling import plan_tiles

    cores = [one.core for one in plan_tiles((SIDE, SIDE), tile, 128, 32)]
    rows = sorted({core.top for core in cores} - {0})
    found = [labels[row + side] for row in rows for side in (-1, 0)]
    found += [labels[:, row + side] for row in rows for side in (-1, 0)]
    return np.setdiff1d(np.concatenate(found), 0)


def _faults(whole: NDArray[np.int32], tiled: NDArray[np.int32], nuclei: NDArray[np.intp]) -> tuple[int, int, int]:
    """Count, of some nuclei, those that are cut, lost and doubled in tiles."""
    inside = (whole > 0) & (tiled > 0)
    base = int(tiled.max()) + 1
    keys, common = np.unique(whole[inside].astype(np.int64) * base + tiled[inside], return_counts=True)
    one, other = keys // base, keys % base
    areas, theirs = np.bincount(whole.ravel()), np.bincount(tiled.ravel())
    iou = common / (areas[one] + theirs[other] - common)
    best = np.zeros(areas.size)
    np.maximum.at(best, one, iou)
    partners = np.bincount(one[common > 0.3 * theirs[other]], minlength=areas.size)
    lost = np.bincount(one, common, minlength=areas.size) < 0.5 * areas
    return int((best[nuclei] < 0.5).sum()), int(lost[nuclei].sum()), int((partners[nuclei] > 1).sum())
