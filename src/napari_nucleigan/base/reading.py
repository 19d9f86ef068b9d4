"""Reading of files that people bring: one sentence for whatever goes wrong, and memory bounded before it is taken."""

from __future__ import annotations

import errno
import json
import os
import re
import stat
import zlib
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_nucleigan.base.errors import NucleiganError
from napari_nucleigan.base.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

LARGEST = 1_610_000_000
"""Bytes that one thing from a file may take in memory: an image of 400 million pixels in int32 or RGBA."""

LARGEST_TEXT = 400_000_000
"""Bytes of a text (JSON, XML, CSV) that is read as a whole; what is made of it may take several times as much."""

_PARSED = 1_400_000_000  # bytes that the values of JSON may take
_OBJECT = re.compile(r"<class '[^']*'>|<[^<>]* at 0x[0-9a-f]+>")  # as parsers name what they did not expect
_PICTURES = ("image", "slide")  # where a text that cannot be read is a decoder's, of what is wrong
_CONTAINER, _VALUE = 72, 32  # bytes that a short list takes, and a number with its place in one


class FileFault(ValueError):
    """What is wrong with a file, as the end of the sentence "Cannot read FILE: ..."; `reading` completes it."""


@contextmanager
def reading(path: str | Path, kind: type[NucleiganError], expected: str = "") -> Iterator[None]:
    """Turn whatever the system, a decoder or a parser says of a file into one error.

    This is the only place that does; a reader raises `FileFault` where it knows what is wrong, and lets all else pass.

    Parameters
    ----------
    path : str or Path
        The file, for the message.
    kind : type of NucleiganError
        What is raised.
    expected : str
        What the file should be, as in "GeoJSON of polygons"; for files that turn out to be something else.

    Raises
    ------
    NucleiganError
        Of that kind; one that is raised inside passes as it is.
    """
    try:
        yield
    except NucleiganError:
        raise
    except Exception as error:
        raise kind(f"Cannot read {printable(path)}: {fault(error, expected)}.") from error


def fault(error: BaseException, expected: str = "") -> str:
    """Say in half a sentence what an error means for the file that was read.

    Parameters
    ----------
    error : BaseException
        What was raised.
    expected : str
        What the file should be.

    Returns
    -------
    str
        Without a full stop.
    """
    if isinstance(error, FileFault):
        return printable(error)
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno).lower()
    if isinstance(error, MemoryError):
        return "it does not fit into memory"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, UnicodeError) and expected not in _PICTURES:
        return "its text is not in UTF-8"
    text = _OBJECT.sub("something", printable(error)).strip().rstrip(".") or type(error).__name__
    if isinstance(error, KeyError):
        text = f"{text} is missing"
    kind = f"no {expected}" if expected else "of a kind that is not known"
    return f"it is damaged, cut short or {kind} ({text})"


def check_regular(path: str | Path) -> None:
    """Make sure that a path names a file, before it is opened: to open a pipe is to wait for ever.

    Raises
    ------
    OSError
        If there is nothing, or a folder.
    FileFault
        If it is a pipe, a socket or a device.
    """
    mode = os.stat(path).st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise FileFault("it is a pipe, a socket or a device, and no file")


def check_memory(nbytes: float, most: int = LARGEST) -> None:
    """Refuse what would take too much memory, before it is taken.

    Parameters
    ----------
    nbytes : float
        Bytes that it would take.
    most : int
        Bytes that it may take.

    Raises
    ------
    FileFault
        If it would take more.
    """
    if not nbytes <= most:
        # What is unpacked is so no further than to the limit, and how much more there is stays unknown.
        much = f"{nbytes / 1e9:.3g} GB of memory, more than the {most / 1e9:.2g} GB"
        if nbytes < 1.01 * most:
            much = f"more than the {most / 1e9:.2g} GB of memory"
        raise FileFault(f"it would take {much} that are read as a whole; use a part of it")


def read_bytes(path: str | Path, most: int = LARGEST) -> bytes:
    """Read a whole file.

    Raises
    ------
    OSError
        If the system refuses.
    FileFault
        If it is no regular file, or has more than `most` bytes.
    """
    check_regular(path)
    with open(path, "rb") as handle:
        check_memory(os.fstat(handle.fileno()).st_size, most)
        # A file may grow while it is read, and those of the system say that they are empty.
        content = handle.read(most + 1)
    check_memory(len(content), most)
    return content


def read_json(path: str | Path, most: int = LARGEST_TEXT) -> Any:
    """Read a file of JSON, gunzipped where its name ends in ``.gz``; a byte order mark at its beginning is no fault.

    Raises
    ------
    OSError, FileFault
        As `read_bytes`; also if unpacked it is larger than `most`, or its values would take too much memory.
    ValueError, RecursionError
        If it is no JSON, or nested too deeply.
    """
    content = read_bytes(path, most)
    if Path(path).suffix.lower() == ".gz":
        content = gunzip(content, most)
    containers = content.count(b"[") + content.count(b"{")
    check_memory(_CONTAINER * containers + _VALUE * content.count(b","), _PARSED)
    return json.loads(content.decode("utf-8-sig"))


def gunzip(content: bytes, most: int = LARGEST_TEXT) -> bytes:
    """Unpack gzip data of several members, to `most` bytes at most.

    Raises
    ------
    FileFault
        If there are more.
    zlib.error
        If the data are damaged.
    """
    parts = []
    size = 0
    while content:
        unpacker = zlib.decompressobj(16 + zlib.MAX_WBITS)
        part = unpacker.decompress(content, most + 1 - size)
        size += len(part)
        check_memory(size, most)
        if not unpacker.eof:
            raise FileFault("it is cut short")
        parts.append(part)
        # Zeros may fill the end of the file.
        content = unpacker.unused_data.lstrip(b"\0")
    return b"".join(parts)
