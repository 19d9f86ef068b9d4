"""Headers of image files: what they say of their kind, their size and their microns per pixel."""

from __future__ import annotations

import math
import re
import struct
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any
from xml.etree import ElementTree

from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from napari_nucleigan.base.pixels import Mpp, mpp_of
from napari_nucleigan.base.reading import FileFault

MPP_RANGE = (0.02, 15.0)
"""Microns per pixel of a light microscope; printers and screens lie above it."""

_PREFIXES = (
    *(("Y", "yotta", 24), ("Z", "zetta", 21), ("E", "exa", 18), ("P", "peta", 15), ("T", "tera", 12), ("G", "giga", 9)),
    *(("M", "mega", 6), ("k", "kilo", 3), ("h", "hecto", 2), ("da", "deca", 1), ("", "", 0), ("d", "deci", -1)),
    *(("c", "centi", -2), ("m", "milli", -3), ("µ", "micro", -6), ("u", "micro", -6), ("n", "nano", -9)),
    *(("p", "pico", -12), ("f", "femto", -15), ("a", "atto", -18), ("z", "zepto", -21), ("y", "yocto", -24)),
)
_METRES = ("meter", "metre", "meters", "metres")
_INCH = 25400.0
_UNITS = {
    **{f"{symbol}m": float(f"1e{power + 6}") for symbol, _, power in _PREFIXES},
    **{f"{prefix}{metre}": float(f"1e{power + 6}") for _, prefix, power in _PREFIXES for metre in _METRES},
    **dict.fromkeys(("µ", "micron", "microns"), 1.0),
    **dict.fromkeys(("å", "angstrom", "ångström", "ångstrom"), 1e-4),
    **dict.fromkeys(("thou", "mil"), _INCH / 1000),
    **dict.fromkeys(("li", "line"), _INCH / 12),
    **dict.fromkeys(("pt", "point"), _INCH / 72),
    **dict.fromkeys(("in", "inch", "inches"), _INCH),
    **dict.fromkeys(("ft", "foot"), 12 * _INCH),
    **dict.fromkeys(("yd", "yard"), 36 * _INCH),
}
NUMBER = r"([0-9]*[.,]?[0-9]+(?:[eE][-+]?[0-9]+)?)"
"""Pattern of a number in a header, which the scanner's language may have written with a comma; see `number`."""

_OME_DEFAULT_UNIT = "µm"

PixelSize = tuple[float | None, tuple[str, ...]]
"""Microns per pixel where known, and what is to be said about it."""

PNG_START = b"\x89PNG\r\n\x1a\n"
JPEG_START = b"\xff\xd8\xff"
_J2K_START = b"\xff\x4f\xff\x51"
_FRAMES = (*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0))  # markers of JPEG's sizes
_ORIENTATION = 0x0112  # tag of EXIF
_TEXTS = (b"iCCP", b"tEXt", b"zTXt", b"iTXt")  # chunks of a PNG that nothing here depends on
TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def number(text: str) -> float:
    """Read a number that may be written with a decimal comma."""
    return float(text.replace(",", "."))


def microns(unit: str) -> float | None:
    """Length of a unit in microns; None for pixels and unknown units.

    It knows those of OME, of OME-Zarr, of ImageJ and of napari by their symbols and their names.
    """
    # ImageJ escapes the micro sign; Unicode has two of them, and two of the angstrom.
    name = unicodedata.normalize("NFKC", unit.strip().replace("\\u00B5", "µ")).replace("\N{GREEK SMALL LETTER MU}", "µ")
    # Mm and mm are not the same, but UM can only be meant as um.
    return _UNITS.get(name, _UNITS.get(name.lower()))


def check_pixel_size(x: float, y: float, source: str) -> PixelSize:
    """Join the pixel sizes of both directions, if a microscope can have made them.

    Parameters
    ----------
    x, y : float
        Width and height of a pixel in microns.
    source : str
        Who says so, for the notes.

    Returns
    -------
    mpp : float or None
        As `napari_nucleigan.base.pixels.mpp_of` joins them; None outside `MPP_RANGE`.
    notes : tuple of str
    """
    if not (math.isfinite(x) and math.isfinite(y) and x > 0 and y > 0):
        return None, ()
    mpp = mpp_of(y, x)
    if not MPP_RANGE[0] <= mpp <= MPP_RANGE[1]:
        dots = f" ({_INCH / mpp:.0f} dots per inch)" if mpp > MPP_RANGE[0] / 1e6 else ""
        return None, (
            f"The {source} give {mpp:.4g} microns per pixel{dots}, which is no microscope's; they were ignored, so "
            "microns per pixel are not known.",
        )
    if isinstance(mpp, Mpp):
        return mpp, (f"Pixels are not square ({x:.4g} microns wide, {y:.4g} high); each direction has its own scale.",)
    return mpp, ()


def from_density(x: float, y: float, unit: str, source: str = "resolution tags") -> PixelSize:
    """Pixel size from pixels per unit of length."""
    length = microns(unit)
    if length is None or not x or not y:
        return None, ()
    return check_pixel_size(length / x, length / y, source)


