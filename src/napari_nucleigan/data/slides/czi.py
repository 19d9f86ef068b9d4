"""Slides of Zeiss (CZI), which pylibCZIrw reads, from the makers of the format."""

from __future__ import annotations

import math
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_nucleigan.base.errors import ExtraError, ImageError
from napari_nucleigan.base.reading import FileFault, check_regular, reading
from napari_nucleigan.data.images.headers import check_pixel_size
from napari_nucleigan.data.slides.slide import OVERVIEW, UNKNOWN_SCALE, Level, Slide

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from napari_nucleigan.data.images.headers import PixelSize
    from napari_nucleigan.labels.regions import Bounds

_MAGIC = b"ZISRAWFILE"
_TILE = 1024
_COLOURS = "Bgr24"


def is_czi(path: Path) -> bool:
    """Tell by its content whether a file is CZI."""
    try:
        check_regular(path)
        with path.open("rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except (OSError, FileFault):
        return False


class _Level(Level):
    """The mosaic of a slide, shrunk to a part of its size; the file has a pyramid that this is read from."""

    def __init__(self, file: str, document: Any, lock: threading.Lock, step: int) -> None:
        self._left, self._top, width, height = document.total_bounding_rectangle
        super().__init__(file, (max(1, height // step), max(1, width // step), 3), np.uint8, (_TILE, _TILE))
        self._document, self._lock, self._step = document, lock, step

    def _read(self, box: Bounds) -> npt.NDArray[Any]:
        top, bottom, left, right = (edge * self._step for edge in box)
        with self._lock:
            values = self._document.read(
                roi=(self._left + left, self._top + top, right - left, bottom - top),
                plane={"C": 0},
                zoom=1 / self._step,
                pixel_type=_COLOURS,
                background_pixel=(1.0, 1.0, 1.0),
            )
        return np.ascontiguousarray(values[: box[1] - box[0], : box[3] - box[2], ::-1])


def open_czi(path: Path) -> Slide:
    """Open a slide in CZI; takes, returns and raises what `open_slide` does."""
    try:
        from pylibCZIrw import czi
    except (ImportError, OSError) as error:
        raise ExtraError(
            f"{path.name} is a slide of Zeiss, which needs the package pylibCZIrw; run: pip install "
            '"napari-nucleigan[czi]", or export the slide as OME-TIFF from ZEN.'
        ) from error
    with reading(path, ImageError, "slide of Zeiss"), ExitStack() as stack:
        check_regular(path)
        # Not `czi.open_czi`, which closes the file when the slide has gone: napari keeps its levels only.
        document = czi.CziReader(str(path))
        stack.callback(document.close)
        kinds = set(document.pixel_types.values())
        if kinds != {_COLOURS}:
            raise FileFault(
                f"it holds pixels of the kind {', '.join(sorted(kinds))}, and H&E is 8-bit colours ({_COLOURS})"
            )
        _, _, width, height = document.total_bounding_rectangle
        lock = threading.Lock()
        count = 1 + max(0, math.ceil(math.log2(max(width, height) / OVERVIEW)))
        levels = tuple(_Level(path.name, document, lock, 2**level) for level in range(count))
        mpp, notes = _resolution(document.metadata)
        return Slide(path.stem, path, levels, mpp, {}, notes, stack.pop_all().close)


def _resolution(metadata: Any) -> PixelSize:
    try:
        found = metadata["ImageDocument"]["Metadata"]["Scaling"]["Items"]["Distance"]
        metres = {one["@Id"]: float(one["Value"]) for one in ([found] if isinstance(found, dict) else found)}
        sizes = 1e6 * metres["X"], 1e6 * metres["Y"]
    except (KeyError, TypeError, ValueError):
        return None, (UNKNOWN_SCALE,)
    return check_pixel_size(*sizes, "CZI metadata")
