"""Queue: runs that wait for one another, one line for each computing device of a machine.

A place in the line is a file that its process keeps locked, so a process that dies gives its place up, and no
server is needed.
"""

from __future__ import annotations

import os
import platform
import time
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Self

from napari_nucleigan.base.events import Job, Progress
from napari_nucleigan.base.files import app_folder
from napari_nucleigan.base.locks import try_lock
from napari_nucleigan.training.runs.run_lock import PAUSED

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LOOK = 0.5
"""Seconds between two looks at the line."""

_FRESH = 10.0  # seconds in which a place that is not locked may be one that is just being taken


def queue_folder(device: str) -> Path:
    """Folder of the places of a device: in ``NUCLEIGAN_QUEUE``, else in the user's state folder."""
    # A home folder may be shared by several machines.
    return app_folder("NUCLEIGAN_QUEUE", "state", "queue") / f"{platform.node()}-{device.replace(':', '')}"


class Place:
    """A place in the line of a device: the last one, from when the block is entered until it ends.

    Where the folder of the places cannot be written to there is no line, and everybody passes.

    Parameters
    ----------
    device : str
        A device as `napari_nucleigan.base.devices.choose_device` returns it.
    """

    def __init__(self, device: str) -> None:
        self._folder = queue_folder(device)
        self._path: Path | None = None
        self._handle: IO[bytes] | None = None

    def __enter__(self) -> Self:
        """Stand in the line."""
        self.take()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the line."""
        self.leave()

    def ahead(self) -> int:
        """Count the processes that came earlier and are still there."""
        if self._path is None:
            return 0
        return sum(_taken(path) for path in self._path.parent.glob("*.place") if path.name < self._path.name)

    def wait(self, paused: Callable[[], bool] = bool) -> Job[None]:
        """Wait for one's turn; closing the job gives up waiting.

        Parameters
        ----------
        paused : callable
            Tells whether all others are to go first until further notice.
        """
        first = ahead = self.ahead()
        while ahead:
            runs = "another run" if ahead == 1 else f"{ahead} other runs"
            yield Progress(first - ahead, first, f"Waiting for {runs} on this device")
            time.sleep(LOOK)
            if paused():
                self.leave()
                while paused():
                    yield Progress(0, 0, PAUSED)
                    time.sleep(LOOK)
                self.take()
                first = self.ahead()
            ahead = self.ahead()

    def take(self) -> None:
        """Take the last place."""
        path = self._folder / f"{time.time_ns():020d}-{os.getpid()}.place"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._handle = path.open("xb")
        except OSError:
            # To wait in a line is a courtesy; without a folder for it the training goes on all the same.
            return
        self._path = path
        # Who counts the line holds the lock for a moment.
        while not try_lock(self._handle.fileno()):
            time.sleep(0.01)

    def leave(self) -> None:
        """Give the place up."""
        if self._path is not None and self._handle is not None:
            with suppress(OSError):
                self._path.unlink()
            self._handle.close()
        self._path = self._handle = None


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
