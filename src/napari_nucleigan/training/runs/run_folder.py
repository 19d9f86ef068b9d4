"""Run folder: a training run is a folder.

::

    RUN/recipe.json       what is trained, and how
    RUN/data.json         the data set, and which images train and which validate
    RUN/events.jsonl      one event a line, with its time
    RUN/checkpoints/      STEP.safetensors and STEP.json: all that a resumed run needs
    RUN/previews/         STEP.png
    RUN/best.safetensors  the best model so far

and what tells of, and speaks to, the process that fills it::

    RUN/lock              held while a process trains here; the system drops it however the process ends
    RUN/process.json      the last process that trained here, and how it ended
    RUN/progress.json     how far it has come
    RUN/control.json      what is asked of it: to pause, to stop
    RUN/order.json        what a run started in the background was told to do
    RUN/log.txt           what it wrote on its terminal
"""

from __future__ import annotations

import json
import os
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from napari_nucleigan.base.errors import RunError, StopRequested
from napari_nucleigan.base.events import (
    Checkpoint,
    Event,
    Finished,
    Job,
    Preview,
    Progress,
    ValidationScores,
    from_json,
    to_json,
)
from napari_nucleigan.base.files import append_records, make_folder, write_text
from napari_nucleigan.base.reading import FileFault, check_regular
from napari_nucleigan.training.runs.run_files import DataFile, read_run_file
from napari_nucleigan.training.runs.run_lock import CONTROL, LOCK, LOG, ORDER, PROCESS, PROGRESS, RunLock, is_left

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pydantic import BaseModel

    from napari_nucleigan.training.runs.run_lock import Request

EVENTS = "events.jsonl"
BEST = "best.safetensors"
# Beside these a new run wants an empty folder. data.json alone is left by a start that was cut short.
_OWN = {LOCK, LOG, PROCESS, PROGRESS, CONTROL, ORDER, "data.json"}
_Result = TypeVar("_Result")


class Told(NamedTuple):
    """An event of ``events.jsonl`` and when it was written, in seconds since 1970."""

    time: float
    event: Event


