"""Headers of image files: what they say of their kind, their size and their microns per pixel."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any
from xml.etree import ElementTree

from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from napari_nucleigan.base.errors import ImageError

MPP_RANGE = (0.02, 15.0)
"""Microns per pixel of a light microscope; printers and screens lie above it."""

_MICRONS = {
    "µm": 1.0,
    "um": 1.0,
    "micron": 1.0,
    "microns": 1.0,
    "micrometer": 1.0,
    "micrometre": 1.0,
    "nm": 1e-3,
    "nanometer": 1e-3,
    "mm": 1e3,
    "millimeter": 1e3,
    "cm": 1e4,
    "centimeter": 1e4,
    "m": 1e6,
    "meter": 1e6,
    "inch": 25400.0,
    "in": 25400.0,
}
_NUMBER = r"([0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?)"
_OME_DEFAULT_UNIT = "µm"

PixelSize = tuple[float | None, tuple[str, ...]]
"""Microns per pixel where known, and what is to be said about it."""

PNG_START = b"\x89PNG\r\n\x1a\n"
JPEG_START = b"\xff\xd8\xff"
TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def microns(unit: str) -> float | None:
    """Length of a unit in microns; None for pixels and unknown units."""
    # ImageJ escapes the micro sign; Unicode has two of them.
    name = unit.strip().replace("\\u00B5", "µ").replace("\N{GREEK SMALL LETTER MU}", "µ")
    return _MICRONS.get(name.lower())


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
        Geometric mean; None outside `MPP_RANGE`.
    notes : tuple of str
    """
    if not (math.isfinite(x) and math.isfinite(y) and x > 0 and y > 0):
        return None, ()
    # 7 digits: rational tags and unit conversions leave dust such as 0.25000000012.
    mpp = float(f"{math.sqrt(x * y):.7g}")
    if not MPP_RANGE[0] <= mpp <= MPP_RANGE[1]:
        return None, (
            f"The {source} give {mpp:.4g} microns per pixel ({25400 / mpp:.0f} dots per inch), "
            f"which is no "
            "microscope's; they were ignored, so microns per pixel are not known.",
        )
    if abs(x - y) > 0.01 * mpp:
        return mpp, (f"Pixels are not square ({x:.4g} by {y:.4g} microns); their mean, {mpp:.4g}, was taken.",)
    return mpp, ()


def from_density(x: float, y: float, unit: str, source: str = "resolution tags") -> PixelSize:
    """Pixel size from pixels per unit of length."""
    length = microns(unit)
    if length is None or not x or not y:
        return None, ()
    return check_pixel_size(length / x, length / y, source)


def from_aperio(description: str) -> PixelSize:
    """Pixel size from an Aperio header: ``MPP = 0.2520``, else from ``AppMag = 40``."""
    if found := re.search(rf"\bMPP\s*=\s*{_NUMBER}", description):
        value = float(found[1])
        return check_pixel_size(value, value, "Aperio header's values")
    if found := re.search(rf"\bAppMag\s*=\s*{_NUMBER}", description):
        magnification = float(found[1])
        if magnification > 0:
            mpp, notes = check_pixel_size(10 / magnification, 10 / magnification, "Aperio header's values")
            said = (f"Microns per pixel were estimated from the magnification, {magnification:g}x: {mpp:.4g}.",)
            return mpp, said if mpp else notes
    return None, ()


def from_ome(xml: str) -> PixelSize:
    """Pixel size from OME-XML: PhysicalSizeX and Y of the first image, with their units."""
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError:
        return None, ()
    pixels = next((node for node in root.iter() if node.tag.endswith("Pixels")), None)
    if pixels is None:
        return None, ()
    sizes = []
    for axis in "XY":
        length = microns(pixels.get(f"PhysicalSize{axis}Unit", _OME_DEFAULT_UNIT))
        try:
            sizes.append(float(pixels.get(f"PhysicalSize{axis}", "nan")) * (length or math.nan))
        except ValueError:
            sizes.append(math.nan)
    x, y = sizes
    return check_pixel_size(x, x if math.isnan(y) else y, "OME metadata")


def from_tiff(page: Any, ome: str | None, imagej: Mapping[str, Any] | None) -> PixelSize:
    """Pixel size of a TIFF page: Aperio, OME, ImageJ, then the resolution tags.

    Parameters
    ----------
    page : tifffile.TiffPage
        First page of the full-resolution image.
    ome : str or None
        OME-XML of the file.
    imagej : mapping or None
        ImageJ metadata of the file.

    Returns
    -------
    mpp : float or None
    notes : tuple of str
    """
    found = from_aperio(page.description)
    if ome and found[0] is None:
        found = from_ome(ome)
    if found[0] is not None:
        return found
    density = _densities(page)
    if density is None:
        return found
    unit = str((imagej or {}).get("unit", ""))
    if microns(unit) is not None:
        return from_density(*density, unit, "ImageJ metadata")
    code = page.tags.valueof("ResolutionUnit", default=2)
    tags = from_density(*density, {2: "inch", 3: "cm"}.get(int(code), ""))
    return tags if tags != (None, ()) else found


def spacing(page: Any) -> float | None:
    """Length of a TIFF's pixels in microns by its resolution tags alone, whatever it is: of maps, not of images.

    Parameters
    ----------
    page : tifffile.TiffPage
        First page.
    """
    density = _densities(page)
    length = {2: microns("inch"), 3: microns("cm")}.get(int(page.tags.valueof("ResolutionUnit", default=2)))
    return float(f"{length / math.sqrt(density[0] * density[1]):.7g}") if density and length else None


def _densities(page: Any) -> tuple[float, float] | None:
    values = []
    for name in ("XResolution", "YResolution"):
        rational = page.tags.valueof(name)
        if not rational or not rational[0] or not rational[1]:
            return None
        values.append(rational[0] / rational[1])
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
    """

    height: int
    width: int
    channels: int
    palette: bool = False
    density: tuple[float, float, str] | None = None


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
    ImageError
        If they are incomplete.
    """
    # The class itself, for `Image.open` refuses pictures that are smaller than the largest that is read here.
    try:
        image = PngImageFile(BytesIO(data))
    except Exception as error:  # Pillow raises errors of many kinds
        raise ImageError("the PNG header is damaged or cut short") from error
    density = (*image.info["dpi"], "inch") if "dpi" in image.info else None
    return Header(image.height, image.width, len(image.getbands()), image.mode == "P", density)


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
    ImageError
        If the header is incomplete, or the picture is and `whole` is set.
    """
    file = BytesIO(data)
    try:
        image = JpegImageFile(file)
    except Exception as error:  # Pillow raises errors of many kinds
        raise ImageError("the JPEG header is damaged or cut short") from error
    # Within the pixels' code 0xFF is always followed by 0, so this can only be the end itself.
    if whole and b"\xff\xd9" not in data[file.tell() :]:
        raise ImageError("the JPEG is cut short")
    density = None
    if "jfif_density" in image.info:
        unit = {1: "inch", 2: "cm"}.get(image.info["jfif_unit"], "")
        density = (*image.info["jfif_density"], unit)
    return Header(image.height, image.width, len(image.getbands()), density=density)
