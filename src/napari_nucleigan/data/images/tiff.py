"""TIFF files of every kind to one plane of pixels; maps of how densely nuclei lie, as this package writes them."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile

from napari_nucleigan.base.errors import ImageError
from napari_nucleigan.data.images.headers import from_tiff, spacing

MAX_PIXELS = 20_000 * 20_000
"""Largest image that is read as a whole."""

# Damaged files are told of by one error; what tifffile logs beside it would reach the terminal.
logging.getLogger("tifffile").addHandler(logging.NullHandler())

_PHOTOMETRIC = {0: "white-is-zero", 1: "grey", 2: "rgb", 3: "palette", 6: "ycbcr"}
_PLANES = {"Z": "a z-stack", "T": "a time series", "I": "a stack", "Q": "a stack"}
_CHANNELS = "CS"
_JPEG = (6, 7)


@dataclass(frozen=True, slots=True)
class TiffHeader:
    """What a TIFF file says of its 2-D image.

    Attributes
    ----------
    channels : int
        1 for grey and palettes, 2 for grey with alpha, 3 or 4 for colours.
    photometric : str
        ``"grey"``, ``"white-is-zero"``, ``"rgb"`` or ``"palette"``.
    mpp : float or None
        Microns per pixel.
    software : str
        Program that wrote the file.
    notes : tuple of str
        What was chosen or ignored.
    """

    channels: int
    photometric: str
    mpp: float | None
    software: str
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class TiffPlane:
    """One 2-D image of a TIFF file, as stored.

    Attributes
    ----------
    values : ndarray, shape (H, W) or (H, W, channels)
        Stored values; grey may be inverted and palettes are indices, as the header says.
    colours : ndarray of uint16, shape (3, entries), or None
        Table of a palette.
    header : TiffHeader
        The rest.
    """

    values: npt.NDArray[Any]
    colours: npt.NDArray[np.uint16] | None
    header: TiffHeader


def too_large(height: int, width: int) -> ImageError | None:
    """Refuse an image that will not fit into memory; None where it will."""
    if height * width <= MAX_PIXELS:
        return None
    return ImageError(
        f"it has {width} x {height} pixels, more than the {MAX_PIXELS / 1e6:.0f} million that are read as a whole; "
        "crop the region of interest first"
    )


def read_header(path: Path) -> TiffHeader:
    """Read what `read_plane` says, without the pixels.

    Raises
    ------
    ImageError, Exception
        As `read_plane`, but for damaged pixels.
    """
    with tifffile.TiffFile(path) as tif:
        return _inspect(tif)[2]


def read_plane(path: Path) -> TiffPlane:
    """Read the 2-D image of a TIFF file: a pyramid's full resolution, the largest of several.

    Raises
    ------
    ImageError
        If it holds a stack, is too large, stores colours in a way that is not RGB, or ends too early.
    Exception
        Whatever the decoders raise on damaged data.
    """
    with tifffile.TiffFile(path) as tif:
        series, channel, header = _inspect(tif)
        values = _two_dimensional(np.asarray(series.asarray(level=0)), series.axes, channel)
        if values.ndim == 3 and values.shape[-1] == 2:
            # Grey with alpha, since other pairs of channels were refused.
            values = values[..., [0, 0, 0, 1]]
        colours = series.keyframe.colormap if header.photometric == "palette" else None
        return TiffPlane(values, colours, header)


def _inspect(tif: tifffile.TiffFile) -> tuple[tifffile.TiffPageSeries, str | None, TiffHeader]:
    """Choose a series, name its axis of colours, and make sure that it can be read."""
    series = _largest(tif)
    page = series.keyframe
    error = too_large(page.imagelength, page.imagewidth)
    if error:
        raise error
    channel = colour_axis(series)
    refuse_cut_short(series, tif.filehandle.size)
    photometric = _PHOTOMETRIC.get(int(page.photometric))
    if photometric == "ycbcr" and int(page.compression) in _JPEG:
        photometric = "rgb"  # the JPEG decoder has converted it
    if photometric is None or photometric == "ycbcr":
        name = getattr(page.photometric, "name", page.photometric)
        raise ImageError(f"it stores its colours as {name}, which is not read; save it as an RGB TIFF")
    mpp, said = from_tiff(page, tif.ome_metadata, tif.imagej_metadata)
    header = TiffHeader(
        channels=series.shape[series.axes.index(channel)] if channel else 1,
        photometric=photometric,
        mpp=mpp,
        software=str(page.software),
        notes=(*_other_pictures(tif, series), *said),
    )
    return series, channel, header


def displayed(plane: TiffPlane) -> tuple[npt.NDArray[Any], tuple[str, ...]]:
    """Turn stored values into what they look like: palettes looked up, inverted grey turned round.

    Returns
    -------
    values : ndarray, shape (H, W) or (H, W, channels)
    notes : tuple of str
    """
    values = plane.values
    if plane.header.photometric == "palette" and plane.colours is not None:
        table = (plane.colours // 256).astype(np.uint8).T
        if int(values.max(initial=0)) >= len(table):
            raise ImageError("its pixels point beyond its palette")
        return table[values], ("Palette: indices were turned into their colours.",)
    if plane.header.photometric == "white-is-zero":
        if values.dtype.kind == "b":
            values = ~values
        elif values.dtype.kind == "u":
            values = np.iinfo(values.dtype).max - values
        else:
            raise ImageError(f"it stores white as zero in {values.dtype} values; save it with black as zero")
        return values, ("White was stored as zero; the values were turned round.",)
    return values, ()


def _largest(tif: tifffile.TiffFile) -> tifffile.TiffPageSeries:
    found = [series for series in tif.series if math.prod(series.shape) > 0]
    if not found:
        raise ImageError("it holds no picture; perhaps it is cut short")
    return max(found, key=lambda one: one.keyframe.imagelength * one.keyframe.imagewidth)


def _other_pictures(tif: tifffile.TiffFile, chosen: tifffile.TiffPageSeries) -> tuple[str, ...]:
    others = [one for one in tif.series if one is not chosen]
    notes: list[str] = []
    if len(chosen.levels) > 1:
        notes.append(f"The full resolution of a pyramid of {len(chosen.levels)} levels was taken.")
    if others:
        place = tif.series.index(chosen) + 1
        notes.append(f"The file holds {len(others) + 1} pictures; number {place}, the largest, was taken.")
    return tuple(notes)


def colour_axis(series: tifffile.TiffPageSeries) -> str | None:
    """Name the axis of the colours, once all other axes are known to be rows, columns or single.

    Parameters
    ----------
    series : tifffile.TiffPageSeries
        A picture, or a level of one.

    Returns
    -------
    str or None
        A letter of its ``axes``; None where it is grey.

    Raises
    ------
    ImageError
        If it is a stack, or has another number of colours.
    """
    sizes = dict(zip(series.axes, series.shape, strict=True))
    channel = None
    for axis, size in sizes.items():
        if axis in "YX" or size == 1:
            continue
        if axis in _CHANNELS and channel is None:
            channel = axis
        elif axis == "Q" and size in (3, 4) and channel is None and len(sizes) == 3:
            channel = axis  # an array of 3 planes of unknown meaning, written by tifffile
        else:
            raise ImageError(
                f"it is {_PLANES.get(axis, 'a stack')} of {size} planes, and nuclei are found in "
                f"2-D images; "
                "save the plane you want as its own file"
            )
    samples = series.keyframe.samplesperpixel
    if channel and not (sizes[channel] in (3, 4) or (channel == "S" and samples == 2)):
        raise ImageError(
            f"it has {sizes[channel]} channels, and H&E has 3 (red, green, blue); choose or merge them first"
        )
    return channel


def _two_dimensional(values: npt.NDArray[Any], axes: str, channel: str | None) -> npt.NDArray[Any]:
    keep = [axis for axis in axes if axis in "YX" or axis == channel]
    values = values.reshape([n for axis, n in zip(axes, values.shape, strict=True) if axis in keep])
    if channel == "Q":
        return values  # planes first; `to_rgb` decides and says so
    order = [keep.index(axis) for axis in ("Y", "X", *(channel or ""))]
    return values.transpose(order)


def refuse_cut_short(series: tifffile.TiffPageSeries, size: int) -> None:
    """Make sure that all of a picture lies within its file of `size` bytes.

    Raises
    ------
    ImageError
        If it does not.
    """
    # The decoder fills strips and tiles that are missing with zeros and says nothing.
    for page in series.pages:
        if page is None:
            continue
        for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False):
            if offset + count > size:
                raise ImageError("the TIFF is cut short")


@dataclass(frozen=True, eq=False)
class DensityMap:
    """Nuclei per square millimetre over a slide.

    Attributes
    ----------
    name : str
        For people.
    path : Path
        The file.
    values : ndarray of float32, shape (h, w)
        Nuclei per square millimetre. The corner of the first pixel is that of the slide.
    pixel_um : float or None
        Length of a pixel in microns; None where it is not known.
    """

    name: str
    path: Path
    values: npt.NDArray[np.float32]
    pixel_um: float | None


def is_density(path: Path) -> bool:
    """Tell whether a TIFF is a density map of this package: one plane of fractions."""
    with tifffile.TiffFile(path) as tif:
        page = tif.pages[0]
        own = str(page.software).startswith("napari-nucleigan")
        return own and page.dtype is not None and page.dtype.kind == "f" and page.samplesperpixel == 1


def read_density(path: str | Path) -> DensityMap:
    """Read a density map.

    Parameters
    ----------
    path : str or Path
        A TIFF file of this package.

    Returns
    -------
    DensityMap

    Raises
    ------
    ImageError
        If it is missing, damaged, or none.
    """
    path = Path(path)
    try:
        with tifffile.TiffFile(path) as tif:
            page = tif.pages[0]
            values = page.asarray()
            length = spacing(page)
    except Exception as error:  # decoders raise errors of many kinds
        raise ImageError(
            f"Cannot read the density map {path}: it is missing, damaged or cut short ({error})."
        ) from error
    if values.ndim != 2 or values.dtype.kind != "f":
        raise ImageError(f"{path} is no density map: it holds {values.dtype} values of shape {values.shape}.")
    return DensityMap(path.stem, path, values.astype(np.float32, copy=False), length)
