"""Slides of the formats that only openslide reads: MRXS, and those of rarer scanners."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nucleigan.base.errors import ImageError
from napari_nucleigan.base.reading import FileFault, check_regular, reading
from napari_nucleigan.data.images.convert import over_white
from napari_nucleigan.data.images.headers import check_pixel_size, from_magnification
from napari_nucleigan.data.slides.slide import UNKNOWN_SCALE, Level, Slide, by_size, with_overview

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from napari_nucleigan.data.images.headers import PixelSize
    from napari_nucleigan.labels.regions import Bounds

_TILE = 256  # what most of these files are made of; openslide tells it of few


class _Level(Level):
    """A level of a slide, cut to the part that was scanned, in whose pixels QuPath counts too."""

    def __init__(self, file: str, slide: Any, level: int) -> None:
        self._left, self._top, width, height = _scanned(slide)
        factor = slide.level_downsamples[level]
        shape = max(1, round(height / factor)), max(1, round(width / factor)), 3
        super().__init__(file, shape, np.uint8, (_TILE, _TILE))
        self._slide = slide
        self._level = level

    def _read(self, box: Bounds) -> npt.NDArray[Any]:
        factor = self._slide.level_downsamples[self._level]
        corner = self._left + round(box[2] * factor), self._top + round(box[0] * factor)
        values = np.asarray(self._slide.read_region(corner, self._level, (box[3] - box[2], box[1] - box[0])))
        return over_white(values[..., :3], values[..., 3:])


def _scanned(slide: Any) -> tuple[int, int, int, int]:
    """First column, first row, width and height of the part of a slide that was scanned; of all where that is unknown.

    MRXS files have a canvas of the whole glass, most of which was never looked at.
    """
    width, height = slide.dimensions
    try:
        found = [int(slide.properties[f"openslide.bounds-{name}"]) for name in ("x", "y", "width", "height")]
    except (KeyError, ValueError):
        return 0, 0, width, height
    x, y, inner_width, inner_height = found
    if min(found) < 0 or not (0 < inner_width <= width - x and 0 < inner_height <= height - y):
        return 0, 0, width, height
    return x, y, inner_width, inner_height


class _Associated(Level):
    def __init__(self, file: str, slide: Any, name: str) -> None:
        width, height = (int(slide.properties[f"openslide.associated.{name}.{side}"]) for side in ("width", "height"))
        super().__init__(file, (height, width, 3), np.uint8, (height, width))
        self._slide = slide
        self._name = name

    def _read(self, box: Bounds) -> npt.NDArray[Any]:
        picture = np.asarray(self._slide.associated_images[self._name].convert("RGBA"))
        part = picture[box[0] : box[1], box[2] : box[3]]
        return over_white(part[..., :3], part[..., 3:])


def may_open(path: Path) -> bool:
    """Tell whether openslide reads a file, or would if it were installed."""
    try:
        import openslide
    except (ImportError, OSError):
        return True
    try:
        check_regular(path)
        return openslide.OpenSlide.detect_format(path) is not None
    except (openslide.OpenSlideError, OSError, FileFault):
        return False


def open_with_openslide(path: Path) -> Slide:
    """Open a slide with openslide; takes, returns and raises what `open_slide` does."""
    try:
        import openslide
    except (ImportError, OSError) as error:
        raise ImageError(
            f"{path.name} is a slide that only openslide reads, and it is not installed; "
            'run: pip install "napari-nucleigan[slides]"'
        ) from error
    with reading(path, ImageError, "slide"):
        check_regular(path)
        slide = openslide.OpenSlide(path)
        levels, notes = with_overview(by_size([_Level(path.name, slide, level) for level in range(slide.level_count)]))
        associated = {name: _Associated(path.name, slide, name).lazy() for name in slide.associated_images}
        mpp, said = _resolution(slide.properties)
        if levels[0].shape[:2] != slide.dimensions[::-1]:
            notes = (*notes, "The slide was cut to the part that was scanned, as QuPath does.")
        # Numbers of DICOM have points in them.
        name = path.name if path.suffix[1:].isdecimal() else path.stem
        return Slide(name, path, levels, mpp, associated, (*notes, *said), slide.close)


def _resolution(properties: Any) -> PixelSize:
    def of(name: str) -> float:
        try:
            return float(properties[f"openslide.{name}"])
        except (KeyError, ValueError):
            return math.nan

    mpp, notes = check_pixel_size(of("mpp-x"), of("mpp-y"), "slide's values")
    if mpp is None:
        return from_magnification(of("objective-power"), "slide's values", notes or (UNKNOWN_SCALE,))
    return mpp, notes
