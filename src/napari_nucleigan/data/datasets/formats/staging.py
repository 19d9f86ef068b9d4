"""Folders that appear whole or not at all: made beside their place, then renamed."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

from napari_nucleigan.base.errors import OutputError
from napari_nucleigan.base.files import make_folder, output_error, write_text

RECORD = "provenance.json"
"""Where the content of a folder comes from."""


def claim(out: Path, doing: str, record: dict[str, Any], *, afresh: bool = False) -> Path:
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


def land(work: Path, out: Path, more: dict[str, Any]) -> None:
    """Let a prepared folder appear in its place.

    Parameters
    ----------
    work : Path
        What `claim` has returned.
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


def discard(work: Path) -> None:
    """Remove a prepared folder that is not to appear."""
    with suppress(OSError):
        shutil.rmtree(work)


def _record(work: Path) -> dict[str, Any] | None:
    try:
        content = json.loads((work / RECORD).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
