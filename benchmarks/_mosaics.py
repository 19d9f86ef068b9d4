"""Slides of any size that are mosaics of H&E tiles: pyramids of JPEG tiles, whose blocks are encoded only once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import imagecodecs
import numpy as np
import tifffile

from _table import Skip, shared
from napari_nucleigan.data.datasets.dataset import Dataset
from napari_nucleigan.data.images.files import read_image
from napari_nucleigan.data.images.samples import synthetic_he

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

SIDE = 1024
"""Side in pixels of the tiles of the mosaic."""

_BLOCK = 512
_GLASS = 244


def tissue_tiles() -> list[NDArray[np.uint8]]:
    """Return H&E tiles of `SIDE` pixels: the Kumar training tiles, or the bundled sample where they are absent."""
    try:
        dataset = Dataset.open(shared("data/kumar")).subset("train")
        found = [dataset.image(name).pixels for name in dataset.names]
    except Skip:
        found = [synthetic_he()[0].pixels]
    return [_extended(pixels) for pixels in found]


def write_mosaic(path: Path, shape: int | tuple[int, int], tissue: float = 1.0, seed: int = 0) -> float:
    """Write a slide at 0.25 microns per pixel.

    Parameters
    ----------
    path : Path
        The file.
    shape : int or (int, int)
        Height and width in pixels.
    tissue : float
        Share of the slide that is tissue: its upper left; the rest is glass.
    seed : int
        Chooses the tiles.

    Returns
    -------
    float
        Megapixels of tissue.
    """
    tiles = [*tissue_tiles(), np.full((SIDE, SIDE, 3), _GLASS, np.uint8)]
    shape = (shape, shape) if isinstance(shape, int) else shape
    counts = [-(-length // SIDE) for length in shape]
    rows, columns = (round(count * tissue**0.5) for count in counts)
    layout = np.full(counts, len(tiles) - 1)
    layout[:rows, :columns] = np.random.default_rng(seed).integers(0, len(tiles) - 1, (rows, columns))
    with tifffile.TiffWriter(path, bigtiff=True) as tif:
        levels = 1 + max(0, int(np.ceil(np.log2(max(shape) / 1024))))
        for level in range(levels):
            height, width = (-(-length // 2**level) for length in shape)
            thumbs = [_shrunk(tile, 2**level) for tile in tiles]
            tif.write(
                _blocks(thumbs, layout, (height, width)),
                shape=(height, width, 3),
                dtype=np.uint8,
                photometric="ycbcr",
                subsampling=(2, 1),
                compression="jpeg",
                tile=(_BLOCK, _BLOCK),
                subifds=levels - 1 if level == 0 else 0,
                subfiletype=0 if level == 0 else 1,
                resolution=(4e4 / 2**level, 4e4 / 2**level),
                resolutionunit="CENTIMETER",
            )
    return min(shape[0], rows * SIDE) * min(shape[1], columns * SIDE) / 1e6


def _blocks(thumbs: list[NDArray[np.uint8]], layout: NDArray[np.int_], shape: tuple[int, int]) -> Iterator[bytes]:
    side = thumbs[0].shape[0]
    down, across = (-(-length // _BLOCK) for length in shape)
    parts = max(1, side // _BLOCK)
    encoded: dict[tuple[int, ...], bytes] = {}
    for row in range(down):
        for column in range(across):
            if side >= _BLOCK:
                place = layout[row // parts, column // parts]
                key: tuple[int, ...] = (int(place), row % parts, column % parts)
                block = thumbs[place][key[1] * _BLOCK :, key[2] * _BLOCK :][:_BLOCK, :_BLOCK]
            else:
                several = _BLOCK // side
                places = layout[row * several : (row + 1) * several, column * several : (column + 1) * several]
                key = tuple(places.ravel().tolist())
                block = np.full((_BLOCK, _BLOCK, 3), _GLASS, np.uint8)
                for y, x in np.ndindex(places.shape):
                    block[y * side : (y + 1) * side, x * side : (x + 1) * side] = thumbs[places[y, x]]
            if key not in encoded or side < _BLOCK:
                encoded[key] = imagecodecs.jpeg_encode(
                    np.ascontiguousarray(block), level=90, colorspace="rgb", outcolorspace="ycbcr", subsampling="422"
                )
            yield encoded[key]


def _shrunk(tile: NDArray[np.uint8], step: int) -> NDArray[np.uint8]:
    side = tile.shape[0] // step
    return tile.reshape(side, step, side, step, 3).mean(axis=(1, 3)).astype(np.uint8)


def _extended(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    missing = [(0, max(0, SIDE - length)) for length in pixels.shape[:2]]
    return np.pad(pixels, (*missing, (0, 0)), mode="symmetric")[:SIDE, :SIDE]


def read_back(path: Path) -> NDArray[np.uint8]:
    """Read a small mosaic as one image."""
    return read_image(path).pixels
