"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import rmtree
from typing import Any

from napari_nucleigan.base.errors import OutputError
from napari_nucleigan.base.leftovers import aside, sweep
from napari_nucleigan.base.reading import FileFault, read_bytes

_REASONS = {
    errno.ENOSPC: "the disk is full; free some space or choose another folder",
    errno.EDQUOT: "your disk quota is used up; free some space or choose another folder",
    errno.EACCES: "permission is denied; choose a folder that you may write to",
    errno.EPERM: "permission is denied; choose a folder that you may write to",
    errno.EROFS: "the file system is read-only; choose a folder that you may write to",
    errno.ENOTDIR: "a part of the path is a file, not a folder; choose another path",
    errno.EEXIST: "a file of that name is in the way; choose another path",
    errno.EISDIR: "a folder of that name is in the way; choose another name",
}

RECORD = "provenance.json"
"""Where the content of a folder comes from."""


def output_error(path: str | Path, error: OSError) -> OutputError:
    """Turn an operating-system error on writing into one clear sentence.

    Parameters
    ----------
    path : str or Path
        What was to be written.
    error : OSError
        What the system said.

    Returns
    -------
    OutputError
    """
    reason = _REASONS.get(error.errno or 0, f"{error.strerror or error}; check the path")
    return OutputError(f"Cannot write {path}: {reason}.")


