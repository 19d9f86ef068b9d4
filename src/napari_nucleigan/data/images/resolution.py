"""Microns per pixel, from what image files say about themselves."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

if TYPE_CHECKING:
    from collections.abc import Mapping

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

Found = tuple[float | None, tuple[str, ...]]
"""Microns per pixel where known, and what is to be said about it."""


def microns(unit: str) -> float | None:
    """Length of a unit in microns; None for pixels and unknown units."""
    # ImageJ escapes the micro sign; Unicode has two of them.
    name = unit.strip().replace("\\u00B5", "µ").replace("\N{GREEK SMALL LETTER MU}", "µ")
    return _MICRONS.get(name.lower())


def checked(x: float, y: float, source: str) -> Found:
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


def from_density(x: float, y: float, unit: str, source: str = "resolution tags") -> Found:
    """Pixel size from pixels per unit of length."""
    length = microns(unit)
    if length is None or not x or not y:
        return None, ()
    return checked(length / x, length / y, source)


def from_aperio(description: str) -> Found:
    """Pixel size from an Aperio header: ``MPP = 0.2520``, else from ``AppMag = 40``."""
    if found := re.search(rf"\bMPP\s*=\s*{_NUMBER}", description):
        value = float(found[1])
        return checked(value, value, "Aperio header's values")
    if found := re.search(rf"\bAppMag\s*=\s*{_NUMBER}", description):
        magnification = float(found[1])
        if magnification > 0:
            mpp, notes = checked(10 / magnification, 10 / magnification, "Aperio header's values")
            said = (f"Microns per pixel were estimated from the magnification, {magnification:g}x: {mpp:.4g}.",)
            return mpp, said if mpp else notes
    return None, ()


def from_ome(xml: str) -> Found:
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
    return checked(x, x if math.isnan(y) else y, "OME metadata")


def from_tiff(page: Any, ome: str | None, imagej: Mapping[str, Any] | None) -> Found:
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
