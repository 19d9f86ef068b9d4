"""Slides whose nuclei are known: they show encoded fields, which the oracle reads off."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import dask.array as da
import tifffile

from napari_nucleigan.data.slides import Slide
from oracle import picture

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def slide_of(labels: NDArray[np.int32], mpp: float | None = 0.25) -> Slide:
    """Make a slide in memory that shows the field of labels."""
    pixels = da.from_array(picture(labels).pixels, chunks=(256, 256, 3))
    return Slide("picture", Path("picture.svs"), (pixels, pixels[::4, ::4]), mpp)


def write_slide(path: Path, pixels: NDArray[np.uint8], mpp: float | None = 0.25, levels: int = 3) -> Path:
    """Write a pyramid of tiles, compressed without loss."""
    with tifffile.TiffWriter(path) as tif:
        for level in range(levels):
            step = 2**level
            tif.write(
                pixels[::step, ::step],
                photometric="rgb",
                tile=(256, 256),
                compression="zlib",
                subifds=levels - 1 if level == 0 else 0,
                subfiletype=0 if level == 0 else 1,
                resolution=(1e4 / (mpp or 1) / step,) * 2 if mpp else None,
                resolutionunit="CENTIMETER" if mpp else None,
            )
    return path