def from_aperio(description: str) -> PixelSize:
    """Pixel size from an Aperio header: ``MPP = 0.2520``, else from ``AppMag = 40``."""
    found: PixelSize = None, ()
    if written := re.search(rf"\bMPP\s*=\s*{NUMBER}", description):
        value = number(written[1])
        found = check_pixel_size(value, value, "Aperio header's values")
    if found[0] is None and (written := re.search(rf"\bAppMag\s*=\s*{NUMBER}", description)):
        return from_magnification(number(written[1]), "Aperio header's values", found[1])
    return found


def from_magnification(magnification: float, source: str, notes: tuple[str, ...] = ()) -> PixelSize:
    """Estimate the pixel size from the objective: 10 microns over its magnification.

    Parameters
    ----------
    magnification : float
        40 for 40x.
    source : str
        Who says so, for the notes.
    notes : tuple of str
        What is to be said if that is no magnification either.
    """
    length = 10 / magnification if magnification > 0 else math.nan
    mpp, said = check_pixel_size(length, length, source)
    if mpp is None:
        return None, notes or said
    return mpp, (f"Microns per pixel were estimated from the magnification, {magnification:g}x: {mpp:.4g}.",)


def from_ome(xml: str, size: tuple[int, int] | None = None, place: int = 0) -> PixelSize:
    """Pixel size from OME-XML: PhysicalSizeX and Y of an image, with their units.

    Parameters
    ----------
    xml : str
        The metadata.
    size : (int, int), optional
        Height and width of the image. If given, only what is said of images of this size counts.
    place : int
        Which of the file's pictures it is, from 0; it decides between images that are of one size, too.
    """
    try:
        root = ElementTree.fromstring(xml)
    except (ElementTree.ParseError, ValueError):
        return None, ()
    images = [node for node in root.iter() if node.tag.endswith("Pixels")]
    meant = images[place : place + 1]
    if size is not None:
        same = [node for node in images if (node.get("SizeY"), node.get("SizeX")) == tuple(map(str, size))]
        meant = [node for node in meant if node in same] or same or (meant if len(images) == 1 else [])
    found = {_ome_size(node) for node in meant}
    if len(found) > 1:
        return None, ("The OME metadata give several scales to images of this size; microns per pixel are not known.",)
    return check_pixel_size(*found.pop(), "OME metadata") if found else (None, ())


def _ome_size(pixels: ElementTree.Element) -> tuple[float, float]:
    """Width and height of a pixel; NaN where they are not given."""
    sizes = []
    for axis in "XY":
        length = microns(pixels.get(f"PhysicalSize{axis}Unit", _OME_DEFAULT_UNIT))
        try:
            sizes.append(number(pixels.get(f"PhysicalSize{axis}", "nan")) * (length or math.nan))
        except ValueError:
            sizes.append(math.nan)
    x, y = sizes
    return x, x if math.isnan(y) else y


def from_tiff(page: Any, ome: str | None, imagej: Mapping[str, Any] | None, place: int = 0) -> PixelSize:
    """Pixel size of a TIFF page: Aperio, OME, ImageJ, then the resolution tags.

    Parameters
    ----------
    page : tifffile.TiffPage
        First page of the full-resolution image.
    ome : str or None
        OME-XML of the file.
    imagej : mapping or None
        ImageJ metadata of the file.
    place : int
        Which of the file's pictures it is, from 0.

    Returns
    -------
    mpp : float or None
    notes : tuple of str
    """
    found = from_aperio(page.description)
    if ome and found[0] is None:
        found = from_ome(ome, (page.imagelength, page.imagewidth), place)
    if found[0] is not None:
        return found
    density = _densities(page)
    if density is None:
        return found
    unit = str((imagej or {}).get("unit", ""))
    if microns(unit) is not None:
        return from_density(*density, unit, "ImageJ metadata")
    tags = from_density(*density, _tagged_unit(page))
    return tags if tags != (None, ()) else found


def spacing(page: Any) -> float | None:
    """Length of a TIFF's pixels in microns by its resolution tags alone, whatever it is: of maps, not of images.

    Parameters
    ----------
    page : tifffile.TiffPage
        First page.
    """
    density = _densities(page)
    length = microns(_tagged_unit(page))
    return float(f"{length / math.sqrt(density[0] * density[1]):.7g}") if density and length else None


def _tagged_unit(page: Any) -> str:
    code = page.tags.valueof("ResolutionUnit", default=2)
    return {2: "inch", 3: "cm"}.get(code, "") if isinstance(code, int) else ""


def _densities(page: Any) -> tuple[float, float] | None:
    """Pixels per unit; some programs write plain numbers where TIFF has fractions."""
    values = []
    for name in ("XResolution", "YResolution"):
        found = page.tags.valueof(name)
        parts = tuple(found) if isinstance(found, tuple | list) else (found,)
        if len(parts) not in (1, 2) or not all(isinstance(part, int | float) and part > 0 for part in parts):
            return None
        values.append(parts[0] / (parts[1] if len(parts) == 2 else 1))
    return values[0], values[1]


