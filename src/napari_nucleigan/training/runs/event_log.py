"""Event log: ``events.jsonl`` of a run, read as it grows, and what it comes to."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from napari_nucleigan.base.events import Finished, ValidationScores
from napari_nucleigan.training.runs.run_folder import EVENTS, RunFolder, Told

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

_CHUNK = 1 << 20


@dataclass
class RunSummary:
    """What a status needs of ``events.jsonl``.

    Attributes
    ----------
    step : int or None
        The last step told of.
    best : dict of str to float
        Scores of the best model.
    best_step : int or None
        When it was found.
    finished : bool
        Whether the training came to its end.
    time : float
        When the last event of a step was written, in seconds since 1970.
    """

    step: int | None = None
    best: dict[str, float] = field(default_factory=dict)
    best_step: int | None = None
    finished: bool = False
    time: float = 0.0

    def add(self, told: Told) -> None:
        """Take an event into account."""
        event = told.event
        if isinstance(event, ValidationScores) and event.best:
            self.best, self.best_step = dict(event.values), event.step
        self.finished = self.finished or isinstance(event, Finished)
        step = getattr(event, "step", None)
        if step is not None:
            self.step, self.time = step, told.time or self.time


class EventLogReader:
    """Reads ``events.jsonl`` as it grows.

    Parameters
    ----------
    run : str, Path or RunFolder
        The run; its folder and the file need not be there yet.

    Attributes
    ----------
    summary : RunSummary
        What the events read so far come to.
    restarts : int
        How often the log was cut: a resumed run forgets what came after its checkpoint. `read` then begins again, so
        whoever has kept earlier events must drop them when this number has changed.
    """

    def __init__(self, run: str | Path | RunFolder) -> None:
        self._run = run if isinstance(run, RunFolder) else RunFolder(run)
        self._offset = 0
        self._last = b""
        self.summary = RunSummary()
        self.restarts = 0

    def read(self) -> list[Told]:
        """Return the events since the last call, about a megabyte of them at most; none where nothing is new."""
        return self._add(self._lines())

    def read_all(self, show: Callable[[list[Told], bool], object]) -> RunSummary:
        """Read what is new to its end.

        Parameters
        ----------
        show : callable
            Called with each part of the events, and with whether they begin again.

        Returns
        -------
        RunSummary
        """
        while True:
            before = self.restarts
            told = self.read()
            if told or self.restarts != before:
                show(told, self.restarts != before)
            if not told:
                return self.summary

    def skim(self) -> RunSummary:
        """Pass over what is new, without looking at more of it than the summary needs."""
        while lines := self._lines():
            # Only few lines are worth the parsing.
            kept = [line for line in lines if b'"event": "scores"' in line or b'"event": "finished"' in line]
            steps = next((line for line in reversed(lines) if b'"step": ' in line), None)
            self._add(kept if steps is None else [*kept, steps])
        return self.summary

    def _add(self, lines: Iterable[bytes]) -> list[Told]:
        told = [each for line in lines if (each := self._run.parse(line)) is not None]
        for each in told:
            self.summary.add(each)
        return told

    def _lines(self) -> list[bytes]:
        """Return the whole lines since the last call, unparsed; a torn last line waits until it is whole."""
        try:
            with (self._run.path / EVENTS).open("rb") as handle:
                # What was read last must still be there: the file may have been cut, and have grown again.
                handle.seek(max(0, self._offset - len(self._last)))
                if handle.read(len(self._last)) != self._last:
                    self._restart()
                    handle.seek(0)
                content = handle.read(_CHUNK)
                while content and b"\n" not in content and (more := handle.read(_CHUNK)):
                    content += more
        except OSError:
            if self._offset:
                self._restart()
            return []
        end = content.rfind(b"\n") + 1
        if not end:
            return []
        self._offset += end
        *lines, _ = content[:end].split(b"\n")
        self._last = lines[-1] + b"\n"
        return lines

    def _restart(self) -> None:
        self._offset, self._last = 0, b""
        # When it was last active is true all the same.
        self.summary = RunSummary(time=self.summary.time)
        self.restarts += 1


_readers: dict[Path, EventLogReader] = {}
_reading = threading.Lock()


def summary_of(folder: RunFolder) -> RunSummary:
    """Return what the log of a run comes to as it stands; only what is new is read."""
    with _reading:
        return replace(_readers.setdefault(folder.path.absolute(), EventLogReader(folder)).skim())