def make_folder(path: str | Path) -> Path:
    """Make a folder and its parents.

    Raises
    ------
    OutputError
        Where that is not possible.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(folder, error) from error
    return folder


def app_folder(variable: str, kind: str, name: str = "") -> Path:
    """Return a folder of the user's own, which need not be there yet.

    Parameters
    ----------
    variable : str
        Environment variable that names it.
    kind : {"data", "state", "config"}
        Where it lies without that, as the system has it.
    name : str
        Its name there.

    Returns
    -------
    Path
    """
    if chosen := os.environ.get(variable):
        return Path(chosen).expanduser()
    from platformdirs import PlatformDirs

    usual: Path = getattr(PlatformDirs("nucleigan", appauthor=False), f"user_{kind}_path")
    return usual / name


def check_writable(folder: str | Path) -> None:
    """Make sure that files can be written into a folder, which is made where it is not there.

    Raises
    ------
    OutputError
        Where they cannot.
    """
    probe = aside(make_folder(folder) / "probe")
    try:
        probe.write_bytes(b"\0")
    except OSError as error:
        raise output_error(folder, error) from error
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)


def disk_is_full(error: OutputError) -> bool:
    """Tell whether a write failed for lack of room, so that others will fail like it."""
    cause = error.__cause__
    return isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def atomic_write(path: str | Path, *, flush: bool = True) -> Iterator[Path]:
    """Write a file aside, then move it into place.

    The block receives a temporary path in the same folder. When the block ends well the file is
    flushed to the disk and renamed over `path`; when it fails, the temporary file is removed and
    `path` is untouched.

    Parameters
    ----------
    path : str or Path
        The file to write.
    flush : bool
        Whether it must survive a power cut. What is of no use after one need not wait for the disk, which takes seconds
        while other programs write much.

    Yields
    ------
    Path
        The temporary path to write to; it ends in the same suffix.

    Raises
    ------
    OutputError
        If the system refuses the write, or what is there is a pipe or a device.
    """
    target = Path(path)
    sweep(make_folder(target.parent))
    _refuse_special(target)
    temporary = aside(target)
    try:
        yield temporary
        if flush:
            with temporary.open("rb+") as handle:
                os.fsync(handle.fileno())
        os.replace(temporary, target)
        if flush:
            _sync_folder(target.parent)
    except OSError as error:
        raise output_error(target, error) from error
    finally:
        # A folder that refuses writes refuses this too, and must not hide the error that says so.
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _refuse_special(target: Path) -> None:
    # To rename onto a device is to remove it, if the user may.
    if target.exists() and not (target.is_file() or target.is_dir()):
        raise OutputError(f"Cannot write {target}: it is a pipe or a device; give the name of a file.")


@contextmanager
def atomic_folder(path: str | Path, is_ours: Callable[[Path], bool]) -> Iterator[Path]:
    """Fill a folder aside, then move it into place.

    Like `atomic_write`, for results that are folders. What was at `path` before is removed, once the new one is there.

    Parameters
    ----------
    path : str or Path
        The folder to make.
    is_ours : callable
        As for `refuse_foreign`.

    Yields
    ------
    Path
        An empty folder beside it, which ends in the same suffix.

    Raises
    ------
    OutputError
        If what is there is not this program's, or the system refuses the write.
    """
    target = Path(path)
    sweep(make_folder(target.parent))
    _refuse_special(target)
    refuse_foreign(target, is_ours)
    temporary, former = aside(target), aside(target, "old")
    try:
        temporary.mkdir()
        yield temporary
        # Again: what came meanwhile is not ours either.
        refuse_foreign(target, is_ours)
        if os.path.lexists(target):
            os.replace(target, former)
        os.replace(temporary, target)
        _sync_folder(target.parent)
    except OSError as error:
        raise output_error(target, error) from error
    finally:
        # The former one comes back where the new one could not take its place.
        if former.exists() and not os.path.lexists(target):
            os.replace(former, target)
        for folder in (temporary, former):
            rmtree(folder, ignore_errors=True)


MARK = b"nucleigan"
"""What this program writes says so with this word, in its first or its last part."""

_LOOK = 1 << 16  # bytes of these parts


def refuse_foreign(path: str | Path, is_ours: Callable[[Path], bool] | None = None) -> None:
    """Make sure that nothing is written over but what this program has made.

    Parameters
    ----------
    path : str or Path
        What is to be written. What is empty may be taken.
    is_ours : callable, optional
        Tells whether what is there is this program's own; by default whether it is a file that has `MARK`.

    Raises
    ------
    OutputError
        If there is something else, or a pipe or a device.
    """
    path = Path(path)
    try:
        _refuse_special(path)
        if not os.path.lexists(path) or (is_ours or says_so)(path):
            return
        if not (any(path.iterdir()) if path.is_dir() else path.stat().st_size):
            return
    except OSError as error:
        raise output_error(path, error) from error
    raise OutputError(
        f"{path} is there and was not made by this program, so it is not written over; choose another name, or remove "
        "it."
    )


def refuse_foreign_report(folder: Path, text: str, files: Iterable[str]) -> None:
    """Make sure that no report is written over but one of this program, whose text says whose it is.

    Parameters
    ----------
    folder : Path
        Where the report goes.
    text : str
        Name of its text.
    files : iterable of str
        Names of all its files.

    Raises
    ------
    OutputError
        If the folder holds other files by these names.
    """
    if not says_so(folder / text):
        for name in files:
            refuse_foreign(folder / name)


def says_so(path: Path, mark: bytes = MARK) -> bool:
    """Tell whether a file says of itself that this program has made it, by `MARK` or by another mark."""
    if not path.is_file():
        return False
    with path.open("rb") as handle:
        first = handle.read(_LOOK)
        if first[:2] == b"\x1f\x8b":
            with suppress(zlib.error):
                return mark in zlib.decompressobj(16 + zlib.MAX_WBITS).decompress(first, _LOOK)
        handle.seek(max(0, handle.seek(0, os.SEEK_END) - _LOOK))
        return mark in first or mark in handle.read()


def write_bytes(path: str | Path, content: bytes, *, flush: bool = True) -> None:
    """Write `content` to `path`, whole or not at all."""
    with atomic_write(path, flush=flush) as temporary:
        temporary.write_bytes(content)


def write_text(path: str | Path, content: str, *, flush: bool = True) -> None:
    """Write `content` as UTF-8 to `path`, whole or not at all; what is no text, as in some names, as escapes."""
    write_bytes(path, content.encode("utf-8", "backslashreplace"), flush=flush)


def is_whole(path: Path) -> bool:
    """Tell whether a result that appears whole or not at all is there; one of no bytes was emptied since."""
    try:
        return path.is_dir() or path.stat().st_size > 0
    except OSError:
        return False


def append_records(path: str | Path, records: Iterable[dict[str, Any]], *, flush: bool = False) -> None:
    """Add records to a file of JSON lines; several processes may add to one file.

    Parameters
    ----------
    path : str or Path
        The file; it is made where it is not there.
    records : iterable of dict
        One line each.
    flush : bool
        Whether they must survive a power cut.

    Raises
    ------
    OutputError
        If the system refuses; what was there stays as it was.
    """
    path = Path(path)
    text = "".join(json.dumps(record) + "\n" for record in records)
    size: int | None = None
    try:
        _refuse_special(path)
        with path.open("ab+") as handle:
            size = handle.seek(0, os.SEEK_END)
            handle.seek(max(0, size - 1))
            # A sudden end may have left half a line, which must not take this one along.
            torn = handle.read(1) not in (b"", b"\n")
            handle.write(("\n" * torn + text).encode("utf-8"))
            if flush:
                handle.flush()
                os.fsync(handle.fileno())
    except OSError as error:
        if size is not None:
            with suppress(OSError):
                os.truncate(path, size)
        raise output_error(path, error) from error


def read_records(path: str | Path) -> list[dict[str, Any]]:
    """Read a file of JSON lines; lines that are torn or no records are left out, and a missing file holds none."""
    try:
        lines = read_bytes(path).decode("utf-8", "replace").splitlines()
    except (OSError, FileFault):
        return []
    records = []
    for line in lines:
        with suppress(ValueError, RecursionError):
            if isinstance(record := json.loads(line), dict):
                records.append(record)
    return records


def _sync_folder(folder: Path) -> None:
    # The rename itself must reach the disk; Windows cannot open folders and needs no such step.
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
