"""What the first bytes of PNG and JPEG files say, read without decoding the picture."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from napari_nucleigan.base.errors import ImageError

PNG_START = b"\x89PNG\r\n\x1a\n"
JPEG_START = b"\xff\xd8\xff"
TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_PNG_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}
_PALETTE = 3
# Start of frame: SOF0 to SOF15 without DHT, JPG and DAC, which share the range.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_NO_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})
_SCAN, _END, _JFIF = 0xDA, 0xD9, 0xE0


@dataclass(frozen=True, slots=True)
class Header:
    """Size and kind of a picture.

    Attributes
    ----------
    height, width : int
        Pixels.
    channels : int
        1 grey, 2 grey and alpha, 3 RGB (or palette), 4 RGBA (in a JPEG: CMYK).
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
    try:
        width, height, _, colour = struct.unpack(">IIBB", data[16:26])
        density = None
        position = len(PNG_START)
        while position + 8 <= len(data):
            length, kind = struct.unpack(">I4s", data[position : position + 8])
            if kind == b"IDAT":
                break
            if kind == b"pHYs":
                x, y, unit = struct.unpack(">IIB", data[position + 8 : position + 17])
                density = (x, y, "m" if unit == 1 else "")
            position += length + 12
        return Header(height, width, _PNG_CHANNELS[colour], colour == _PALETTE, density)
    except (struct.error, KeyError) as error:
        raise ImageError("the PNG header is damaged or cut short") from error


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
    frame, density, position = None, None, 2
    try:
        while True:
            while data[position + 1] == 0xFF:  # padding
                position += 1
            marker = data[position + 1]
            if data[position] != 0xFF or marker == _END:
                raise ImageError("the JPEG header is damaged")
            if marker in _NO_LENGTH:
                position += 2
                continue
            (length,) = struct.unpack(">H", data[position + 2 : position + 4])
            body = data[position + 4 : position + 2 + length]
            if marker in _FRAMES:
                height, width, channels = struct.unpack(">HHB", body[1:6])
                frame = (height, width, channels)
                if not whole:
                    break
            elif marker == _JFIF and body.startswith(b"JFIF\0"):
                unit, x, y = struct.unpack(">BHH", body[7:12])
                density = (float(x), float(y), {1: "inch", 2: "cm"}.get(unit, ""))
            elif marker == _SCAN:
                break
            position += 2 + length
    except (struct.error, IndexError) as error:
        raise ImageError("the JPEG header is damaged or cut short") from error
    if frame is None:
        raise ImageError("the JPEG header is damaged")
    # Within the pixels' code 0xFF is always followed by 0, so this can only be the end itself.
    if whole and b"\xff\xd9" not in data[position:]:
        raise ImageError("the JPEG is cut short")
    return Header(*frame, density=density)
