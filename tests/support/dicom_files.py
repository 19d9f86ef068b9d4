"""Writer of small slides in DICOM: one level, uncompressed, of tiles that cover it row by row."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

_LONG = ("OB", "OW", "SQ", "UN", "UT")
_CLASS = "1.2.840.10008.5.1.4.1.1.77.1.6"
_EXPLICIT = "1.2.840.10008.1.2.1"
_TILE = 64


def _element(group: int, number: int, kind: str, value: Any) -> bytes:
    if kind == "SQ":
        items = b"".join(struct.pack("<HHI", 0xFFFE, 0xE000, len(item)) + item for item in value)
        data = items
    elif kind in ("US", "UL"):
        data = struct.pack("<H" if kind == "US" else "<I", value)
    else:
        data = value if isinstance(value, bytes) else str(value).encode()
        data += (b"\0" if kind in ("UI", "OB", "OW") else b" ") * (len(data) % 2)
    head = struct.pack("<HH2s", group, number, kind.encode())
    length = struct.pack("<HI", 0, len(data)) if kind in _LONG else struct.pack("<H", len(data))
    return head + length + data


def write_dicom(path: Path, rgb: np.ndarray, mpp: float = 0.5, series: str = "1.2.3.4", number: int = 1) -> Path:
    height, width = rgb.shape[:2]
    rows, columns = -(-height // _TILE), -(-width // _TILE)
    padded = np.full((rows * _TILE, columns * _TILE, 3), 255, np.uint8)
    padded[:height, :width] = rgb
    frames = padded.reshape(rows, _TILE, columns, _TILE, 3).swapaxes(1, 2)
    spacing = _element(0x28, 0x30, "DS", f"{mpp / 1000}\\{mpp / 1000}")
    measures = _element(0x28, 0x9110, "SQ", [_element(0x18, 0x50, "DS", "0") + spacing])
    instance = f"{series}.{number}"
    meta = b"".join(
        [
            _element(2, 1, "OB", b"\0\1"),
            _element(2, 2, "UI", _CLASS),
            _element(2, 3, "UI", instance),
            _element(2, 0x10, "UI", _EXPLICIT),
            _element(2, 0x12, "UI", "1.2.3"),
        ]
    )
    data = b"".join(
        [
            _element(8, 8, "CS", "ORIGINAL\\PRIMARY\\VOLUME\\NONE"),
            _element(8, 0x16, "UI", _CLASS),
            _element(8, 0x18, "UI", instance),
            _element(8, 0x60, "CS", "SM"),
            _element(0x20, 0xD, "UI", f"{series}.0"),
            _element(0x20, 0xE, "UI", series),
            _element(0x20, 0x13, "IS", number),
            _element(0x20, 0x9311, "CS", "TILED_FULL"),
            _element(0x28, 2, "US", 3),
            _element(0x28, 4, "CS", "RGB"),
            _element(0x28, 6, "US", 0),
            _element(0x28, 8, "IS", rows * columns),
            _element(0x28, 0x10, "US", _TILE),
            _element(0x28, 0x11, "US", _TILE),
            _element(0x28, 0x100, "US", 8),
            _element(0x28, 0x101, "US", 8),
            _element(0x28, 0x102, "US", 7),
            _element(0x28, 0x103, "US", 0),
            _element(0x48, 6, "UL", width),
            _element(0x48, 7, "UL", height),
            _element(0x48, 0x303, "UL", 1),
            _element(0x5200, 0x9229, "SQ", [measures]),
            _element(0x7FE0, 0x10, "OB", frames.tobytes()),
        ]
    )
    path.write_bytes(bytes(128) + b"DICM" + _element(2, 0, "UL", len(meta)) + meta + data)
    return path
