"""Staging: folders that are prepared aside, over several attempts, and appear when they are whole."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from napari_nucleigan.base.errors import OutputError
from napari_nucleigan.base.files import RECORD, make_folder, output_error, write_text
from napari_nucleigan.base.leftovers import sweep
from napari_nucleigan.base.locks import FileLock
from napari_nucleigan.base.reading import read_json


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
        sweep(make_folder(out.parent))
        work = out.with_name(f".{out.name}.{doing}")
        _hold(work)
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
    _let_go(work)


def discard_folder(work: Path) -> None:
    """Remove a prepared folder that is not to appear."""
    with suppress(OSError):
        shutil.rmtree(work)
    _let_go(work)


def _record(work: Path) -> dict[str, Any] | None:
    try:
        content = read_json(work / RECORD)
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


_held: dict[Path, ExitStack] = {}


def _hold(work: Path) -> None:
    """Keep other processes out until this one has published or discarded the folder, or ends.

    An attempt that was broken off leaves the lock with this process, which may take the work up again.
    """
    if work in _held:
        return

    def refusal(owner: str) -> OutputError:
        return OutputError(f"Another process is filling {work} ({owner}); wait for it, or choose another folder.")

    with ExitStack() as stack:
        stack.enter_context(FileLock(_lock(work)).held(refusal))
        _held[work] = stack.pop_all()


def _let_go(work: Path) -> None:
    if stack := _held.pop(work, None):
        with stack, suppress(OSError):  # Windows removes no file that is open
            _lock(work).unlink()


def _lock(work: Path) -> Path:
    return work.with_name(f"{work.name}.lock")
