"""H&E images in, label images in and out."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import imagecodecs
import numpy as np
import numpy.typing as npt
import tifffile

from napari_nucleigan.base.errors import ImageError, LabelsError, OutputError
from napari_nucleigan.base.files import atomic_write, write_bytes
from napari_nucleigan.base.version import __version__
from napari_nucleigan.data.images.convert import to_rgb
from napari_nucleigan.data.images.headers import PixelSize, file_kind, from_density, jpeg_header, png_header
from napari_nucleigan.data.images.stored_png import decode_stored
from napari_nucleigan.data.images.tiff import displayed, read_header, read_plane, too_large
from napari_nucleigan.labels.regions import check_labels

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
"""Suffixes of the files that `list_images` finds, in lower case."""

SOFTWARE = f"napari-nucleigan {__version__}"
"""What the files that this package writes say of their origin."""

_Read = TypeVar("_Read")
_PNG_BEGINNING = 33  # bytes of the signature and the header chunk, after which other chunks may come


@dataclass(frozen=True, eq=False)
class HEImage:
    """A 2-D H&E image.

    Attributes
    ----------
    pixels : ndarray of uint8, shape (H, W, 3)
        RGB.
    mpp : float or None
        Microns per pixel; None where it is not known.
    name : str
        For people and for the names of results.
    path : Path or None
        The file it came from.
    notes : tuple of str
        What was converted, chosen or ignored on reading, one sentence each.
    """

    pixels: npt.NDArray[np.uint8]
    mpp: float | None = None
    name: str = "image"
    path: Path | None = None
    notes: tuple[str, ...] = ()


def list_images(folder: str | Path) -> list[Path]:
    """List the images of a folder, by name; hidden files and subfolders are left out.

    Raises
    ------
    ImageError
        If there is no such folder, or it may not be read.
    """
    try:
        return sorted(
            path
            for path in Path(folder).iterdir()
            if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".") and path.is_file()
        )
    except OSError as error:
        raise ImageError(f"Cannot list the images of {folder}: {_reason(error)}.") from error


def read_image(path: str | Path) -> HEImage:
    """Read an H&E image from PNG, JPEG or TIFF.

    The format is told by the content. Colours become 8-bit RGB as `to_rgb` says. Microns per pixel
    come from the Aperio header, OME-XML, ImageJ metadata or the resolution of TIFF, or from the
    density of PNG and JPEG; values that no microscope has (72 dots per inch) are ignored, and that
    is said.

    Parameters
    ----------
    path : str or Path
        The file.

    Returns
    -------
    HEImage

    Raises
    ------
    ImageError
        If the file is missing, damaged, cut short, of another format, too large (over 400 million
        pixels), or no 2-D image.
    """
    path = Path(path)
    values, (mpp, said) = _guarded(path, _read_pixels, ImageError)
    try:
        pixels, notes = to_rgb(values)
    except ImageError as error:
        raise ImageError(f"{path.name}: {error}") from error
    return HEImage(pixels, mpp, path.stem.removesuffix(".ome"), path, (*said, *notes))


def read_labels(path: str | Path) -> npt.NDArray[np.int32]:
    """Read a label image: 0 is background, each nucleus has an integer of its own.

    Parameters
    ----------
    path : str or Path
        A TIFF or PNG file of one channel of integers; of one with a palette the indices are the labels.

    Returns
    -------
    ndarray of int32, shape (H, W)

    Raises
    ------
    LabelsError
        If the file is missing, damaged, or holds colours, fractions, negative numbers or a stack.
    """
    path = Path(path)
    values = _guarded(path, _read_stored, LabelsError)
    return check_labels(values, path.name).astype(np.int32)


def read_mask(path: str | Path) -> npt.NDArray[np.bool_]:
    """Read an image that tells one thing from background: True where it is not 0, nor black.

    Parameters
    ----------
    path : str or Path
        A TIFF or PNG file; transparency means nothing.

    Returns
    -------
    ndarray of bool, shape (H, W)

    Raises
    ------
    LabelsError
        If the file is missing, damaged or a stack.
    """
    values = _guarded(Path(path), partial(_read_stored, colours=True), LabelsError)
    if values.ndim == 3 and values.shape[-1] in (1, 2, 3, 4):
        values = np.any(values[..., : 1 if values.shape[-1] < 3 else 3], axis=-1, keepdims=True)[..., 0]
    if values.ndim != 2:
        raise LabelsError(f"{path} is no mask: its shape is {values.shape}, not (height, width).")
    mask: npt.NDArray[np.bool_] = values != 0
    return mask


def read_mpp(path: str | Path) -> float | None:
    """Read what a PNG, JPEG or TIFF file says of its microns per pixel; None where it says nothing.

    Raises
    ------
    ImageError
        If the file is missing, damaged or of another format.
    """

    def read(file: Path, form: str) -> float | None:
        if form == "tiff":
            return read_header(file).mpp
        data = file.read_bytes()
        header = png_header(data) if form == "png" else jpeg_header(data, whole=False)
        return from_density(*header.density, source=f"{form.upper()} density")[0] if header.density else None

    return _guarded(Path(path), read, ImageError)


def write_image(path: str | Path, pixels: npt.NDArray[np.uint8], mpp: float | None = None, level: int = 6) -> None:
    """Write an RGB image as PNG or TIFF (zlib), whole or not at all.

    Parameters
    ----------
    path : str or Path
        A name that ends in ``.png``, ``.tif`` or ``.tiff``.
    pixels : ndarray of uint8, shape (H, W, 3)
        RGB.
    mpp : float, optional
        Microns per pixel, which the file will say.
    level : int
        Effort of the compression of PNG, 1 to 9.

    Raises
    ------
    OutputError
        If the name has another suffix, or the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() == ".png":
        data = bytes(imagecodecs.png_encode(np.ascontiguousarray(pixels), level=level))
        said = _chunk(b"tEXt", b"Software\0" + SOFTWARE.encode())
        if mpp:
            said += _chunk(b"pHYs", struct.pack(">IIB", *[round(1e6 / mpp)] * 2, 1))  # pixels per metre
        write_bytes(path, data[:_PNG_BEGINNING] + said + data[_PNG_BEGINNING:])
        return
    if path.suffix.lower() not in (".tif", ".tiff"):
        raise OutputError(f"Cannot write {path}: images are PNG or TIFF; let the name end in .png or .tif.")
    write_tiff(path, pixels, mpp, "rgb")