class RunFolder(RunLock):
    """The folder of one training run.

    Parameters
    ----------
    path : str or Path
        The folder; it need not exist yet.
    token : str
        Name of this process in ``process.json``; by default a random one.
    dedicated : bool
        Whether this process does nothing but train here, so that it may be killed.
    """

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Hold the lock, as `RunLock.claimed`; also a `RunError` if the folder holds other files and no run."""
        self._refuse_foreign()
        with super().claimed():
            yield

    @property
    def exists(self) -> bool:
        """Whether a run was started here."""
        return os.path.isfile(self.path / "recipe.json")

    @property
    def best(self) -> Path:
        """The best model so far."""
        return self.path / BEST

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def previews(self) -> Path:
        """Folder of the previews."""
        return self.path / "previews"

    @property
    def events_size(self) -> int:
        """Bytes of ``events.jsonl``: where a checkpoint's story ends."""
        try:
            return self._events.stat().st_size
        except FileNotFoundError:
            return 0

    @property
    def _events(self) -> Path:
        return self.path / EVENTS

    def start(self, recipe: BaseModel, data: dict[str, Any]) -> None:
        """Write down what is to be trained on what.

        Raises
        ------
        RunError
            If the folder holds a run or other files already.
        OutputError
            If it cannot be written.
        """
        if self.exists:
            raise RunError(f"{self.path} holds a training run already; resume it, or choose another folder.")
        make_folder(self.path)
        self._refuse_foreign()
        write_text(self.path / "data.json", json.dumps(data, indent=2))
        # Written last: it is what makes the folder a run.
        write_text(self.path / "recipe.json", recipe.model_dump_json(indent=2))

    def _refuse_foreign(self) -> None:
        """Refuse to begin a run where something else lies."""
        if self.exists or not self.path.is_dir():
            return
        with suppress(OSError):  # that it may not be read is said where it is written to
            names = (path.name for path in self.path.iterdir() if path.name not in _OWN and not is_left(path))
            if foreign := next(names, ""):
                raise RunError(f"{self.path} holds other files ({foreign!r}); a new run needs an empty folder.")

    def data(self) -> dict[str, Any]:
        """Return what `start` was given of the data."""
        return read_run_file(self.path / "data.json", DataFile)

    def recipe(self) -> dict[str, Any]:
        """Return the fields of the run's recipe."""
        return read_run_file(self.path / "recipe.json")

    def record(self, event: Event) -> None:
        """Append an event to ``events.jsonl``.

        Raises
        ------
        OutputError
            If it cannot be written; what was there stays as it was.
        """
        append_records(self._events, [{"time": round(time.time(), 3), **to_json(event)}])

    def recorded(self, job: Job[_Result]) -> Job[_Result]:
        """Pass a job's events on, and record all but the mere progress, which goes to ``progress.json``.

        Raises
        ------
        StopRequested
            If ``control.json`` asks for it; the job is closed first.
        """
        try:
            while True:
                event = next(job)
                if isinstance(event, Progress):
                    self.tell(event)
                else:
                    self.record(event)
                yield event
                if self.asked() == "stop":
                    job.close()
                    raise StopRequested("Stopped; the state is saved, and resuming goes on from it.")
        except StopIteration as stop:
            result: _Result = stop.value
            return result
        finally:
            job.close()
            self.tell(None)

    def events(self) -> list[Event]:
        """Return all events so far; a line that is still being written is left for later."""
        if not self._events.is_file():
            return []
        *lines, _ = self._events.read_bytes().split(b"\n")
        return [told.event for line in lines if (told := self.parse(line)) is not None]

    def parse(self, line: bytes) -> Told | None:
        """Read a line of ``events.jsonl``; None if it is torn.

        Files that a run has taken along when it was moved are named by where they are now.
        """
        try:
            values = json.loads(line)
            event, moment = from_json(values), float(values.get("time", 0.0))
        except (ValueError, TypeError, AttributeError, RecursionError):
            return None
        match event:
            case Preview(path=path) if not os.path.exists(path):
                event = replace(event, path=str(self.previews / Path(path).name))
            case Checkpoint(path=path) if not os.path.exists(path):
                event = replace(event, path=str(self.checkpoints / Path(path).name))
            case Finished(result=path) if not os.path.exists(path):
                event = replace(event, result=str(self.best))
        return Told(moment, event)

    def rewind(self, size: int) -> None:
        """Forget the events after the first `size` bytes, and with them a torn last line."""
        if self.events_size > size:
            os.truncate(self._events, size)


class PartFolder(RunFolder):
    """The folder of a training that is a part of a larger work, which does what is asked of either.

    Parameters
    ----------
    path : str or Path
        The folder; it need not exist yet.
    whole : RunFolder
        That of the larger work, which this process does.
    """

    def __init__(self, path: str | Path, whole: RunFolder) -> None:
        super().__init__(path)
        self._whole = whole

    def asked(self) -> Request | None:
        """Return what is asked of this part, or of the whole."""
        asked = super().asked(), self._whole.asked()
        return "stop" if "stop" in asked else asked[0] or asked[1]


_CHUNK = 1 << 20
_LONGEST = 1 << 26  # bytes of a line; the rest of a longer one is never waited for


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
    start : dict of str to float
        Scores of the model that training started from; empty where there is none.
    finished : bool
        Whether the training came to its end.
    time : float
        When the last event of a step was written, in seconds since 1970.
    """

    step: int | None = None
    best: dict[str, float] = field(default_factory=dict)
    best_step: int | None = None
    start: dict[str, float] = field(default_factory=dict)
    finished: bool = False
    time: float = 0.0

    def add(self, told: Told) -> None:
        """Take an event into account."""
        event = told.event
        if isinstance(event, ValidationScores) and event.best:
            self.best, self.best_step = dict(event.values), event.step
            if event.step == 0:
                self.start = dict(event.values)
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
            check_regular(self._run.path / EVENTS)
            with (self._run.path / EVENTS).open("rb") as handle:
                # What was read last must still be there: the file may have been cut, and have grown again.
                handle.seek(max(0, self._offset - len(self._last)))
                if handle.read(len(self._last)) != self._last:
                    self._restart()
                    handle.seek(0)
                content = handle.read(_CHUNK)
                while len(content) < _LONGEST and b"\n" not in content and (more := handle.read(_CHUNK)):
                    content += more
        except (OSError, FileFault):
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
