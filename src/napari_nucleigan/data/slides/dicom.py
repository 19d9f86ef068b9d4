"""Slides in DICOM, of which each level may be a file of its own: which files are some, and which belong together."""

from __future__ import annotations

import struct
from pathlib import Path

from napari_nucleigan.base.reading import FileFault, check_regular

_MAGIC = 128, b"DICM"
_BEGINNING = 1 << 20  # the header comes before the pixels
_WHOLE_SLIDE = b"1.2.840.10008.5.1.4.1.1.77.1.6"  # class "VL Whole Slide Microscopy Image Storage"
_SERIES = b"\x20\x00\x0e\x00UI"  # tag of the number of a series, which is always written so in slides


def may_be(path: Path) -> bool:
    """Tell by its name whether a file may be DICOM: other systems give it no suffix, or a part of a number for one."""
    return path.suffix.lower() in ("", ".dcm") or path.suffix[1:].isdecimal()


def slide_of(folder: Path) -> Path | None:
    """Return the first file of the slide in DICOM that a folder holds; None where there is none, or more than one."""
    found: dict[str | None, Path] = {
        series(path): path for path in sorted(folder.iterdir(), reverse=True) if may_be(path)
    }
    found.pop(None, None)
    return found.popitem()[1] if len(found) == 1 else None


def series(path: Path) -> str | None:
    """Name what the files of one slide share; None of files that are no slide in DICOM, or cannot be read."""
    try:
        check_regular(path)
        with path.open("rb") as file:
            start = file.read(_BEGINNING)
    except (OSError, FileFault):
        return None
    if start[_MAGIC[0] : _MAGIC[0] + 4] != _MAGIC[1] or _WHOLE_SLIDE not in start[:1024]:
        return None
    place = start.find(_SERIES)
    if place < 0:
        return str(path)
    place += len(_SERIES) + 2
    (length,) = struct.unpack("<H", start[place - 2 : place].ljust(2, b"\0"))
    return start[place : place + length].rstrip(b"\0 ").decode("ascii", "replace")
