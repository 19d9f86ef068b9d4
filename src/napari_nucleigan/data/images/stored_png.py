"""PNG as it is stored: of a picture with a palette the indices, of few bits the numbers."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt

_HEADER = 33  # bytes of signature and header chunk
_BITS, _COLOURS = 24, 25  # places in it
_GREY, _INDEXED = 0, 3


def decode_stored(data: bytes) -> npt.NDArray[Any]:
    """Decode a PNG without its palette, and without spreading few bits over all of 0 to 255, as decoders do.

    Parameters
    ----------
    data : bytes
        The file, whose header is known to be right.

    Returns
    -------
    ndarray
        Bool where a pixel has one bit.
    """
    bits, colours = data[_BITS], data[_COLOURS]
    values = np.asarray(imagecodecs.png_decode(_as_grey(data) if colours == _INDEXED else data))
    if bits >= 8:
        return values
    return values > 0 if bits == 1 else values // (255 // (2**bits - 1))


def _as_grey(data: bytes) -> bytes:
    """Make the indices greys, which have the same bits; without the palette, and what it says of transparency."""
    header = bytearray(data[: _HEADER - 4])
    header[_COLOURS] = _GREY
    parts = [bytes(header), struct.pack(">I", zlib.crc32(header[12:]))]
    place = _HEADER
    while place + 12 <= len(data):
        end = place + 12 + int.from_bytes(data[place : place + 4], "big")
        if data[place + 4 : place + 8] not in (b"PLTE", b"tRNS"):
            parts.append(data[place:end])
        place = end
    return b"".join(parts)
