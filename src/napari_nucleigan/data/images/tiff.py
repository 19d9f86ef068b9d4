"""TIFF files of every kind to one plane of pixels; maps of how densely nuclei lie, as this package writes them."""

from __future__ import annotations

import logging
import math
import re
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np
import numpy.typing as npt
import tifffile

from napari_nucleigan.base.errors import ImageError
from napari_nucleigan.base.pixels import mpp_of, sides
from napari_nucleigan.base.reading import FileFault, check_memory, check_regular, read_bytes, reading
from napari_nucleigan.data.images.convert import full_range
from napari_nucleigan.data.images.headers import from_tiff, picture_size, spacing
from napari_nucleigan.data.images.layout import APERIO_YCBCR, JPEG, Layout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAX_PIXELS = 20_000 * 20_000
"""Largest image that is read as a whole."""

MAX_PAGES = 10_000
"""Pages of a file; one with more is no picture, and takes minutes to look through."""

_SURPLUS = 1 << 24  # pixels that a strip or tile may have more than it should
_OME_PLANES = re.compile(r"<(?:\w+:)?(?:Pixels|TiffData)\b[^>]*>")
_OME_COUNT = re.compile(r"""\b(?:Size[CTZ]|PlaneCount|NumPlanes)\s*=\s*["'](\d{1,300})["']""")

# Damaged files are told of by one error; what decoders log beside it would reach the terminal.
for _decoder in ("tifffile", "imagecodecs"):
    logging.getLogger(_decoder).addHandler(logging.NullHandler())


@dataclass(frozen=True, slots=True)
class TiffHeader:
    """What a TIFF file says of its 2-D image.

    Attributes
    ----------
    layout : Layout
        What its samples are.
    dtype : dtype
        Of the stored values.
    mpp : float or None
        Microns per pixel.
    software : str
        Program that wrote the file.
    jpeg : bool
        Whether the values went through JPEG, which changes them.
    notes : tuple of str
        What was chosen or ignored.
    """

    layout: Layout
    dtype: np.dtype[Any]
    mpp: float | None
    software: str
    jpeg: bool
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class TiffPlane:
    """One 2-D image of a TIFF file, as stored, the right side up.

    Attributes
    ----------
    values : ndarray, shape (H, W) or (H, W, 3)
        Stored values; grey may be inverted and palettes are indices, as the header says.
    alpha : ndarray, shape (H, W), or None
        Stored opacity.
    palette : ndarray of uint8, shape (entries, 3), or None
        Colours of indices.
    header : TiffHeader
        The rest.
    """

    values: npt.NDArray[Any]
    alpha: npt.NDArray[Any] | None
    palette: npt.NDArray[np.uint8] | None
    header: TiffHeader


def check_size(height: int, width: int) -> None:
    """Refuse an image that will not fit into memory.

    Raises
    ------
    FileFault
        If it has too many pixels.
    """
    if height * width > MAX_PIXELS:
        raise FileFault(
            f"it has {width} x {height} pixels, more than the {MAX_PIXELS / 1e6:.0f} million that are read as a whole; "
            "crop the region of interest first"
        )


@contextmanager
def opened(path: Path) -> Iterator[tifffile.TiffFile]:
    """Open a TIFF file for as long as the context lasts; see `open_guarded`."""
    with open_guarded(path) as tif:
        yield tif


def open_guarded(path: Path) -> tifffile.TiffFile:
    """Open a TIFF file, so that it can neither wait for ever, nor hold endless pages.

    Raises
    ------
    OSError, FileFault, Exception
        If the system refuses, it is no regular file, or no TIFF.
    """
    check_regular(path)
    if path.suffix.lower() == ".vsi":
        raise FileFault(
            "it is the overview of an Olympus slide, whose own pixels lie in the .ets files beside it, which are not "
            "read; convert the slide to OME-TIFF, in QuPath or by bfconvert of Bio-Formats"
        )
    tif = tifffile.TiffFile(path)
    try:
        _refuse_planes(tif.ome_metadata)
        tif.pages.get(MAX_PAGES)
    except IndexError:
        return tif
    except BaseException:
        tif.close()
        raise
    tif.close()
    raise FileFault(f"it has more than {MAX_PAGES} pages, which no picture of a section has")


def _refuse_planes(ome: str | None) -> None:
    """Refuse OME-XML that tells of endless planes, for each of which tifffile makes room before it looks for it."""
    for tag in _OME_PLANES.findall(ome or ""):
        count = math.prod(float(number) for number in _OME_COUNT.findall(tag))
        if count > MAX_PAGES:
            raise FileFault(f"it says that it has {count:.3g} planes, more than the {MAX_PAGES} of any picture")


