"""Status: training runs seen from outside, their events as they come, and what is asked of them.

All of it is read from the run's folder, so it does not matter who started a run, or when.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from napari_nucleigan.base.errors import RunError
from napari_nucleigan.base.events import Event, Progress
from napari_nucleigan.base.files import write_text
from napari_nucleigan.base.reading import FileFault, check_regular
from napari_nucleigan.base.text import printable
from napari_nucleigan.training.recipe_files import kind_of
from napari_nucleigan.training.runs.run_folder import EventLogReader, RunFolder, summary_of
from napari_nucleigan.training.runs.run_lock import CONTROL, LOG, PAUSED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from napari_nucleigan.training.runs.run_folder import RunSummary, Told
    from napari_nucleigan.training.runs.run_lock import Request

LOG_TAIL = 20
"""Lines of ``log.txt`` that a status holds."""

LOG_HEAD = "==="
"""Begins the line of ``log.txt`` that each new process writes first."""


SILENCE = 120.0
"""Seconds without a sign of life after which a process on another machine counts as gone."""


class RunState(StrEnum):
    """What a run is doing."""

    QUEUED = "queued"
    """Its process starts, or waits for its turn."""
    RUNNING = "running"
    PAUSED = "paused"
    """It waits after a step; its process and memory are kept."""
    STOPPING = "stopping"
    """It will save its state and end."""
    STOPPED = "stopped"
    """It was asked to end, and has saved its state."""
    FINISHED = "finished"
    FAILED = "failed"
    """It has ended with an error."""
    INTERRUPTED = "interrupted"
    """Its process is gone without a word: killed, out of memory, or the machine went down."""
    UNREADABLE = "unreadable"
    """Its files cannot be read, or hold something else than a run's."""

    @property
    def alive(self) -> bool:
        """Whether a process belongs to the run."""
        return self in (RunState.QUEUED, RunState.RUNNING, RunState.PAUSED, RunState.STOPPING)

    @property
    def resumable(self) -> bool:
        """Whether the run can go on."""
        return self in (RunState.STOPPED, RunState.FAILED, RunState.INTERRUPTED)


@dataclass(frozen=True)
class RunStatus:
    """What is known of a run.

    Attributes
    ----------
    path : Path
        Its folder.
    state : RunState
        What it is doing.
    message : str
        The same in a sentence for people: what happened, why, and what can be done.
    kind : str
        ``"segmenter"``, ``"synthesizer"``, ``"adaptation"``, or ``""`` where it cannot be told.
    recipe : str
        Name of its recipe.
    step, steps : int or None
        Updates made, and in all; None where not known yet.
    what : str
        What is being done now: ``"training"``, ``"preparing"``, ...
    done, total : int
        How much of that is done, and how much there is; 0 where it is not known.
    seconds_left : float or None
        Estimated time to the end of training in seconds.
    best : dict of str to float
        Validation scores of the best model; empty before the first.
    best_step : int or None
        When it was found.
    start : dict of str to float
        Scores of the model that training started from; empty where there is none.
    checkpoint : int or None
        Step that resuming goes on from.
    activity : float
        Time of the last sign of life, in seconds since 1970.
    pid : int or None
        Process that trains; None where none does.
    host : str
        Its machine.
    log : tuple of str
        Last lines that the last process wrote.
    model : Path or None
        The best model so far.
    """

    path: Path
    state: RunState
    message: str
    kind: str = ""
    recipe: str = ""
    step: int | None = None
    steps: int | None = None
    what: str = ""
    done: int = 0
    total: int = 0
    seconds_left: float | None = None
    best: dict[str, float] = field(default_factory=dict)
    best_step: int | None = None
    start: dict[str, float] = field(default_factory=dict)
    checkpoint: int | None = None
    activity: float = 0.0
    pid: int | None = None
    host: str = ""
    log: tuple[str, ...] = ()
    model: Path | None = None

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.path.name

    @property
    def behind(self) -> str:
        """Why the model is no gain over the one that training started from; empty where it is, or nobody can tell.

        Only validation images tell: labels that were corrected are largely what the first model has found.
        """
        if "aji" not in self.start or self.best_step:
            return ""
        before = f"than the model it started from (AJI {self.start['aji']:.3f})."
        if self.kind == "adaptation":
            return f"No new model was better on the labelled tiles {before}"
        return f"No step was better on the validation images {before}"

    def to_json(self) -> dict[str, Any]:
        """Represent the status as a JSON-ready dictionary."""
        paths = {"path": str(self.path), "model": None if self.model is None else str(self.model)}
        return {"name": self.name, **asdict(self), **paths, "state": str(self.state), "log": list(self.log)}


