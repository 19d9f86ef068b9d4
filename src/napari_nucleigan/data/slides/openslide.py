"""Slides of the formats that only openslide reads: MRXS, and those of rarer scanners."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nucleigan.base.errors import ImageError
from napari_nucleigan.data.images.convert import over_white
from napari_nucleigan.data.images.headers import check_pixel_size
from napari_nucleigan.data.slides.slide import UNKNOWN_SCALE, Level, Slide, by_size, with_overview

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from napari_nucleigan.data.images.headers import PixelSize
    from napari_nucleigan.labels.regions import Bounds

SUFFIXES = (".mrxs", ".vms", ".vmu", ".svslide")
"""Suffixes of slides that openslide reads and tifffile does not."""

_TILE = 256  # what most of these files are made of; openslide tells it of few


class _Level(Level):
    def __init__(self, file: str, slide: Any, level: int) -> None:
        width, height = slide.level_dimensions[level]
        super().__init__(file, (height, width, 3), np.uint8, (_TILE, _TILE))
        self._slide = slide
        self._level = level

    def _read(self, box: Bounds) -> npt.NDArray[Any]:
        factor = self._slide.level_downsamples[self._level]
        corner = round(box[2] * factor), round(box[0] * factor)
        values = np.asarray(self._slide.read_region(corner, self._level, (box[3] - box[2], box[1] - box[0])))
        return over_white(values[..., :3], values[..., 3:])


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
    """Tell whether openslide reads a file, or would if it were installed: by the name alone, then."""
    try:
        import openslide
    except (ImportError, OSError):
        return path.suffix.lower() in SUFFIXES
    try:
        return openslide.OpenSlide.detect_format(path) is not None
    except (openslide.OpenSlideError, OSError):
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
    try:
        slide = openslide.OpenSlide(path)
    except (openslide.OpenSlideError, OSError) as error:
        raise ImageError(f"{path.name} is no slide that can be opened, or is damaged ({error}).") from error
    levels, notes = with_overview(by_size([_Level(path.name, slide, level) for level in range(slide.level_count)]))
    associated = {name: _Associated(path.name, slide, name).lazy() for name in slide.associated_images}
    mpp, said = _resolution(slide.properties)
    return Slide(path.stem, path, levels, mpp, associated, (*notes, *said), slide.close)


def _resolution(properties: Any) -> PixelSize:
    try:
        x, y = float(properties["openslide.mpp-x"]), float(properties["openslide.mpp-y"])
    except (KeyError, ValueError):
        return None, (UNKNOWN_SCALE,)
    return check_pixel_size(x, y, "slide's values")