def guard(series: tifffile.TiffPageSeries) -> None:
    """Make sure that no strip or tile of a picture takes more memory than it can be worth, now and when it is decoded.

    Those that are pictures themselves (JPEG, JPEG 2000, PNG) say how large they are, whatever the file says.

    Raises
    ------
    FileFault
        If a strip or tile is too large.
    """
    page = series.keyframe
    piece = math.prod(page.chunks) * (page.dtype.itemsize if page.dtype else 1)
    check_memory(piece)
    decode: Callable[..., Any] = page.decode

    def guarded(data: bytes | None, *arguments: Any, **options: Any) -> Any:
        size = picture_size(data) if data is not None else None
        if size is not None and math.prod(size) > _SURPLUS + 4 * math.prod(page.chunks[:2]):
            raise FileFault(f"a strip or tile of it is a picture of {size[1]} x {size[0]} pixels")
        return decode(data, *arguments, **options)

    page.decode = guarded


def read_header(path: Path) -> TiffHeader:
    """Read what `read_plane` says, without the pixels, be there as many as there may.

    Raises
    ------
    FileFault, Exception
        As `read_plane`, but for damaged pixels and too many of them.
    """
    with opened(path) as tif:
        return _inspect(tif, whole=False)[1]


def read_plane(path: Path, *, as_bytes: bool = False) -> TiffPlane:
    """Read the 2-D image of a TIFF file: a pyramid's full resolution, the largest of several.

    Parameters
    ----------
    path : Path
        The file.
    as_bytes : bool
        Whether colours of one byte are to be made of it, for which there must be memory too.

    Raises
    ------
    FileFault
        If it holds a stack, is too large, stores colours in a way that is not RGB, or ends too early.
    Exception
        Whatever the decoders raise on damaged data.
    """
    with opened(path) as tif:
        series, header = _inspect(tif, whole=True)
        page, layout = series.keyframe, header.layout
        if as_bytes:
            interleaved = header.dtype.itemsize == 1 and layout.colours == 3 and series.axes.endswith(layout.axis or "")
            check_memory(math.prod(series.shape) * header.dtype.itemsize + (0 if interleaved else 3 * _pixels(page)))
        if layout.photometric == "ycbcr":
            return TiffPlane(_by_libtiff(path, page, layout), None, None, header)
        values, alpha, notes = layout.split(np.asarray(series.asarray(level=0)), series.axes)
        palette = _palette(page.colormap) if layout.photometric == "palette" else None
        return TiffPlane(values, alpha, palette, replace(header, notes=(*header.notes, *notes)))


def _inspect(tif: tifffile.TiffFile, whole: bool) -> tuple[tifffile.TiffPageSeries, TiffHeader]:
    """Choose a series, and make sure that it can be read, as a `whole` or only its parts."""
    series = _largest(tif)
    page = series.keyframe
    if whole:
        check_size(page.imagelength, page.imagewidth)
    layout = Layout.of(series, tif.ome_metadata)
    if int(page.compression) == APERIO_YCBCR:
        raise FileFault("it stores its colours as YCbCr in JPEG 2000, as slides of Aperio do; save it as an RGB TIFF")
    refuse_cut_short(series, tif.filehandle.size)
    guard(series)
    dtype = np.dtype(series.dtype)
    if whole:
        check_memory(math.prod(series.shape) * dtype.itemsize)
    mpp, said = from_tiff(page, tif.ome_metadata, tif.imagej_metadata, tif.series.index(series))
    if mpp and layout.orientation >= 5:
        mpp = mpp_of(*reversed(sides(mpp)))
    jpeg = int(page.compression) in JPEG
    return series, TiffHeader(layout, dtype, mpp, str(page.software), jpeg, (*_other_pictures(tif, series), *said))