def _chunk(kind: bytes, content: bytes) -> bytes:
    """Return a chunk of a PNG."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def write_labels(path: str | Path, labels: npt.NDArray[Any], mpp: float | None = None) -> None:
    """Write a label image as TIFF (zlib), whole or not at all.

    Parameters
    ----------
    path : str or Path
        A name that ends in ``.tif`` or ``.tiff``.
    labels : ndarray of integers, shape (H, W)
        0 is background. Stored as uint16 where the largest label allows, else as int32.
    mpp : float, optional
        Microns per pixel, for the resolution tags.

    Raises
    ------
    LabelsError
        If the array is no label image.
    OutputError
        If the name has another suffix, or the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in (".tif", ".tiff"):
        raise OutputError(f"Cannot write {path}: label images are TIFF; let the name end in .tif.")
    values = check_labels(labels)
    small = int(values.max()) <= np.iinfo(np.uint16).max
    write_tiff(path, values.astype(np.uint16 if small else np.int32), mpp)


def write_tiff(path: str | Path, values: npt.NDArray[Any], mpp: float | None, photometric: str = "minisblack") -> None:
    """Write an array as TIFF (zlib), whole or not at all.

    Parameters
    ----------
    path : str or Path
        A name that ends in ``.tif`` or ``.tiff``.
    values : ndarray, shape (H, W) or (H, W, 3)
        As they are to be stored.
    mpp : float or None
        Microns that a pixel is long, which the file will say.
    photometric : {"minisblack", "rgb"}
        What they are.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    with atomic_write(path) as temporary:
        tifffile.imwrite(
            temporary,
            values,
            photometric=photometric,
            compression="zlib",
            predictor=True,
            software=SOFTWARE,
            metadata=None,
            **density_tags(mpp),
        )


def density_tags(mpp: float | None) -> dict[str, Any]:
    """Return the resolution tags of a TIFF, as `tifffile.imwrite` takes them."""
    return {"resolution": (1e4 / mpp, 1e4 / mpp), "resolutionunit": "CENTIMETER"} if mpp else {}


def _guarded(path: Path, read: Callable[[Path, str], _Read], kind: type[ImageError] | type[LabelsError]) -> _Read:
    """Call a reader with the file's format; turn whatever goes wrong into one clear sentence."""
    try:
        with path.open("rb") as handle:
            start = handle.read(8)
        if not start:
            raise ImageError("it is empty")
        form = file_kind(start)
        if form is None:
            raise ImageError("it is not PNG, JPEG or TIFF; save it in one of these formats")
        return read(path, form)
    except OSError as error:
        raise kind(f"Cannot read {path}: {_reason(error)}.") from error
    except ImageError as error:
        raise kind(f"Cannot read {path}: {error}.") from error
    except MemoryError as error:
        raise kind(f"Cannot read {path}: it does not fit into memory; crop it first.") from error
    except Exception as error:
        # Decoders raise errors of many kinds on damaged data.
        raise kind(f"Cannot read {path}: it is damaged, cut short or of a kind that is not known ({error}).") from error


def _reason(error: OSError) -> str:
    return os.strerror(error.errno).lower() if error.errno else str(error)


def _read_pixels(path: Path, form: str) -> tuple[npt.NDArray[Any], PixelSize]:
    """Values as they are displayed, microns per pixel and notes."""
    if form == "tiff":
        plane = read_plane(path)
        values, notes = displayed(plane)
        return values, (plane.header.mpp, (*plane.header.notes, *notes))
    data = path.read_bytes()
    if form == "png":
        header = png_header(data)
    else:
        header = jpeg_header(data, whole=True)
    error = too_large(header.height, header.width)
    if error:
        raise error
    said: tuple[str, ...] = ()
    if form == "png":
        values = np.asarray(imagecodecs.png_decode(data))
        if header.palette:
            said = ("Palette: indices were turned into their colours.",)
        if values.ndim == 3 and values.shape[-1] == 2:
            values = values[..., [0, 0, 0, 1]]  # grey with alpha
    else:
        if header.channels == 4:
            raise ImageError("its colours are for print (CMYK); save it as RGB")
        values = np.asarray(imagecodecs.jpeg8_decode(data))
    mpp: float | None = None
    notes = ()
    if header.density:
        mpp, notes = from_density(*header.density, source=f"{form.upper()} density")
    return values, (mpp, (*said, *notes))


def _read_stored(path: Path, form: str, *, colours: bool = False) -> npt.NDArray[Any]:
    """Values as they are stored: for labels, palettes and inverted grey mean nothing, unless colours are asked for."""
    if form == "tiff":
        return read_plane(path).values
    if form == "jpeg":
        raise ImageError("JPEG changes numbers, so it cannot hold labels; use TIFF or PNG")
    data = path.read_bytes()
    png_header(data)
    return np.asarray(imagecodecs.png_decode(data)) if colours else decode_stored(data)
