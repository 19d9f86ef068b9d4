"""Slides of 50 000 x 50 000 and 100 000 x 80 000 pixels: the time to their first picture, in Python and in napari.

The part in napari needs a display; without one: ``scripts/xvfb.sh python benchmarks/run.py --only slides``.
"""

from __future__ import annotations

import itertools
import tempfile
import time
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile

from _table import Row, Skip, timed
from _window import need_display
from bench_stains import section
from napari_nucleigan.data.slides import open_slide

SIDE = 50_000
VIEW = 1024
LARGE = (100_000, 80_000)


def write(path: Path, shape: tuple[int, int], side: int) -> None:
    """Write a JPEG pyramid down to 1/32; all of its tiles show the same."""
    tile = imagecodecs.jpeg_encode(section(side), level=80, colorspace="rgb", outcolorspace="ycbcr", subsampling="422")
    with tifffile.TiffWriter(path, bigtiff=True) as tif:
        for level in range(6):
            height, width = (-(-length // 2**level) for length in shape)
            count = -(-height // side) * -(-width // side)
            tif.write(
                itertools.repeat(tile, count),
                shape=(height, width, 3),
                dtype=np.uint8,
                photometric="ycbcr",
                subsampling=(2, 1),
                compression="jpeg",
                tile=(side, side),
                subifds=5 if level == 0 else 0,
                subfiletype=0 if level == 0 else 1,
                resolution=(4e4 / 2**level, 4e4 / 2**level),
                resolutionunit="CENTIMETER",
            )


def measure() -> list[Row]:
    """Open them, read the smallest level, and a view of the largest."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for shape, side in (((SIDE, SIDE), 512), (LARGE, 256)):
            path = Path(folder) / "slide.tif"
            write(path, shape, side)
            rows += [*_read(path, shape, side), _seen(path, shape)]
    return rows


def _read(path: Path, shape: tuple[int, int], side: int) -> list[Row]:
    name = f"{shape[0]}x{shape[1]}"
    firsts = []
    for _ in range(2):  # the first time libraries are loaded
        start = time.perf_counter()
        slide = open_slide(path)
        opened = time.perf_counter() - start
        np.asarray(slide.levels[-1])
        firsts.append(time.perf_counter() - start)
    top, left = shape[0] // 2, shape[1] // 2
    view = timed(lambda: slide.region((top, top + VIEW, left, left + VIEW)), 5)
    slide.close()
    note = f"{name}, JPEG tiles of {side}, {path.stat().st_size / 2**20:.0f} MiB; the smallest of 6 levels"
    note += f"; the first time, with libraries: {firsts[0]:.2g} s"
    return [
        Row("open a slide", opened, "s", "", name),
        Row("a slide's first picture", firsts[1], "s", "<= 1", note),
        view.row(f"a view of {VIEW}x{VIEW} in its middle", note=f"{name}, full resolution"),
    ]


def _seen(path: Path, shape: tuple[int, int]) -> Row:
    """Open a slide in napari for the second time: what napari loads with its first image is not ours."""
    name = "a slide's first picture in napari"
    try:
        need_display()
    except Skip as reason:
        return Row(name, None, note=f"skipped: {reason}")
    import napari
    from qtpy.QtWidgets import QApplication

    viewer = napari.Viewer(show=True)
    try:
        times = []
        for _ in range(2):
            viewer.layers.clear()
            QApplication.processEvents()
            start = time.perf_counter()
            viewer.open(path, plugin="napari-nucleigan")
            viewer.screenshot(flash=False)
            times.append(time.perf_counter() - start)
    finally:
        viewer.close()
    note = f"{shape[0]}x{shape[1]}, until the canvas is drawn; the first image of a session: {times[0]:.2g} s"
    return Row(name, times[1], "s", "<= 1", note)
