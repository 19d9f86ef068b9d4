"""Training runs beside napari: who looks at them, and their bars in its activity dock.

They are looked at in a thread of its own, not in one of Qt's pool, which on a machine of two cores has two places: a
run that is watched all night would take one of them.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from napari.resources import LOADING_GIF_PATH
from qtpy.QtCore import QObject, QTimer, Signal
from qtpy.QtWidgets import QApplication, QLabel

from napari_nucleigan.base.errors import NucleiganError
from napari_nucleigan.base.events import Event, Job, Preview, Progress
from napari_nucleigan.training.runs.run_folder import EventLogReader
from napari_nucleigan.training.runs.status import RunState, state_of
from napari_nucleigan.widgets.base.jobs import Runner, activity_bar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import numpy as np
    from napari.utils import cancelable_progress

    from napari_nucleigan.training.runs.run_folder import Told
    from napari_nucleigan.training.runs.status import RunStatus

LOOK = 0.3
"""Seconds between two looks at the runs that are watched."""

LIST = 3.0
"""Seconds between two listings of all runs."""

_POLL_MS = 60
_WHAT = "training runs"
_BUDGET = 0.012  # seconds of each poll that the viewer may lose to it
_log = logging.getLogger("napari_nucleigan")
_COLOURS = {
    RunState.QUEUED: ("#555d68", "#b9c1cc"),
    RunState.RUNNING: ("#14803c", "#5fd38d"),
    RunState.PAUSED: ("#857000", "#e6d24a"),
    RunState.STOPPING: ("#c25a00", "#ff9f40"),
    RunState.STOPPED: ("#555d68", "#b9c1cc"),
    RunState.FINISHED: ("#0b62c4", "#4fa3ff"),
    **dict.fromkeys((RunState.FAILED, RunState.UNREADABLE), ("#c4122f", "#ff6b81")),
    RunState.INTERRUPTED: ("#c25a00", "#ff9f40"),
}
"""Colours of states on a light and on a dark theme."""

CALM = 2
"""Speed of napari's spinner while runs train, in per cent."""


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


@dataclass(frozen=True)
class _Seen:
    """What a look at the runs has shown: the signal of `RunWatcher` that tells it, and with what."""

    signal: str
    values: tuple[Any, ...]


@dataclass(eq=False)
class _Watch:
    """The job that looks, and what it works on; plain Python, so that it may outlive the widget for a moment."""

    folder: Path
    wanted: set[Path] = field(default_factory=set)
    watched: dict[Path, EventLogReader] = field(default_factory=dict)
    wake: threading.Event = field(default_factory=threading.Event)
    list_now: bool = True

    def job(self) -> Job[None]:
        """Look for ever."""
        next_list = 0.0
        try:
            while True:
                if self.list_now or time.monotonic() >= next_list:
                    self.list_now = False
                    begin = time.monotonic()
                    yield self._list()  # type: ignore[misc]  # `RunWatcher` takes what was seen like any event
                    # Many runs on a slow disk must not keep the thread busy.
                    next_list = time.monotonic() + max(LIST, 10 * (time.monotonic() - begin))
                yield from self._look()  # type: ignore[misc]
                # Here the job ends, if nobody wants it any more.
                yield Progress(0, 0, _WHAT)
                if self.wake.wait(LOOK):
                    self.wake.clear()
        except NucleiganError:
            raise
        except Exception as error:
            _log.error("unexpected error while looking at training runs", exc_info=error)
            raise NucleiganError(f"The runs cannot be watched: {error}; open the widget again.") from error

    def _list(self) -> _Seen:
        from napari_nucleigan.training.runs.processes import reap
        from napari_nucleigan.training.runs.run_library import list_runs

        reap()
        return _Seen("listed", (list_runs(self.folder, self.watched),))

    def _look(self) -> Iterator[_Seen]:
        """Look at each watched run."""
        wanted = set(self.wanted)
        for path in self.watched.keys() - wanted:
            del self.watched[path]
        for path in wanted:
            yield from self._look_at(path)

    def _look_at(self, path: Path) -> Iterator[_Seen]:
        reader = self.watched.setdefault(path, EventLogReader(path))
        parts: list[tuple[list[Told], bool]] = []
        try:
            status = state_of(path, partial(reader.read_all, lambda *part: parts.append(part)))
        except NucleiganError:
            self.wanted.discard(path)
            yield _Seen("gone", (path,))
            return
        for told, fresh in parts:
            events = [each.event for each in told]
            yield _Seen("told", (path, events, fresh))
            yield from _preview(path, events)
        yield _Seen("status", (status,))


