"""Training runs in widgets: a thread that looks at them, and how their states are shown.

The thread touches no Qt object: it fills a queue that the widget empties by a timer. It is no worker of Qt's thread
pool, which on a machine of two cores has two places: a run that is watched all night would take one of them.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from qtpy.QtCore import QObject, QTimer, Signal

from napari_nucleigan.base.errors import NucleiganError
from napari_nucleigan.base.events import Event, Preview
from napari_nucleigan.training.runs.status import RunState
from napari_nucleigan.widgets.base.legend import pretty

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import numpy as np

    from napari_nucleigan.training.runs.run_folder import EventLogReader, Told
    from napari_nucleigan.training.runs.status import RunStatus

LOOK = 0.3
"""Seconds between two looks at the runs that are watched."""

LIST = 3.0
"""Seconds between two listings of all runs."""

_POLL_MS = 60
_BUDGET = 0.012  # seconds of each poll that the viewer may lose to it
_log = logging.getLogger("napari_nucleigan")
_COLOURS = {
    RunState.QUEUED: ("#555d68", "#b9c1cc"),
    RunState.RUNNING: ("#14803c", "#5fd38d"),
    RunState.PAUSED: ("#857000", "#e6d24a"),
    RunState.STOPPING: ("#c25a00", "#ff9f40"),
    RunState.STOPPED: ("#555d68", "#b9c1cc"),
    RunState.FINISHED: ("#0b62c4", "#4fa3ff"),
    RunState.FAILED: ("#c4122f", "#ff6b81"),
    RunState.INTERRUPTED: ("#c25a00", "#ff9f40"),
}
"""Colours of states on a light and on a dark theme."""

_BEST = ("aji", "train_aji", "own_aji", "f1")


@dataclass(frozen=True)
class PreviewImage:
    """The newest preview of a run.

    Attributes
    ----------
    step : int
        When it was made.
    pixels : ndarray of uint8, shape (H, W, 3)
        What it shows.
    """

    step: int
    pixels: np.ndarray[Any, Any]


@dataclass(eq=False)
class _RunWatcher:
    """The thread and what it works on; plain Python, so that it may outlive the widget for a moment."""

    folder: Path
    messages: queue.SimpleQueue[tuple[str, tuple[Any, ...]]] = field(default_factory=queue.SimpleQueue)
    """Names of signals of `Monitor`, and what they tell."""
    wanted: set[Path] = field(default_factory=set)
    watched: dict[Path, EventLogReader] = field(default_factory=dict)
    wake: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)
    list_now: bool = True

    alive: ClassVar[set[_RunWatcher]] = set()  # what only Qt holds may be torn down while it is called

    def __call__(self, _: object = None) -> None:
        """End."""
        self.ended.set()
        self.wake.set()

    def run(self) -> None:
        try:
            next_list = 0.0
            while not self.ended.is_set():
                if self.list_now or time.monotonic() >= next_list:
                    self.list_now = False
                    begin = time.monotonic()
                    self._list()
                    # Many runs on a slow disk must not keep the thread busy.
                    next_list = time.monotonic() + max(LIST, 10 * (time.monotonic() - begin))
                self._look()
                if self.wake.wait(LOOK):
                    self.wake.clear()
        except Exception as error:  # it must not end in silence
            _log.error("unexpected error while looking at training runs", exc_info=error)
            failure = NucleiganError(f"The runs cannot be watched: {error}; open the widget again.")
            self.messages.put(("failed", (failure,)))
        finally:
            self.alive.discard(self)

    def _list(self) -> None:
        from napari_nucleigan.training.runs.processes import reap
        from napari_nucleigan.training.runs.run_library import list_runs

        reap()
        self.messages.put(("listed", (list_runs(self.folder, self.watched),)))

    def _look(self) -> None:
        """Look at each watched run."""
        from napari_nucleigan.training.runs.run_folder import EventLogReader
        from napari_nucleigan.training.runs.status import state_of

        wanted = set(self.wanted)
        for path in self.watched.keys() - wanted:
            del self.watched[path]
        for path in wanted:
            reader = self.watched.setdefault(path, EventLogReader(path))
            try:
                status = state_of(path, partial(reader.read_all, partial(self._tell, path)))
            except NucleiganError:
                self.messages.put(("gone", (path,)))
                self.wanted.discard(path)
                continue
            self.messages.put(("status", (status,)))

    def _tell(self, path: Path, told: list[Told], fresh: bool) -> None:
        events = [each.event for each in told]
        self.messages.put(("told", (path, events, fresh)))
        self._show(path, events)

    def _show(self, path: Path, told: Iterable[Event]) -> None:
        previews = [event for event in told if isinstance(event, Preview)]
        if not previews:
            return
        from napari_nucleigan.data.images.files import read_image

        try:
            pixels = read_image(previews[-1].path).pixels
        except NucleiganError as error:
            _log.info("a preview is left out: %s", error)
            return
        self.messages.put(("pictured", (path, PreviewImage(previews[-1].step, pixels))))


class Monitor(QObject):
    """Tells of the runs of a folder, and the whole story of some of them.

    Parameters
    ----------
    folder : Path
        Folder of the runs.
    parent : QObject
        The widget that owns it.
    """

    listed = Signal(object)
    """All runs: a list of `RunStatus`, the last active first."""
    status = Signal(object)
    """The `RunStatus` of a watched run."""
    told = Signal(object, object, bool)
    """Path of a watched run, a list of its events, and whether they begin again."""
    pictured = Signal(object, object)
    """Path of a watched run, and its newest `PreviewImage`."""
    gone = Signal(object)
    """Path of a watched run whose folder is no longer there."""
    failed = Signal(object)
    """A `NucleiganError`."""

    def __init__(self, folder: Path, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._folder = folder
        self._thread: _RunWatcher | None = None
        self._timer = QTimer(self, interval=_POLL_MS)
        self._timer.timeout.connect(self._poll)

    @property
    def running(self) -> bool:
        """Whether the thread runs."""
        return self._thread is not None

    def start(self) -> None:
        """Begin to look; a second call does nothing."""
        if self._thread is not None:
            return
        thread = self._thread = _RunWatcher(self._folder)
        _RunWatcher.alive.add(thread)
        self.destroyed.connect(thread)
        threading.Thread(target=thread.run, name="training runs", daemon=True).start()
        self._timer.start()

    def stop(self) -> None:
        """End the thread, after its present look."""
        self._timer.stop()
        if self._thread is not None:
            self.destroyed.disconnect(self._thread)
            self._thread()
            self._thread = None

    def watch(self, paths: Iterable[Path]) -> None:
        """Tell the whole story of these runs, and no more of others."""
        if self._thread is not None:
            self._thread.wanted = set(paths)
            self._thread.wake.set()

    def look(self) -> None:
        """Look at all runs now."""
        if self._thread is not None:
            self._thread.list_now = True
            self._thread.wake.set()

    def _poll(self) -> None:
        begin = time.monotonic()
        while self._thread is not None and time.monotonic() - begin < _BUDGET:
            try:
                kind, value = self._thread.messages.get_nowait()
            except queue.Empty:
                return
            getattr(self, kind).emit(*value)


def colour(state: RunState, dark: bool) -> str:
    """Colour of a state on a dark or a light theme."""
    return _COLOURS[state][dark]


def word(state: RunState) -> str:
    """Write a state for people."""
    return str(state).capitalize()


def allowed(status: RunStatus) -> set[str]:
    """Tell what can be done with a run now, of pause, resume, stop, kill, rename and delete."""
    state = status.state
    if state in (RunState.RUNNING, RunState.QUEUED):
        return {"pause", "stop", "kill"}
    if state is RunState.PAUSED:
        return {"resume", "stop", "kill"}
    if state is RunState.STOPPING:
        return {"kill"}
    return {"rename", "delete", *(["resume"] if state.resumable else [])}


def best_score(status: RunStatus) -> tuple[str, float] | None:
    """Name and value of the score that is shown in lists; None before the first validation."""
    for name in (*_BEST, *status.best):
        if name in status.best:
            return pretty(name), status.best[name]
    return None


def ago(moment: float) -> str:
    """Write how long ago a moment was."""
    seconds = max(0.0, time.time() - moment)
    if not moment:
        return ""
    for length, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    return "now"