def watch(run: str | Path | RunFolder, *, poll: float = 0.2) -> Iterator[Event]:
    """Yield the events of a run from its beginning, and its progress, until its process ends.

    Parameters
    ----------
    run : str, Path or RunFolder
        The run; it may be queued, run, or have ended long ago.
    poll : float
        Seconds between two looks.

    Yields
    ------
    Event
        As the training yielded them. If it is resumed meanwhile, those since the checkpoint come again.

    Raises
    ------
    RunError
        If the folder holds no run.
    """
    folder = run if isinstance(run, RunFolder) else RunFolder(run)
    reader = EventLogReader(folder)
    shown: dict[str, Any] = {}
    new: list[Told] = []

    def read_on() -> RunSummary:
        return reader.read_all(lambda told, _: new.extend(told))

    while True:
        new.clear()
        alive = state_of(folder, read_on).state.alive
        for each in new:
            yield each.event
        progress = folder.progress()
        if alive and progress != shown:
            shown = progress
            yield Progress(progress["done"], progress["total"], progress["what"], progress["seconds_left"])
        if not alive:
            return
        time.sleep(poll)


def ask(run: str | Path | RunFolder, request: Request | None) -> None:
    """Ask the process of a run to pause or to stop; None takes a pause back.

    It is obeyed after the present step, and a stop is never taken back.

    Raises
    ------
    RunError
        If no process belongs to the run, or it does not listen.
    OutputError
        If the request cannot be written.
    """
    folder = run if isinstance(run, RunFolder) else RunFolder(run)
    status = state_of(folder)
    if not status.state.alive:
        raise RunError(f"{folder.path} is {status.state}; there is no process to be asked.")
    record = folder.process()
    if record is None or record.ended:
        raise RunError(f"The process that trains in {folder.path} does not listen to requests; stop it where it runs.")
    if status.state is RunState.STOPPING:
        return
    if request is None:
        (folder.path / CONTROL).unlink(missing_ok=True)
    else:
        # Not flushed: after a power cut there is nobody to be asked any more.
        write_text(folder.path / CONTROL, json.dumps({"ask": request, "token": record.token}), flush=False)


def state_of(run: str | Path | RunFolder, summarise: Callable[[], RunSummary] | None = None) -> RunStatus:
    """Tell what a run is doing, from its folder alone.

    Parameters
    ----------
    run : str, Path or RunFolder
        The run.
    summarise : callable, optional
        Reads the event log, for whoever reads it anyway. It is called when it is known whether a process is alive, so
        that what that process writes until its end is read before the end is seen.

    Returns
    -------
    RunStatus

    Raises
    ------
    RunError
        If the folder holds no run.
    """
    folder = run if isinstance(run, RunFolder) else RunFolder(run)
    # The lock first: a process writes how it ended before it lets go.
    held = folder.held
    record, order = folder.process(), folder.order()
    if not (folder.exists or record or order or held):
        raise RunError(f"{folder.path} is not a training run; check the path.")
    summary = summary_of(folder) if summarise is None else summarise()
    progress = folder.progress()
    # The times of progress are rounded to milliseconds.
    if record is not None and progress.get("time", 0.0) + 0.001 < record.time:
        # Of an earlier process: how far it came still holds, what it was doing does not.
        progress |= {"what": "", "seconds_left": None}
    activity = max(progress.get("time", 0.0), summary.time, record.time if record else 0.0)
    log = log_tail(folder)
    state, message = _judge(folder, held, summary, progress, activity, log)
    recipe, fault = _recipe(folder, order)
    if fault and not state.alive:
        state, message = RunState.UNREADABLE, fault
    checkpoint, kind = _checkpoint(folder), kind_of(recipe) or (order or {}).get("kind", "")
    if state.resumable and folder.exists:
        begin = "the beginning" if checkpoint is None else f"step {checkpoint}"
        if kind == "adaptation":
            begin = "what is finished"
        stop = "" if message.endswith((".", "!", "?")) else "."
        message += f"{stop} Resume goes on from {begin}."
    steps = [value for value in (progress.get("step"), summary.step) if value is not None]
    status = RunStatus(
        path=folder.path,
        state=state,
        message=message,
        kind=kind,
        recipe=printable(recipe.get("name", "")),
        step=max(steps) if steps and state.alive else summary.step,
        steps=progress.get("steps") or (summary.step if state is RunState.FINISHED else None),
        what=str(progress.get("what", "")) if state.alive else "",
        done=progress.get("done", 0) if state.alive else 0,
        total=progress.get("total", 0) if state.alive else 0,
        seconds_left=progress.get("seconds_left") if state is RunState.RUNNING else None,
        best=summary.best,
        best_step=summary.best_step,
        start=summary.start,
        checkpoint=checkpoint,
        activity=activity,
        pid=record.pid if record and state.alive else None,
        host=record.host if record else "",
        log=log,
        model=folder.best if folder.best.is_file() else None,
    )
    gain = status.behind if state is RunState.FINISHED else ""
    return replace(status, message=f"{message} {gain}") if gain else status


