"""Leftovers: what is written aside, and what becomes of it where its writer was killed before it took its place."""

from __future__ import annotations

import hashlib
import os
import platform
import re
from contextlib import suppress
from functools import cache
from pathlib import Path
from secrets import token_hex
from shutil import rmtree

_NAME = re.compile(
    r"\.(?P<stem>.*)\.(?P<host>[0-9a-f]{6})-(?P<pid>\d{1,9})-[0-9a-f]{8}\.(?P<kind>part|old)(?P<suffix>\.\w{1,20})?",
    re.DOTALL,
)
_STEM = 120  # bytes of the name that are kept, so that long names still fit

_swept: set[str] = set()


def aside(target: Path, kind: str = "part") -> Path:
    """Return a hidden path beside another, which tells who writes there.

    Parameters
    ----------
    target : Path
        The path that it is to take the place of, or to keep.
    kind : {"part", "old"}
        Whether it is what will be, or what was.

    Returns
    -------
    Path
        Unique, so that two writers of one file never share it; it ends in the same suffix.
    """
    suffix = target.suffix if re.fullmatch(r"\.\w{1,20}", target.suffix) else ""
    stem = target.name.removesuffix(suffix)
    short = stem.encode("utf-8", "replace")[:_STEM].decode("utf-8", "ignore")
    return target.with_name(f".{short}.{_this_machine()}-{os.getpid()}-{token_hex(4)}.{kind}{suffix}")


def sweep(folder: Path) -> None:
    """Remove what writers that are dead have left in a folder, once in the life of this process.

    What was at the place of a folder that did not come to take it goes back there. Writers on other machines, which
    may be alive, are left alone.

    Parameters
    ----------
    folder : Path
        Where something is about to be written.
    """
    key = os.path.abspath(folder)
    if key in _swept:
        return
    _swept.add(key)
    with suppress(OSError):
        for name in os.listdir(folder):
            found = _NAME.fullmatch(name)
            if found is None or found["host"] != _this_machine():
                continue
            path = folder / name
            if _is_dead(int(found["pid"]), path):
                _put_away(path, found["kind"], folder / f"{found['stem']}{found['suffix'] or ''}")


def _put_away(path: Path, kind: str, target: Path) -> None:
    with suppress(OSError):
        if kind == "old" and not os.path.lexists(target):
            os.replace(path, target)
        elif path.is_dir() and not path.is_symlink():
            rmtree(path)
        else:
            path.unlink()


def _is_dead(pid: int, path: Path) -> bool:
    import psutil

    try:
        # The number may belong to another process by now.
        return bool(psutil.Process(pid).create_time() > path.lstat().st_mtime + 2)
    except psutil.NoSuchProcess:
        return True
    except (psutil.Error, OSError):
        return False


@cache
def _this_machine() -> str:
    return hashlib.sha256(platform.node().encode("utf-8", "replace")).hexdigest()[:6]
