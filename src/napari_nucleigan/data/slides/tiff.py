"""Slides in TIFF and in the formats that are made of it: SVS, NDPI, SCN, BIF, Philips, OME-TIFF."""

from __future__ import annotations

import math
import re
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr

from napari_nucleigan.base.errors import ImageError
from napari_nucleigan.base.pixels import mpp_of, sides
from napari_nucleigan.base.reading import FileFault, check_regular, reading
from napari_nucleigan.data.images.convert import DARK_CHANNELS, is_dark
from napari_nucleigan.data.images.headers import NUMBER, check_pixel_size, file_kind, from_tiff, number
from napari_nucleigan.data.images.layout import APERIO_YCBCR, TURNED, Layout
from napari_nucleigan.data.images.tiff import guard, open_guarded, opened, refuse_cut_short
from napari_nucleigan.data.slides.levels import TurnedLevel, ZarrLevel, opaque
from napari_nucleigan.data.slides.slide import (
    UNKNOWN_SCALE,
    Level,
    Slide,
    by_size,
    with_overview,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import dask.array as da
    import numpy.typing as npt
    import tifffile

    from napari_nucleigan.data.images.headers import PixelSize
    from napari_nucleigan.labels.regions import Bounds

NAMES = {"label": "label", "macro": "macro", "overview": "macro", "thumbnail": "thumbnail", "map": "map"}
"""Words in the names of series, and what the pictures are."""

_LARGE_PIECE = 16 << 20  # pixels; to decode so many takes longer than a view may


class OpenslideNeeded(FileFault):
    """A TIFF whose colours openslide turns into RGB, and tifffile does not."""


def is_tiff(path: Path) -> bool:
    """Tell by the first bytes whether a file is a TIFF."""
    try:
        check_regular(path)
        with path.open("rb") as file:
            return file_kind(file.read(8)) == "tiff"
    except (OSError, FileFault):
        return False


def looks_like_slide(path: Path, pixels: int) -> bool:
    """Tell whether a TIFF is an H&E image that is better opened as a slide.

    That is a pyramid, an image with pictures of its glass, or one of more than so many pixels.

    Parameters
    ----------
    path : Path
        A TIFF file.
    pixels : int
        From how many pixels on.
    """
    with opened(path) as tif:
        series = _main(tif)
        try:
            _layout(tif, series)
        except OpenslideNeeded:
            if int(series.keyframe.compression) == APERIO_YCBCR:
                return True
        except FileFault:
            return False
        large = series.keyframe.imagelength * series.keyframe.imagewidth > pixels
        return large or len(series.levels) > 1 or any(_kind(one) for one in tif.series if one is not series)


def open_tiff(path: Path) -> Slide:
    """Open a slide with tifffile; takes, returns and raises what `open_slide` does, or `OpenslideNeeded`."""
    tif: tifffile.TiffFile | None = None
    try:
        tif = open_guarded(path)
        tif.filehandle.set_lock(True)
        # A viewer lets go of the levels without a word.
        weakref.finalize(tif, tif.filehandle.close)
        return _opened(tif, path)
    except BaseException as error:
        if tif is not None:
            tif.close()
        if isinstance(error, OpenslideNeeded):
            raise
        with reading(path, ImageError, "slide"):
            raise


def _opened(tif: tifffile.TiffFile, path: Path) -> Slide:
    series = _main(tif)
    for level in series.levels:
        refuse_cut_short(level, tif.filehandle.size)
    layout = _layout(tif, series)
    levels, notes = with_overview(by_size([_plane(tif, series, level) for level in range(len(series.levels))]))
    if layout.separate and is_dark(levels[-1][:]):
        raise FileFault(DARK_CHANNELS)
    if layout.orientation != 1:
        notes = (*notes, f"The file says how it was held: the picture was {TURNED[layout.orientation]}.")
    piece = math.prod(levels[0].tile)
    if piece > _LARGE_PIECE:
        notes = (
            *notes,
            f"The file is compressed in pieces of {piece / 1e6:.0f} million pixels, and for every view whole ones are "
            "read, which takes a while. A tiled file is read faster.",
        )
    mpp, said = _resolution(tif, series)
    if mpp and layout.orientation >= 5:
        mpp = mpp_of(*reversed(sides(mpp)))
    slides = sum(_kind(one) is None for one in tif.series)
    if slides > 1:
        notes = (
            *notes,
            f"The file holds {slides} slides; the largest, number {tif.series.index(series) + 1}, was taken.",
        )
    name = path.stem.removesuffix(".ome")
    return Slide(name, path, levels, mpp, _associated(tif, series), (*notes, *said), tif.close)


def _main(tif: tifffile.TiffFile) -> tifffile.TiffPageSeries:
    """Choose the picture with the most pixels that is not one of the glass."""
    found = [one for one in tif.series if math.prod(one.shape) > 0 and _kind(one) is None]
    found = found or [one for one in tif.series if math.prod(one.shape) > 0]
    if not found:
        raise FileFault("it holds no picture")
    return max(found, key=lambda one: one.keyframe.imagelength * one.keyframe.imagewidth)


def _kind(series: tifffile.TiffPageSeries) -> str | None:
    words = re.findall("[a-z]+", f"{series.name} {_first_words(series.keyframe.description)}".lower())
    return next((kind for word, kind in NAMES.items() if word in words), None)


def _first_words(description: str) -> str:
    # Aperio writes "label 387x463" or "macro 1280x431" on the second line of the pictures of the glass.
    lines = description.splitlines()[:2]
    return "" if description.lstrip().startswith(("<", "{")) else " ".join(line[:40] for line in lines)


def _associated(tif: tifffile.TiffFile, chosen: tifffile.TiffPageSeries) -> Mapping[str, da.Array]:
    found: dict[str, da.Array] = {}
    for series in tif.series:
        kind = _kind(series)
        if series is chosen or kind is None or kind in found:
            continue
        try:
            found[kind] = _plane(tif, series).lazy()
        except FileFault:
            continue  # a picture of focus or of scanned tiles, which is no colour image
    return found


def _layout(tif: tifffile.TiffFile, level: tifffile.TiffPageSeries) -> Layout:
    """Return what the samples of a level are; an error where they are not 8-bit RGB."""
    layout = Layout.of(level, tif.ome_metadata)
    if level.dtype != np.uint8 or layout.bits != 8:
        raise FileFault(f"it holds {layout.bits}-bit values ({level.dtype}), and slides are 8-bit RGB")
    if layout.colours != 3:
        raise FileFault("it is grey, and slides are 8-bit RGB")
    if layout.photometric == "ycbcr" or int(level.keyframe.compression) == APERIO_YCBCR:
        raise OpenslideNeeded("it stores its colours as YCbCr")
    return layout


def _plane(tif: tifffile.TiffFile, series: tifffile.TiffPageSeries, place: int = 0) -> Level:
    level = series.levels[place]
    layout = _layout(tif, level)
    guard(level)
    if level.dataoffset is not None and not level.keyframe.is_tiled and level.axes.endswith("YXS"):
        plane: Level = _Uncompressed(tif, level, layout.alpha)
    else:
        # Tiles that scanners leave out show glass.
        array = zarr.open_array(series.aszarr(level=place, fillvalue=255), mode="r")
        plane = ZarrLevel(tif.filename, array, level.axes, ("Y", "X", layout.axis or ""), layout.alpha)
    return TurnedLevel(plane, layout.orientation) if layout.orientation != 1 else plane


class _Uncompressed(Level):
    """A picture that lies in its file row by row; as an array on disk it would be of one piece."""

    def __init__(self, tif: tifffile.TiffFile, level: tifffile.TiffPageSeries, alpha: str) -> None:
        height, width, self._samples = level.shape[-3:]
        super().__init__(tif.filename, (height, width, 3), np.uint8, (1, width))
        self._tif = tif
        self._start = level.dataoffset
        self._alpha = alpha

    def _read(self, box: Bounds) -> npt.NDArray[Any]:
        row = self.shape[1] * self._samples
        file = self._tif.filehandle
        with file.lock:
            file.seek(self._start + box[0] * row)
            data = file.read((box[1] - box[0]) * row)
        values = np.frombuffer(data, np.uint8).reshape(-1, self.shape[1], self._samples)[:, box[2] : box[3]]
        return opaque(values, self._alpha)


def _resolution(tif: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> PixelSize:
    page = series.keyframe
    text = str(tif.philips_metadata or "") if tif.is_philips else ""
    if sizes := re.search(
        r'Name="DICOM_PIXEL_SPACING"[^>]*>\s*(?:&quot;|")([0-9.,eE+-]+)(?:&quot;|")\s+(?:&quot;|")([0-9.,eE+-]+)', text
    ):
        return check_pixel_size(1e3 * number(sizes[2]), 1e3 * number(sizes[1]), "Philips header's values")
    if tif.is_bif and (found := re.search(rf'ScanRes="{NUMBER}"', _xmp(tif))):
        return check_pixel_size(number(found[1]), number(found[1]), "Ventana header's values")
    mpp, notes = from_tiff(page, tif.ome_metadata, tif.imagej_metadata, tif.series.index(series))
    if mpp is None and not notes:
        notes = (UNKNOWN_SCALE,)
    return mpp, notes


def _xmp(tif: tifffile.TiffFile) -> str:
    values = (page.tags.valueof("XMP", default=b"") for page in tif.pages)
    return " ".join(value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value) for value in values)
