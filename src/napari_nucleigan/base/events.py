"""Every long job is a generator of these events and returns its result.

The command line, the widgets and the tests drive the same generator; to stop a job is to close it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

if TYPE_CHECKING:
    from pydantic import TypeAdapter


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job has come.

    Attributes
    ----------
    done, total : int
        Finished and overall units of work.
    what : str
        What is being done, for people.
    seconds_left : float or None
        Estimated time to the end in seconds, where it is known.
    """

    done: int
    total: int
    what: str
    seconds_left: float | None = None


@dataclass(frozen=True, slots=True)
class Note:
    """Something that the user should know: a conversion, a fallback."""

    text: str
    level: str = "info"


@dataclass(frozen=True, slots=True)
class FileState:
    """What has become of one of many files.

    Attributes
    ----------
    path : str
        The file that is worked on.
    state : str
        ``"running"``, ``"done"``, ``"skipped"`` (an earlier run has done it) or ``"failed"``.
    nuclei : int or None
        How many were found.
    seconds : float or None
        Time that it took.
    text : str
        Why it failed, or what the user should know.
    """

    path: str
    state: str
    nuclei: int | None = None
    seconds: float | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class Losses:
    """Mean losses since the last such event.

    Attributes
    ----------
    step : int
        Updates of the generator so far.
    values : dict of str to float
        Loss by name.
    lr : float
        Learning rate of the generator.
    images_per_second : float
        Training crops per second.
    """

    step: int
    values: dict[str, float]
    lr: float
    images_per_second: float


@dataclass(frozen=True, slots=True)
class ValidationScores:
    """Validation scores (means over whole images) at a step."""

    step: int
    values: dict[str, float]
    best: bool


@dataclass(frozen=True, slots=True)
class Preview:
    """A picture of the present state of training was written to `path`."""

    step: int
    path: str


@dataclass(frozen=True, slots=True)
class Painted:
    """A part of the labels of a slide can be looked at.

    Attributes
    ----------
    path : str
        The pyramid that they are painted into.
    top, bottom, left, right : int
        First row, last row + 1, first and last column + 1 of the part.
    nuclei : int
        Nuclei so far.
    """

    path: str
    top: int
    bottom: int
    left: int
    right: int
    nuclei: int


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state of training at `step` is safe in `path`."""

    step: int
    path: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The job is done.

    Attributes
    ----------
    step : int
        The last step.
    result : str
        Path of what was made.
    values : dict of str to float
        Final figures.
    """

    step: int
    result: str
    values: dict[str, float] = field(default_factory=dict)


Event: TypeAlias = Progress | Note | FileState | Losses | ValidationScores | Preview | Painted | Checkpoint | Finished
_Result = TypeVar("_Result")
Job: TypeAlias = Generator[Event, None, _Result]

Scores = ValidationScores
"""The name of `ValidationScores` in version 0.1.0."""

_KINDS: dict[type[Any], str] = {
    Progress: "progress",
    Note: "note",
    FileState: "filestate",
    Losses: "losses",
    ValidationScores: "scores",
    Preview: "preview",
    Painted: "painted",
    Checkpoint: "checkpoint",
    Finished: "finished",
}
"""What each event is called in `events.jsonl`: names of a file format, which classes may leave behind."""

_TYPES = {name: kind for kind, name in _KINDS.items()}


def run(job: Job[_Result], on_event: Callable[[Event], object] | None = None) -> _Result:
    """Drive a job to its end.

    Parameters
    ----------
    job : generator of events
        What to run.
    on_event : callable, optional
        Called with each event. If it raises, the job is closed.

    Returns
    -------
    object
        What the job returns.
    """
    with closing(job):
        while True:
            try:
                event = next(job)
            except StopIteration as stop:
                result: _Result = stop.value
                return result
            if on_event is not None:
                on_event(event)


def relay(job: Job[_Result], change: Callable[[Event], Event | None]) -> Job[_Result]:
    """Pass on what a job tells, each event changed; who closes this closes the job.

    Parameters
    ----------
    job : generator of events
        What to run.
    change : callable
        Gives the event that is passed on in place of each; None for none.

    Returns
    -------
    object
        What the job returns.
    """
    with closing(job):
        while True:
            try:
                event = next(job)
            except StopIteration as stop:
                result: _Result = stop.value
                return result
            changed = change(event)
            if changed is not None:
                yield changed


def with_prefix(job: Job[_Result], prefix: str) -> Job[_Result]:
    """Pass a job's events on, and say of which part they tell."""

    def change(event: Event) -> Event:
        match event:
            case Progress():
                return replace(event, what=prefix + event.what)
            case Note():
                return replace(event, text=prefix + event.text)
        return event

    return relay(job, change)


def quiet(job: Job[_Result], now: Progress) -> Job[_Result]:
    """Pass a job's notes on; its own progress is only a part of `now`, which is told instead."""
    return relay(job, lambda event: now if isinstance(event, Progress) else event)


def duration(seconds: float) -> str:
    """Write a time for people: ``"59 s"``, ``"1 min 05 s"``, ``"2 h 01 min"``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def to_json(event: Event) -> dict[str, Any]:
    """Represent an event as a JSON-ready dictionary with its kind under ``"event"``."""
    return {"event": _KINDS[type(event)], **asdict(event)}


@cache
def _checker(name: str) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(_TYPES[name])


def from_json(record: dict[str, Any]) -> Event:
    """Rebuild an event that `to_json` wrote.

    Raises
    ------
    ValueError
        If the record is of no known kind, or its values are not of that kind.
    """
    values = {key: value for key, value in record.items() if key not in ("event", "time")}
    name = record.get("event", "")
    if name not in _TYPES:
        raise ValueError(f"not an event of this package: {record!r}")
    event: Event = _checker(name).validate_python(values)
    return event
