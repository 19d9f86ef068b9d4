"""Slides of the formats that only openslide reads: MRXS, and those of rarer scanners."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np

from napari_nucleigan.data.resolution import checked
from napari_nucleigan.data.slides.slide import Slide, completed, falling
from napari_nucleigan.data.slides.tiffs import over_white
from napari_nucleigan.errors import ImageError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from napari_nucleigan.data.resolution import Found

SUFFIXES = (".mrxs", ".vms", ".vmu", ".svslide", ".czi", ".dcm")
"""Suffixes of slides that openslide reads and tifffile does not."""

_CHUNK = 1024


class _Level:
    """A level as an array that is read where it is sliced."""

    ndim = 3
    dtype = np.dtype(np.uint8)

    def __init__(self, slide: Any, level: int) -> None:
        self._slide = slide
        self._level = level
        width, height = slide.level_dimensions[level]
        self.shape = (height, width, 3)

    def __getitem__(self, parts: tuple[slice, slice, slice]) -> npt.NDArray[np.uint8]:
        rows, columns = (part.indices(length) for part, length in zip(parts, self.shape[:2], strict=False))
        factor = self._slide.level_downsamples[self._level]
        corner = round(columns[0] * factor), round(rows[0] * factor)
        size = columns[1] - columns[0], rows[1] - rows[0]
        return over_white(np.asarray(self._slide.read_region(corner, self._level, size)))


def open_with_openslide(path: Path) -> Slide:
    """Open a slide with openslide.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    Slide

    Raises
    ------
    ImageError
        As `open_slide`.
    """
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
    found = [
        da.from_array(_Level(slide, level), chunks=(_CHUNK, _CHUNK, 3), name=False, meta=np.empty((0, 0, 0), np.uint8))
        for level in range(slide.level_count)
    ]
    levels, notes = completed(falling(found))
    associated = {
        name: da.from_array(over_white(np.asarray(picture.convert("RGBA"))))
        for name, picture in slide.associated_images.items()
    }
    mpp, said = _resolution(slide.properties)
    return Slide(path.stem, path, levels, mpp, associated, (*notes, *said), slide.close)


def _resolution(properties: Any) -> Found:
    try:
        x, y = float(properties["openslide.mpp-x"]), float(properties["openslide.mpp-y"])
    except (KeyError, ValueError):
        return None, ("The file does not say its microns per pixel; give them before you segment.",)
    return checked(x, y, "slide's values")