def displayed(plane: TiffPlane) -> tuple[npt.NDArray[Any], tuple[str, ...]]:
    """Turn stored values into what they look like: palettes looked up, inverted grey turned round, opacity last.

    Returns
    -------
    values : ndarray, shape (H, W), (H, W, 3) or (H, W, 4)
    notes : tuple of str
    """
    values, layout, notes = plane.values, plane.header.layout, []
    if plane.palette is not None:
        indices = values.astype(np.uint8) if values.dtype.kind == "b" else values
        if int(indices.max(initial=0)) >= len(plane.palette):
            raise FileFault("its pixels point beyond its palette")
        values = plane.palette[indices]
        notes.append("Palette: indices were turned into their colours.")
    elif layout.photometric == "white-is-zero":
        if values.dtype.kind not in "bu":
            raise FileFault(f"it stores white as zero in {values.dtype} values; save it with black as zero")
        values = ~values if values.dtype.kind == "b" else values.dtype.type(2**layout.bits - 1) - values
        notes.append("White was stored as zero; the values were turned round.")
    if plane.palette is None and values.dtype.kind == "u" and layout.bits != 8 * values.dtype.itemsize:
        values = full_range(values, layout.bits)
        notes.append(f"{layout.bits}-bit values (0 to {2**layout.bits - 1}) were scaled to 8 bits.")
    if plane.alpha is None:
        return values, tuple(notes)
    alpha = plane.alpha
    if alpha.dtype != values.dtype:  # of a palette, or of a few bits
        alpha = full_range(alpha, layout.bits)
    values = values if values.ndim == 3 else np.repeat(values[..., None], 3, axis=-1)
    return np.concatenate([values, alpha[..., None]], axis=-1), tuple(notes)


def _by_libtiff(path: Path, page: tifffile.TiffPage, layout: Layout) -> npt.NDArray[np.uint8]:
    """Have libtiff make RGB of brightness and colour that may be stored at different resolutions."""
    if layout.orientation != 1 or not isinstance(page.index, int):
        raise FileFault("it stores its colours as YCbCr, turned or within another picture; save it as an RGB TIFF")
    check_memory(4 * _pixels(page))
    pixels: npt.NDArray[np.uint8] = imagecodecs.tiff_decode(read_bytes(path), page.index, asrgb=True)[..., :3]
    return pixels


def _pixels(page: tifffile.TiffPage) -> int:
    return int(page.imagelength) * int(page.imagewidth)


def _palette(table: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint8]:
    """Turn a table of colours, of shape (3, entries), to bytes, which some programs store as they are."""
    colours: npt.NDArray[np.uint8] = (table if table.max(initial=0) < 256 else table // 256).astype(np.uint8).T
    return colours


def _largest(tif: tifffile.TiffFile) -> tifffile.TiffPageSeries:
    found = [series for series in tif.series if math.prod(series.shape) > 0]
    if not found:
        raise FileFault("it holds no picture; perhaps it is cut short")
    return max(found, key=lambda one: _pixels(one.keyframe))


def _other_pictures(tif: tifffile.TiffFile, chosen: tifffile.TiffPageSeries) -> tuple[str, ...]:
    others = [one for one in tif.series if one is not chosen]
    notes: list[str] = []
    if len(chosen.levels) > 1:
        notes.append(f"The full resolution of a pyramid of {len(chosen.levels)} levels was taken.")
    if others:
        place = tif.series.index(chosen) + 1
        notes.append(f"The file holds {len(others) + 1} pictures; number {place}, the largest, was taken.")
    return tuple(notes)


def refuse_cut_short(series: tifffile.TiffPageSeries, size: int) -> None:
    """Make sure that all of a picture lies within its file of `size` bytes.

    Raises
    ------
    FileFault
        If it does not.
    """
    # The decoder fills strips and tiles that are missing with zeros and says nothing.
    for page in series.pages:
        if page is None:
            continue
        for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False):
            if offset + count > size:
                raise FileFault("the TIFF is cut short")


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
    with opened(path) as tif:
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
    with reading(path, ImageError, "map of density"), opened(path) as tif:
        page = tif.series[0].keyframe
        if math.prod(page.shape) > MAX_PIXELS or page.dtype is None or page.dtype.kind != "f" or page.ndim != 2:
            raise FileFault(f"it is no map of density, but holds {page.dtype} values of shape {page.shape}")
        guard(tif.series[0])
        values = page.asarray()
        return DensityMap(path.stem, path, values.astype(np.float32, copy=False), spacing(page))


def is_artefact_map(path: Path) -> bool:
    """Tell whether a TIFF is a map of artefacts of this package: one plane of bytes, by its name."""
    if not path.name.lower().endswith(".artefacts.tif"):
        return False
    with opened(path) as tif:
        page = tif.pages[0]
        return str(page.software).startswith("napari-nucleigan") and page.dtype == "uint8" and page.samplesperpixel == 1


def read_artefact_map(path: Path) -> tuple[npt.NDArray[np.uint8], float | None]:
    """Read a map of artefacts, (h, w), and the microns that its squares are long.

    Raises
    ------
    ImageError
        If it is damaged.
    """
    with reading(path, ImageError, "map of artefacts"), opened(path) as tif:
        guard(tif.series[0])
        page = tif.series[0].keyframe
        return page.asarray(), spacing(page)
