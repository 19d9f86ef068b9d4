"""Slides in DICOM, of which each level may be a file of its own: which files are some, and which belong together."""

from __future__ import annotations

import struct
from pathlib import Path

from napari_nucleigan.base.reading import FileFault, check_regular

_MAGIC = 128, b"DICM"
_BEGINNING = 1 << 20  # the header comes before the pixels
_CLASS = b"\x02\x00\x02\x00UI"  # tag of the class of a file; what it refers to may be of another class
_WHOLE_SLIDE = b"1.2.840.10008.5.1.4.1.1.77.1.6"  # "VL Whole Slide Microscopy Image Storage"
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
    if start[_MAGIC[0] : _MAGIC[0] + 4] != _MAGIC[1] or _value(start, _CLASS) != _WHOLE_SLIDE:
        return None
    known = _value(start, _SERIES)
    return str(path) if known is None else known.decode("ascii", "replace")


def files_of(path: Path) -> list[Path]:
    """Return the files of the slide in DICOM that a file or a folder is; none where it is none."""
    first = path if path.is_file() else slide_of(path) if path.is_dir() else None
    if first is None or (known := series(first)) is None:
        return []
    return [each for each in sorted(first.parent.iterdir()) if may_be(each) and series(each) == known]


def _value(start: bytes, tag: bytes) -> bytes | None:
    """Return the first value of a tag, written in little endian with its kind; None where there is none."""
    place = start.find(tag)
    if place < 0:
        return None
    place += len(tag) + 2
    (length,) = struct.unpack("<H", start[place - 2 : place].ljust(2, b"\0"))
    return start[place : place + length].rstrip(b"\0 ")
