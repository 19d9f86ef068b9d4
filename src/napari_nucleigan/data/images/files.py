"""H&E images in, label images in and out."""

from __future__ import annotations

import struct
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import imagecodecs
import numpy as np
import numpy.typing as npt
import tifffile

from napari_nucleigan.base.errors import ImageError, LabelsError, NucleiganError, OutputError
from napari_nucleigan.base.files import atomic_write, write_bytes
from napari_nucleigan.base.pixels import mpp_of, sides
from napari_nucleigan.base.reading import FileFault, check_memory, check_regular, fault, read_bytes, reading
from napari_nucleigan.base.version import __version__
from napari_nucleigan.data.images.convert import DARK_CHANNELS, is_dark, to_rgb
from napari_nucleigan.data.images.headers import Header, file_kind, from_density, jpeg_header, png_header
from napari_nucleigan.data.images.layout import TURNED, turned
from napari_nucleigan.data.images.stored_png import decode_stored
from napari_nucleigan.data.images.tiff import check_size, displayed, read_header, read_plane
from napari_nucleigan.labels.regions import check_labels, looks_like_labels

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari_nucleigan.data.images.headers import PixelSize

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
"""Suffixes of the files that `list_images` finds, in lower case."""

SOFTWARE = f"napari-nucleigan {__version__}"
"""What the files that this package writes say of their origin."""

_GUESS = 2048  # side in pixels of what is looked at to tell labels
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
        raise ImageError(f"Cannot list the images of {folder}: {fault(error)}.") from error


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
    with _reading(path, ImageError) as form:
        stored = _read_tiff(path) if form == "tiff" else _read_encoded(path, form)
        try:
            pixels, notes = to_rgb(stored.values, premultiplied=stored.premultiplied)
        except ImageError as error:
            raise ImageError(f"{path.name}: {error}") from error
        if stored.separate and is_dark(pixels):
            raise FileFault(DARK_CHANNELS)
        return HEImage(pixels, stored.mpp, path.stem.removesuffix(".ome"), path, (*stored.notes, *notes))


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
    with _reading(path, LabelsError) as form:
        return check_labels(_read_stored(path, form), path.name).astype(np.int32, copy=False)


