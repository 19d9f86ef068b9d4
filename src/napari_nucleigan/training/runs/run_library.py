"""Run library: the folder that holds the runs, listing, naming, renaming and putting away."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

from napari_nucleigan.base.errors import RunError, explain
from napari_nucleigan.base.files import app_folder, make_folder, output_error
from napari_nucleigan.base.reading import fault
from napari_nucleigan.base.text import printable
from napari_nucleigan.training.runs.run_folder import RunFolder
from napari_nucleigan.training.runs.run_lock import ORDER, PROCESS
from napari_nucleigan.training.runs.status import RunState, RunStatus, state_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_nucleigan.training.runs.run_folder import EventLogReader

TRASH = ".trash"
"""Folder, beside the runs, that deleted runs are moved to."""

DATA = ".data"
"""Folder, beside the runs, for the data sets that were made for one run."""

# Windows forbids these; a run may be copied there.
_FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f]')
_LONGEST = 120


def default_folder() -> Path:
    """Folder of the runs: ``NUCLEIGAN_RUNS``, else in the user's data folder."""
    return app_folder("NUCLEIGAN_RUNS", "data", "runs")


def new_folder(name: str, folder: str | Path | None = None) -> Path:
    """Return a path for a new run that no other run has; it is not made yet.

    Parameters
    ----------
    name : str
        How the run is to be called; a number is added where there is such a run already.
    folder : str or Path, optional
        Folder of the runs; by default `default_folder`.

    Returns
    -------
    Path

    Raises
    ------
    RunError
        If no folder can have that name.
    """
    return _free(_root(folder) / _checked(name))


def find_run(name_or_path: str | Path, folder: str | Path | None = None) -> Path:
    """Find a run by its folder, or by its name among the runs.

    Raises
    ------
    RunError
        If there is none.
    """
    path = Path(name_or_path).expanduser()
    for found in (path, _root(folder) / path):
        if _is_run(found):
            return found.absolute()
    raise RunError(f"There is no training run {str(name_or_path)!r}, neither as a folder nor in {_root(folder)}.")


def list_runs(
    folder: str | Path | None = None, readers: Mapping[Path, EventLogReader] | None = None
) -> list[RunStatus]:
    """List the runs of a folder, the last active first.

    Parameters
    ----------
    folder : str or Path, optional
        Folder of the runs; by default `default_folder`. It need not exist.
    readers : mapping of Path to EventLogReader, optional
        Runs whose event logs are read already; they are not read once more.

    Returns
    -------
    list of RunStatus
        What cannot be read is among them, with the reason as its message.

    Raises
    ------
    RunError
        If the folder cannot be read.
    """
    root = _root(folder)
    try:
        paths = [path for path in root.iterdir() if not path.name.startswith(".") and _is_run(path)]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RunError(f"Cannot read the folder of the runs {printable(root)}: {fault(error)}.") from error

    def status_of(path: Path) -> RunStatus:
        reader = (readers or {}).get(path)
        try:
            return state_of(path, None if reader is None else lambda: reader.summary)
        except Exception as error:  # one odd run must not take the others away
            return RunStatus(path, RunState.UNREADABLE, str(explain(error, f"reading the run {path.name}")))

    # One may be put away at this very moment.
    found = [status_of(path) for path in paths if os.path.lexists(path)]
    return sorted(found, key=lambda status: (-status.activity, status.name))


def rename(run: str | Path, name: str) -> Path:
    """Give a run another name.

    Parameters
    ----------
    run : str or Path
        Folder of the run; no process may belong to it.
    name : str
        The new name of the folder.

    Returns
    -------
    Path
        The folder under its new name.

    Raises
    ------
    RunError
        If the run is active, or the name is taken or impossible.
    OutputError
        If the system refuses it.
    """
    path = Path(run)
    target = path.with_name(_checked(name))
    _at_rest(path, "renamed")
    if target == path:
        return path
    if os.path.lexists(target) and not (target.exists() and target.samefile(path)):
        raise RunError(f"There is something called {target.name!r} in {target.parent} already; choose another name.")
    return _move(path, target)


def delete(run: str | Path) -> Path:
    """Move a run to the trash folder beside it; whoever wants the room empties that folder by hand.

    A data set in the folder `DATA` goes along, into ``data`` in the run, unless another run was trained on it.

    Parameters
    ----------
    run : str or Path
        Folder of the run; no process may belong to it.

    Returns
    -------
    Path
        Where it is now.

    Raises
    ------
    RunError
        If the run is active.
    OutputError
        If the system refuses it.
    """
    path = Path(run)
    _at_rest(path, "deleted")
    own = _own_data(path)
    stamp = time.strftime("%Y-%m-%d %H.%M.%S")
    target = _move(path, _free(make_folder(path.parent / TRASH) / f"{path.name} {stamp}"))
    if own is not None:
        _move(own, _free(target / "data"))
    return target


def _root(folder: str | Path | None) -> Path:
    return default_folder() if folder is None else Path(folder).expanduser()


def _is_run(path: Path) -> bool:
    for name in ("recipe.json", ORDER, PROCESS):
        try:
            os.lstat(path / name)
        except PermissionError:  # what is in there cannot be told, which is to be said
            return True
        except OSError:
            continue
        return True
    return False


def _own_data(path: Path) -> Path | None:
    data = _data(path)
    if data is None or data.parent != (path.parent / DATA).resolve() or not data.is_dir():
        return None
    others = [other for other in path.parent.iterdir() if other != path and not other.name.startswith(".")]
    return None if any(_data(other) == data for other in others) else data


def _data(path: Path) -> Path | None:
    """Return the data set of a run, if `path` is one that says so."""
    folder = RunFolder(path)
    try:
        data = folder.data().get("folder") if folder.exists else (folder.order() or {}).get("data")
    except RunError:
        return None
    return Path(data).resolve() if isinstance(data, str) else None


def _checked(name: str) -> str:
    name = name.strip()
    if not name or name.startswith(".") or name.endswith(".") or _FORBIDDEN.search(name) or len(name) > _LONGEST:
        raise RunError(
            f"A run cannot be called {name!r}: a name has 1 to {_LONGEST} characters, neither begins nor ends with a "
            'dot, and has none of < > : " / \\ | ? *.'
        )
    return name


def _free(path: Path) -> Path:
    found, number = path, 1
    while os.path.lexists(found):
        number += 1
        found = path.with_name(f"{path.name} {number}")
    return found


def _at_rest(path: Path, what: str) -> None:
    try:
        state = state_of(path).state
    except RunError:
        # What cannot be read may be put away all the same, unless somebody works there.
        if not _is_run(path):
            raise
        state = RunState.RUNNING if RunFolder(path).held else RunState.UNREADABLE
    if state.alive:
        raise RunError(f"{path} is {state}; it can be {what} when it has ended. Stop it first.")


def _move(path: Path, target: Path) -> Path:
    try:
        os.rename(path, target)
    except OSError as error:
        raise output_error(target, error) from error
    return target