def log_tail(run: RunFolder, lines: int = LOG_TAIL) -> tuple[str, ...]:
    """Return the last lines that the last process of a run wrote."""
    try:
        check_regular(run.path / LOG)
        with (run.path / LOG).open("rb") as handle:
            handle.seek(max(0, handle.seek(0, 2) - 16_384))
            text = handle.read().decode("utf-8", "replace")
    except (OSError, FileFault):
        return ()
    written = text.splitlines()
    heads = [index for index, line in enumerate(written) if line.startswith(LOG_HEAD)]
    return tuple(printable(line) for line in written[heads[-1] + 1 if heads else 0 :][-lines:])


def _judge(
    folder: RunFolder,
    held: bool,
    summary: RunSummary,
    progress: dict[str, Any],
    activity: float,
    log: tuple[str, ...],
) -> tuple[RunState, str]:
    record = folder.process()
    request = folder.request()
    asked = request[0] if request and record and request[1] == record.token else None
    far = record is not None and not record.here and not record.ended and time.time() - activity < SILENCE
    if held or far:
        if asked == "stop":
            return RunState.STOPPING, "Stopping: the state is being saved."
        if asked == "pause" and progress.get("what") == PAUSED:
            return RunState.PAUSED, "Paused."
        if asked == "pause":
            return RunState.RUNNING, "Pausing after the present step."
        return RunState.RUNNING, "Running."
    if record is None:
        if summary.finished:
            return RunState.FINISHED, "Finished."
        return RunState.INTERRUPTED, "Its process is gone, and has not said why."
    if not record.ended and record.find() is not None:
        if asked == "stop":
            return RunState.STOPPING, "Stopping."
        if asked == "pause" and progress.get("what") == PAUSED:
            return RunState.PAUSED, "Paused before its turn; others go first."
        if asked == "pause":
            return RunState.QUEUED, "Starting; it will pause before its first step."
        return RunState.QUEUED, f"{progress['what']}." if progress.get("what") else "Starting."
    if record.ended == "finished":
        return RunState.FINISHED, "Finished."
    if record.ended == "stopped":
        return RunState.STOPPED, "Stopped; its state is saved." if folder.exists else "Stopped before it began."
    if record.ended == "killed":
        return RunState.INTERRUPTED, "Killed; the steps since the last checkpoint are lost."
    if record.ended == "failed":
        return RunState.FAILED, record.error
    said = next((line for line in reversed(log) if line.strip()), "")
    if said.startswith("Error: "):
        return RunState.FAILED, said.removeprefix("Error: ")
    if any(line.startswith("Traceback ") for line in log):
        return RunState.FAILED, said
    return RunState.INTERRUPTED, (
        "Its process is gone without a word: it was killed, memory ran out, or the machine went down."
    )


def _recipe(folder: RunFolder, order: dict[str, Any] | None) -> tuple[dict[str, Any], str]:
    """Return the recipe, and why it cannot be read where it cannot."""
    if not folder.exists:
        return (order or {}).get("recipe", {}), ""
    try:
        return folder.recipe(), ""
    except RunError as error:
        return {}, str(error)


def _checkpoint(folder: RunFolder) -> int | None:
    steps = [int(path.stem) for path in folder.checkpoints.glob("*.json") if path.stem.isdecimal()]
    return max(steps, default=None)
