"""Slides in TIFF and in the formats that are made of it: SVS, NDPI, SCN, BIF, Philips, OME-TIFF."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

import dask.array as da
import numpy as np
import tifffile
import zarr

from napari_nucleigan.data.headers import file_kind
from napari_nucleigan.data.resolution import checked, from_tiff
from napari_nucleigan.data.slides.slide import Slide, completed, falling
from napari_nucleigan.data.tiff import colour_axis, refuse_cut_short
from napari_nucleigan.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy.typing as npt

    from napari_nucleigan.data.resolution import Found

NAMES = {"label": "label", "macro": "macro", "overview": "macro", "thumbnail": "thumbnail", "map": "map"}
"""Words in the names of series, and what the pictures are."""

_VENDORS = ("is_svs", "is_ndpi", "is_scn", "is_bif", "is_philips")
_STRIP = 256  # rows at once of pictures that are stored in strips


def is_tiff(path: Path) -> bool:
    """Tell by the first bytes whether a file is a TIFF."""
    try:
        with path.open("rb") as file:
            return file_kind(file.read(8)) == "tiff"
    except OSError:
        return False


def looks_like_slide(path: Path, pixels: int) -> bool:
    """Tell whether a TIFF is better opened as a slide: a scanner's file, a pyramid, or of more than so many pixels.

    Parameters
    ----------
    path : Path
        A TIFF file.
    pixels : int
        From how many pixels on.
    """
    with tifffile.TiffFile(path) as tif:
        if any(getattr(tif, vendor) for vendor in _VENDORS):
            return True
        series = _main(tif)
        page = series.keyframe
        return len(series.levels) > 1 or page.imagelength * page.imagewidth > pixels


def open_tiff(path: Path) -> Slide:
    """Open a slide with tifffile.

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
    tif: tifffile.TiffFile | None = None
    try:
        tif = tifffile.TiffFile(path)
        return _opened(tif, path)
    except Exception as error:
        if tif is not None:
            tif.close()
        if isinstance(error, ImageError):
            raise ImageError(f"{path.name} cannot be opened as a slide: {error}.") from error
        if isinstance(error, OSError) and error.strerror:
            raise ImageError(f"Cannot open the slide {path}: {error.strerror}.") from error
        raise ImageError(f"{path.name} is damaged or cut short ({error}); copy it again.") from error


def _opened(tif: tifffile.TiffFile, path: Path) -> Slide:
    series = _main(tif)
    for level in series.levels:
        refuse_cut_short(level, tif.filehandle.size)
    levels, notes = completed(falling([_lazy(series, level) for level in range(len(series.levels))]))
    mpp, said = _resolution(tif, series)
    others = _associated(tif, series)
    left = len(tif.series) - 1 - len(others)
    if left:
        notes = (
            *notes,
            f"The file holds {left + 1} slides; the largest, number {tif.series.index(series) + 1}, was taken.",
        )
    return Slide(path.stem.removesuffix(".ome"), path, levels, mpp, others, (*notes, *said), tif.close)


def _main(tif: tifffile.TiffFile) -> tifffile.TiffPageSeries:
    """Choose the picture with the most pixels that is not one of the glass."""
    found = [one for one in tif.series if math.prod(one.shape) > 0 and _kind(one) is None]
    found = found or [one for one in tif.series if math.prod(one.shape) > 0]
    if not found:
        raise ImageError("it holds no picture")
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
            found[kind] = _lazy(series)
        except ImageError:
            continue  # a picture of focus or of scanned tiles, which is no colour image
    return found


def _lazy(series: tifffile.TiffPageSeries, number: int = 0) -> da.Array:
    """Make a lazy (H, W, 3) array of a level."""
    level = series.levels[number]
    channel = colour_axis(level)
    if level.dtype != np.uint8 or (channel and level.shape[level.axes.index(channel)] not in (3, 4)):
        raise ImageError(f"it holds {level.dtype} values on the axes {level.axes}, and slides are 8-bit RGB")
    if channel is None:
        raise ImageError("it is grey, and slides are 8-bit RGB")
    array = da.from_zarr(zarr.open_array(series.aszarr(level=number), mode="r"))
    single = tuple(0 if axis not in ("Y", "X", channel) else slice(None) for axis in level.axes)
    array = array[single]
    axes = [axis for axis in level.axes if axis in ("Y", "X", channel)]
    array = array.transpose([axes.index(axis) for axis in ("Y", "X", channel)])
    if not level.keyframe.is_tiled:
        array = array.rechunk((_STRIP, -1, -1))
    array = array.rechunk({2: -1})
    return array if array.shape[2] == 3 else array.map_blocks(over_white, dtype=np.uint8, chunks=(*array.chunks[:2], 3))


def over_white(values: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Lay colours with an alpha channel over white.

    Parameters
    ----------
    values : ndarray of uint8, shape (H, W, 4)
        Red, green, blue and opacity.

    Returns
    -------
    ndarray of uint8, shape (H, W, 3)
    """
    opacity = values[..., 3:].astype(np.uint16)
    mixed = (values[..., :3] * opacity + 255 * (255 - opacity) + 127) // 255
    return mixed.astype(np.uint8)


def _resolution(tif: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> Found:
    page = series.keyframe
    text = str(tif.philips_metadata or "") if tif.is_philips else ""
    if sizes := re.search(
        r'Name="DICOM_PIXEL_SPACING"[^>]*>\s*(?:&quot;|")([0-9.eE+-]+)(?:&quot;|")\s+(?:&quot;|")([0-9.eE+-]+)', text
    ):
        return checked(1e3 * float(sizes[2]), 1e3 * float(sizes[1]), "Philips header's values")
    if tif.is_bif and (found := re.search(r'ScanRes="([0-9.]+)"', _xmp(tif))):
        return checked(float(found[1]), float(found[1]), "Ventana header's values")
    mpp, notes = from_tiff(page, tif.ome_metadata, tif.imagej_metadata)
    if mpp is None and not notes:
        notes = ("The file does not say its microns per pixel; give them before you segment.",)
    return mpp, notes


def _xmp(tif: tifffile.TiffFile) -> str:
    values = (page.tags.valueof("XMP", default=b"") for page in tif.pages)
    return " ".join(value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value) for value in values)
