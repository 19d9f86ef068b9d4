"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from shutil import rmtree
from typing import Any

from napari_nucleigan.base.errors import OutputError

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
    probe = make_folder(folder) / f".{token_hex(4)}.part"
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
        If the system refuses the write.
    """
    target = Path(path)
    make_folder(target.parent)
    # Unique, so that two writers of one file never share it; short, so that long names still fit.
    temporary = target.with_name(f".{target.stem[:40]}.{token_hex(4)}.part{target.suffix}")
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


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Fill a folder aside, then move it into place.

    Like `atomic_write`, for results that are folders. What was at `path` before is removed, once the new one is there.

    Parameters
    ----------
    path : str or Path
        The folder to make.

    Yields
    ------
    Path
        An empty folder beside it, which ends in the same suffix.

    Raises
    ------
    OutputError
        If the system refuses the write.
    """
    target = Path(path)
    make_folder(target.parent)
    temporary = target.with_name(f".{target.stem[:40]}.{token_hex(4)}.part{target.suffix}")
    former = temporary.with_suffix(".old")
    try:
        temporary.mkdir()
        yield temporary
        if target.exists():
            os.replace(target, former)
        os.replace(temporary, target)
        _sync_folder(target.parent)
    except OSError as error:
        # The former one comes back where the new one could not take its place.
        if former.exists() and not target.exists():
            os.replace(former, target)
        raise output_error(target, error) from error
    finally:
        for folder in (temporary, former):
            rmtree(folder, ignore_errors=True)


def write_bytes(path: str | Path, content: bytes, *, flush: bool = True) -> None:
    """Write `content` to `path`, whole or not at all."""
    with atomic_write(path, flush=flush) as temporary:
        temporary.write_bytes(content)


def write_text(path: str | Path, content: str, *, flush: bool = True) -> None:
    """Write `content` as UTF-8 to `path`, whole or not at all."""
    write_bytes(path, content.encode("utf-8"), flush=flush)


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
        lines = Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    records = []
    for line in lines:
        with suppress(ValueError):
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


def stage_folder(out: Path, doing: str, record: dict[str, Any], *, afresh: bool = False) -> Path:
    """Make the folder in which another one is prepared, or find the one of an earlier attempt.

    Parameters
    ----------
    out : Path
        The folder that is to appear.
    doing : str
        What is done, for the name of the hidden folder.
    record : dict
        Ready for JSON. An earlier attempt is taken up if its record is the same, else removed.
    afresh : bool
        Whether it is removed in any case.

    Returns
    -------
    Path

    Raises
    ------
    OutputError
        If `out` holds something, or the place cannot be written to.
    """
    out = Path(os.path.abspath(out))
    try:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise OutputError(f"{out} is there and holds something; choose another folder, or remove it.")
        make_folder(out.parent)
        work = out.with_name(f".{out.name}.{doing}")
        if work.exists() and (afresh or _record(work) != record):
            if any(work.iterdir()) and not (work / RECORD).is_file():
                raise OutputError(f"{work} is in the way and is not this program's; remove it.")
            shutil.rmtree(work)
        if not work.exists():
            work.mkdir()
            write_text(work / RECORD, json.dumps(record, indent=1) + "\n")
    except OSError as error:
        raise output_error(out, error) from error
    return work


def publish_folder(work: Path, out: Path, more: dict[str, Any]) -> None:
    """Let a prepared folder appear in its place.

    Parameters
    ----------
    work : Path
        What `stage_folder` has returned.
    out : Path
        The folder that is to appear: absent, or empty.
    more : dict
        Goes into its record.

    Raises
    ------
    OutputError
        If it cannot be renamed.
    """
    out = Path(os.path.abspath(out))
    write_text(work / RECORD, json.dumps((_record(work) or {}) | more, indent=1) + "\n")
    try:
        if out.exists():
            out.rmdir()  # Windows renames onto nothing
        os.replace(work, out)
    except OSError as error:
        raise output_error(out, error) from error


def discard_folder(work: Path) -> None:
    """Remove a prepared folder that is not to appear."""
    with suppress(OSError):
        shutil.rmtree(work)


def _record(work: Path) -> dict[str, Any] | None:
    try:
        content = json.loads((work / RECORD).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