def holds_labels(path: str | Path) -> bool:
    """Guess from its values whether a file of one channel holds labels, and no grey image.

    Parameters
    ----------
    path : str or Path
        A TIFF or PNG file, of which a part from the middle is looked at.
    """
    with _reading(Path(path), LabelsError) as form:
        values = _read_stored(Path(path), form)
    if values.ndim != 2 or values.dtype.kind == "b":
        return False
    top, left = (max(0, (length - _GUESS) // 2) for length in values.shape)
    return looks_like_labels(values[top : top + _GUESS, left : left + _GUESS])


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
    with _reading(Path(path), LabelsError) as form:
        values = _read_stored(Path(path), form, colours=True)
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
    path = Path(path)
    with _reading(path, ImageError) as form:
        return read_header(path).mpp if form == "tiff" else _density(_header(read_bytes(path), form), form)[0]


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
            height, width = sides(mpp)
            said += _chunk(b"pHYs", struct.pack(">IIB", round(1e6 / width), round(1e6 / height), 1))  # pixels per metre
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


def write_tiff(
    path: str | Path,
    values: npt.NDArray[Any],
    mpp: float | None,
    photometric: str = "minisblack",
    channels: Sequence[str] = (),
) -> None:
    """Write an array as TIFF (zlib), whole or not at all.

    Parameters
    ----------
    path : str or Path
        A name that ends in ``.tif`` or ``.tiff``.
    values : ndarray, shape (H, W) or (H, W, 3), or (C, H, W) where channels are named
        As they are to be stored.
    mpp : float or None
        Microns that a pixel is long, which the file will say.
    photometric : {"minisblack", "rgb"}
        What they are.
    channels : sequence of str
        Names of the channels, which the file then says as OME-TIFF does.

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
            ome=True if channels else None,
            metadata=_ome(channels, mpp) if channels else None,
            **density_tags(mpp),
        )


def _ome(channels: Sequence[str], mpp: float | None) -> dict[str, Any]:
    height, width = sides(mpp) if mpp else (None, None)
    size = {"PhysicalSizeX": width, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": height, "PhysicalSizeYUnit": "µm"}
    # tifffile before 2026.3 breaks the XML at a quotation mark.
    names = [name.replace('"', "'") for name in channels]
    return {"axes": "CYX", "Channel": {"Name": names}, **(size if mpp else {})}


def density_tags(mpp: float | None) -> dict[str, Any]:
    """Return the resolution tags of a TIFF, as `tifffile.imwrite` takes them."""
    if not mpp:
        return {}
    height, width = sides(mpp)
    return {"resolution": (1e4 / width, 1e4 / height), "resolutionunit": "CENTIMETER"}


@contextmanager
def _reading(path: Path, kind: type[NucleiganError]) -> Iterator[str]:
    """Give a file's format, and turn whatever goes wrong with it into one clear sentence."""
    with reading(path, kind, "image"):
        check_regular(path)
        with path.open("rb") as handle:
            start = handle.read(8)
        if not start:
            raise FileFault("it is empty")
        form = file_kind(start)
        if form is None:
            raise FileFault("it is not PNG, JPEG or TIFF; save it in one of these formats")
        yield form


class _Stored(NamedTuple):
    """An image as it is displayed, before its values are brought to bytes."""

    values: npt.NDArray[Any]
    mpp: float | None
    notes: tuple[str, ...]
    premultiplied: bool = False
    separate: bool = False


def _read_tiff(path: Path) -> _Stored:
    plane = read_plane(path, as_bytes=True)
    values, notes = displayed(plane)
    layout = plane.header.layout
    return _Stored(
        values, plane.header.mpp, (*plane.header.notes, *notes), layout.alpha == "premultiplied", layout.separate
    )


def _read_encoded(path: Path, form: str) -> _Stored:
    """Read a PNG or JPEG, the right side up."""
    data = read_bytes(path)
    header = _header(data, form)
    if form == "jpeg" and header.channels == 4:
        raise FileFault("its colours are for print (CMYK); save it as RGB")
    values = np.asarray(imagecodecs.png_decode(data) if form == "png" else imagecodecs.jpeg8_decode(data))
    mpp, said = _density(header, form)
    if header.palette:
        said = ("Palette: indices were turned into their colours.", *said)
    if values.ndim == 3 and values.shape[-1] == 2:
        values = values[..., [0, 0, 0, 1]]  # grey with alpha
    if header.orientation != 1:
        values = turned(values, header.orientation)
        said = (f"The file says how the camera was held: the picture was {TURNED[header.orientation]}.", *said)
        if mpp and header.orientation >= 5:
            mpp = mpp_of(*reversed(sides(mpp)))
    return _Stored(values, mpp, said)


def _header(data: bytes, form: str) -> Header:
    """Read the header of a PNG or JPEG, and make sure that what it announces may be decoded."""
    header = png_header(data) if form == "png" else jpeg_header(data, whole=True)
    check_size(header.height, header.width)
    check_memory(header.height * header.width * (4 if header.palette else header.channels * header.itemsize))
    return header


def _density(header: Header, form: str) -> PixelSize:
    return from_density(*header.density, source=f"{form.upper()} density") if header.density else (None, ())


def _read_stored(path: Path, form: str, *, colours: bool = False) -> npt.NDArray[Any]:
    """Values as they are stored: for labels, palettes and inverted grey mean nothing, unless colours are asked for."""
    plane = read_plane(path) if form == "tiff" else None
    if form == "jpeg" or (plane is not None and plane.header.jpeg):
        raise FileFault("JPEG changes numbers, so it cannot hold labels; use PNG, or TIFF without JPEG")
    if plane is not None:
        return plane.values
    data = read_bytes(path)
    _header(data, form)
    return np.asarray(imagecodecs.png_decode(data)) if colours else decode_stored(data)
