"""Headers of PNG and JPEG files, read without decoding the picture."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO

from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from napari_nucleigan.base.errors import ImageError

PNG_START = b"\x89PNG\r\n\x1a\n"
JPEG_START = b"\xff\xd8\xff"
TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


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
