"""How the state of a run is shown: its word, its colour, and what the user can do about it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from napari_nucleigan.training.runs.status import RunState
from napari_nucleigan.widgets.base.legend import pretty

if TYPE_CHECKING:
    from napari_nucleigan.training.runs.status import RunStatus

_DARK = {
    RunState.QUEUED: "#b9c1cc",
    RunState.RUNNING: "#5fd38d",
    RunState.PAUSED: "#e6d24a",
    RunState.STOPPING: "#ff9f40",
    RunState.STOPPED: "#b9c1cc",
    RunState.FINISHED: "#4fa3ff",
    RunState.FAILED: "#ff6b81",
    RunState.INTERRUPTED: "#ff9f40",
}
_LIGHT = {
    RunState.QUEUED: "#555d68",
    RunState.RUNNING: "#14803c",
    RunState.PAUSED: "#857000",
    RunState.STOPPING: "#c25a00",
    RunState.STOPPED: "#555d68",
    RunState.FINISHED: "#0b62c4",
    RunState.FAILED: "#c4122f",
    RunState.INTERRUPTED: "#c25a00",
}
_BEST = ("aji", "train_aji", "own_aji", "f1")


def colour(state: RunState, dark: bool) -> str:
    """Colour of a state on a dark or a light theme."""
    return (_DARK if dark else _LIGHT)[state]


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