def _preview(path: Path, events: list[Event]) -> Iterator[_Seen]:
    """Read the newest preview that some events tell of."""
    previews = [event for event in events if isinstance(event, Preview)]
    if not previews:
        return
    from napari_nucleigan.data.images.files import read_image

    try:
        pixels = read_image(previews[-1].path).pixels
    except NucleiganError as error:
        _log.info("a preview is left out: %s", error)
        return
    yield _Seen("pictured", (path, PreviewImage(previews[-1].step, pixels)))


class RunWatcher(QObject):
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
        self._watch = _Watch(folder)
        self._runner = Runner(self, apart=True, poll_ms=_POLL_MS, budget=_BUDGET)
        self._runner.noted.connect(lambda seen: getattr(self, seen.signal).emit(*seen.values))
        self._runner.failed.connect(self.failed.emit)

    @property
    def running(self) -> bool:
        """Whether the thread runs."""
        return self._runner.running

    def start(self) -> None:
        """Begin to look; a second call does nothing."""
        if not self.running:
            self._watch = _Watch(self._folder)
            self._runner.start(self._watch.job(), _WHAT)

    def stop(self) -> None:
        """End the thread, after its present look."""
        self._runner.cancel()
        self._watch.wake.set()

    def watch(self, paths: Iterable[Path]) -> None:
        """Tell the whole story of these runs, and no more of others."""
        self._watch.wanted = set(paths)
        self._watch.wake.set()

    def look(self) -> None:
        """Look at all runs now."""
        self._watch.list_now = True
        self._watch.wake.set()


def colour(state: RunState, dark: bool) -> str:
    """Colour of a state on a dark or a light theme."""
    return _COLOURS[state][dark]


class Activity:
    """One progress bar for each run that trains; its Cancel asks the run to stop.

    Parameters
    ----------
    owner : QObject
        Its bars go with it.
    """

    _shown: ClassVar[int] = 0  # bars of all widgets

    def __init__(self, owner: QObject) -> None:
        self._bars: dict[Path, cancelable_progress] = {}
        # Not at once: the window that is being destroyed around it cannot be searched for a spinner.
        owner.destroyed.connect(lambda: QTimer.singleShot(0, self.clear))

    @property
    def bars(self) -> list[cancelable_progress]:
        """The bars there are."""
        return list(self._bars.values())

    def update(self, statuses: Iterable[RunStatus]) -> list[Path]:
        """Bring the bars up to date.

        Parameters
        ----------
        statuses : iterable of RunStatus
            All runs there are.

        Returns
        -------
        list of Path
            Runs whose bar was cancelled since the last call.
        """
        alive = {status.path: status for status in statuses if status.state.alive}
        for path in self._bars.keys() - alive.keys():
            self._remove(path)
        cancelled = []
        for path, status in alive.items():
            bar = self._bars.get(path)
            if bar is not None and bar.is_canceled:
                self._remove(path)
                cancelled.append(path)
                self._add(status)
            elif bar is None and status.state is not RunState.STOPPING:
                self._add(status)
            self._show(status)
        return cancelled

    def clear(self) -> None:
        """Take all bars away; the runs go on."""
        for path in list(self._bars):
            self._remove(path)

    def _add(self, status: RunStatus) -> None:
        self._bars[status.path] = activity_bar(f"training {status.name}")
        Activity._shown += 1
        _set_spinner(CALM)

    def _remove(self, path: Path) -> None:
        self._bars.pop(path).close()
        Activity._shown -= 1
        if not Activity._shown:
            _set_spinner(100)

    def _show(self, status: RunStatus) -> None:
        bar = self._bars.get(status.path)
        known = bool(status.steps) and status.step is not None
        done, total = (status.step or 0, status.steps) if known else (status.done, status.total)
        if bar is not None and total:
            bar.total = total
            bar.update(done - bar.n)


def _set_spinner(speed: int) -> None:
    """Set the speed of the spinner beside napari's activity dock, and of no other movie.

    It paints the whole window 33 times a second. Where no graphics card does that, it takes nearly half a core, all
    night, from a training.
    """
    for window in QApplication.topLevelWidgets():
        for label in window.findChildren(QLabel):
            if label.movie() is not None and label.movie().fileName() == LOADING_GIF_PATH:
                label.movie().setSpeed(speed)
