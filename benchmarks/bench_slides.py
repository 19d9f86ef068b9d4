"""A slide of 50 000 x 50 000 pixels: the time to its first picture."""

from __future__ import annotations

import itertools
import tempfile
import time
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile

from _table import Row, timed
from bench_stains import section
from napari_nucleigan.data.slides import open_slide

SIDE = 50_000
TILE = 512
VIEW = 1024


def write(path: Path, side: int = SIDE) -> None:
    """Write a JPEG pyramid down to 1/32; all of its tiles show the same."""
    tile = imagecodecs.jpeg_encode(section(TILE), level=80, colorspace="rgb", outcolorspace="ycbcr", subsampling="422")
    with tifffile.TiffWriter(path, bigtiff=True) as tif:
        for level in range(6):
            height = -(-side // 2**level)
            count = (-(-height // TILE)) ** 2
            tif.write(
                itertools.repeat(tile, count),
                shape=(height, height, 3),
                dtype=np.uint8,
                photometric="ycbcr",
                subsampling=(2, 1),
                compression="jpeg",
                tile=(TILE, TILE),
                subifds=5 if level == 0 else 0,
                subfiletype=0 if level == 0 else 1,
                resolution=(4e4 / 2**level, 4e4 / 2**level),
                resolutionunit="CENTIMETER",
            )


def measure() -> list[Row]:
    """Open it, read its smallest level, and a view of its largest."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "slide.tif"
        write(path)
        size = path.stat().st_size / 2**20
        start = time.perf_counter()
        slide = open_slide(path)
        opened = time.perf_counter() - start
        np.asarray(slide.levels[-1])
        first = time.perf_counter() - start
        middle = SIDE // 2
        view = timed(lambda: slide.region((middle, middle + VIEW, middle, middle + VIEW)), 5)
        note = f"{SIDE}x{SIDE}, JPEG, {size:.0f} MiB; the smallest of 6 levels"
        rows = [
            Row("open a slide", opened, "s", "", f"{SIDE}x{SIDE}"),
            Row("a slide's first picture", first, "s", "<= 1", note),
            view.row(f"a view of {VIEW}x{VIEW} in its middle", note="full resolution"),
        ]
        slide.close()
    return rows
