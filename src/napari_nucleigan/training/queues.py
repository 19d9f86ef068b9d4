"""Runs that wait for one another: one line for each computing device of a machine.

A place in the line is a file that its process keeps locked, so a process that dies gives its place up, and no
server is needed.
"""

from __future__ import annotations

import os
import platform
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from napari_nucleigan.events import Job, Progress
from napari_nucleigan.training.locks import try_lock

if TYPE_CHECKING:
    from collections.abc import Iterator

LOOK = 0.5
"""Seconds between two looks at the line."""

_FRESH = 10.0  # seconds in which a place that is not locked may be one that is just being taken


def queue_folder(device: str) -> Path:
    """Folder of the places of a device: in ``NUCLEIGAN_QUEUE``, else in the user's state folder."""
    chosen = os.environ.get("NUCLEIGAN_QUEUE")
    if chosen:
        root = Path(chosen).expanduser()
    else:
        import platformdirs

        root = Path(platformdirs.user_state_dir("nucleigan", appauthor=False)) / "queue"
    # A home folder may be shared by several machines.
    return root / f"{platform.node()}-{device.replace(':', '')}"


class Place:
    """A place in the line of a device.

    Parameters
    ----------
    path : Path or None
        Its file; None where no line can be kept, which lets everybody pass.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def ahead(self) -> int:
        """Count the processes that came earlier and are still there."""
        if self._path is None:
            return 0
        return sum(_taken(path) for path in self._path.parent.glob("*.place") if path.name < self._path.name)

    def wait(self) -> Job[None]:
        """Wait for one's turn; closing the job gives up waiting."""
        first = ahead = self.ahead()
        while ahead:
            runs = "another run" if ahead == 1 else f"{ahead} other runs"
            yield Progress(first - ahead, first, f"Waiting for {runs} on this device")
            time.sleep(LOOK)
            ahead = self.ahead()


@contextmanager
def place(device: str) -> Iterator[Place]:
    """Take the last place in the line of a device, and keep it until the block ends.

    Parameters
    ----------
    device : str
        A device as `napari_nucleigan.devices.choose_device` returns it.

    Yields
    ------
    Place
    """
    folder = queue_folder(device)
    path = folder / f"{time.time_ns():020d}-{os.getpid()}.place"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = path.open("xb")
    except OSError:
        # To wait in a line is a courtesy; without a folder for it the training goes on all the same.
        yield Place(None)
        return
    with handle:
        # Who counts the line holds the lock for a moment.
        while not try_lock(handle.fileno()):
            time.sleep(0.01)
        try:
            yield Place(path)
        finally:
            with suppress(OSError):
                path.unlink()


def _taken(path: Path) -> bool:
    try:
        with path.open("rb") as handle:
            if not try_lock(handle.fileno(), shared=True):
                return True
            if time.time() - _since(path) < _FRESH:
                return True
    except OSError:
        return False
    with suppress(OSError):
        path.unlink()
    return False


def _since(path: Path) -> float:
    # In seconds since 1970, as the name of the place tells.
    try:
        return int(path.name.split("-")[0]) / 1e9
    except ValueError:
        return 0.0