@dataclass(frozen=True, slots=True)
class Header:
    """Size and kind of a picture.

    Attributes
    ----------
    height, width : int
        Pixels.
    channels : int
        1 grey, 2 grey and alpha, 3 RGB, 4 RGBA (in a JPEG: CMYK); 1 where `palette` is set.
    palette : bool
        Whether pixels are indices into a table of colours.
    density : (float, float, str) or None
        Pixels per unit in x and y, and the unit.
    orientation : int
        1 to 8, as EXIF numbers how the camera was held.
    itemsize : int
        Bytes of a decoded value.
    """

    height: int
    width: int
    channels: int
    palette: bool = False
    density: tuple[float, float, str] | None = None
    orientation: int = 1
    itemsize: int = 1


def picture_size(data: bytes) -> tuple[int, int] | None:
    """Height and width that an encoded JPEG, JPEG 2000 or PNG says of itself; None of other data."""
    if data.startswith(PNG_START):
        width, height = struct.unpack(">II", data[16:24].ljust(8, b"\0"))
        return height, width
    if (start := data.find(_J2K_START, 0, 4096)) >= 0:
        right, lower, left, top = struct.unpack(">4I", data[start + 8 : start + 24].ljust(16, b"\0"))
        return max(0, lower - top), max(0, right - left)
    place = 2
    while data.startswith(b"\xff\xd8") and data[place : place + 1] == b"\xff" and place + 9 <= len(data):
        if data[place + 1] in _FRAMES:
            height, width = struct.unpack(">HH", data[place + 5 : place + 9])
            return height, width
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return None


def file_kind(start: bytes) -> str | None:
    """Tell ``"png"``, ``"jpeg"`` and ``"tiff"`` by a file's first 8 bytes; None for all else."""
    if start.startswith(PNG_START):
        return "png"
    if start.startswith(JPEG_START):
        return "jpeg"
    return "tiff" if start.startswith(TIFF_STARTS) else None


def png_header(data: bytes) -> Header:
    """Read the chunks before a PNG's pixels.

    Raises
    ------
    FileFault
        If they are incomplete.
    """
    # The class itself, for `Image.open` refuses pictures that are smaller than the largest that is read here.
    try:
        try:
            image = PngImageFile(BytesIO(data))
        except Exception:  # also where a colour profile or a text is larger than Pillow unpacks: neither matters here
            plain = (chunk for kind, chunk in _chunks(data) if kind not in _TEXTS)
            image = PngImageFile(BytesIO(b"".join([data[:8], *plain])))
    except Exception as error:  # Pillow raises errors of many kinds
        raise FileFault("the PNG header is damaged or cut short") from error
    # Behind the pixels Pillow looks only once it has decoded them.
    behind = next((chunk[8:-4] for kind, chunk in _chunks(data) if kind == b"eXIf"), None)
    if behind is not None:
        image.info.setdefault("exif", b"Exif\0\0" + behind)
    density = (*image.info["dpi"], "inch") if "dpi" in image.info else None
    channels = len(image.getbands()) + (image.mode in ("L", "RGB") and "transparency" in image.info)
    palette = image.mode == "P"
    return Header(image.height, image.width, channels, palette, density, _orientation(image), max(1, data[24] // 8))


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the chunks of a PNG: kind, and all of its bytes."""
    place = 8
    while place < len(data):
        end = place + 12 + int.from_bytes(data[place : place + 4], "big")
        yield data[place + 4 : place + 8], data[place:end]
        place = end


def jpeg_header(data: bytes, *, whole: bool) -> Header:
    """Read the segments before a JPEG's pixels.

    Parameters
    ----------
    data : bytes
        The file, or its beginning.
    whole : bool
        Whether to make sure that the end of the picture is there; the decoder fills what is
        missing with grey and says nothing.

    Raises
    ------
    FileFault
        If the header is incomplete, or the picture is and `whole` is set.
    """
    file = BytesIO(data)
    try:
        image = JpegImageFile(file)
    except Exception as error:  # Pillow raises errors of many kinds
        raise FileFault("the JPEG header is damaged or cut short") from error
    # Within the pixels' code 0xFF is always followed by 0, so this can only be the end itself.
    if whole and b"\xff\xd9" not in data[file.tell() :]:
        raise FileFault("the JPEG is cut short")
    density = None
    if "jfif_density" in image.info:
        unit = {1: "inch", 2: "cm"}.get(image.info["jfif_unit"], "")
        density = (*image.info["jfif_density"], unit)
    orientation = _orientation(image)
    return Header(image.height, image.width, len(image.getbands()), density=density, orientation=orientation)


def _orientation(image: PngImageFile | JpegImageFile) -> int:
    try:
        # That of the PNG class decodes all pixels first.
        found = Image.Image.getexif(image).get(_ORIENTATION, 1)
    except Exception:  # what cannot be read there is no reason not to show the picture
        return 1
    return found if found in range(1, 9) else 1
