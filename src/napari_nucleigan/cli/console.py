"""What commands share: errors and exit codes, progress on the terminal, JSON."""

from __future__ import annotations

import functools
import json
import signal
import sys
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from napari_nucleigan.base.errors import NucleiganError
from napari_nucleigan.base.events import Job, Note, Progress, duration, run

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType, TracebackType

    from napari_nucleigan.base.events import Event
    from napari_nucleigan.segmentation import FileResult

FAILED, USAGE, INTERRUPTED = 1, 2, 130

SAVED = "Stopped; the state is saved, and --resume goes on from it."

_NAMED = 10  # files that failed, by name; a report has all
_Result = TypeVar("_Result")


class Stopped(Exception):
    """The user has stopped a job, which has put its state in safety."""


def guarded(command: Callable[..., None]) -> Callable[..., None]:
    """Turn errors into one line on stderr and an exit code."""

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except NucleiganError as error:
            print_message(f"Error: {error}")
            raise typer.Exit(FAILED) from error
        except Stopped as stop:
            print_message(str(stop))
            raise typer.Exit(INTERRUPTED) from stop
        except KeyboardInterrupt as stop:
            print_message("Interrupted; what was finished is kept.")
            raise typer.Exit(INTERRUPTED) from stop

    return wrapped


def print_message(text: str) -> None:
    """Write a line for people, on stderr."""
    print(text, file=sys.stderr, flush=True)


def answer(value: Any) -> None:
    """Write an answer for machines: JSON on stdout."""
    print(json.dumps(value, indent=2, allow_nan=False), flush=True)


def complain(results: Sequence[FileResult], where: str = "") -> None:
    """Say which files failed, and fail.

    Parameters
    ----------
    results : sequence of FileResult
        What became of each file.
    where : str
        Where all reasons are found, for people.

    Raises
    ------
    typer.Exit
        If any failed.
    """
    failed = [result for result in results if result.error]
    if not failed:
        return
    text = failed[0].error
    if len(results) > 1:
        names = ", ".join(result.source.name for result in failed[:_NAMED])
        more = f" and {len(failed) - _NAMED} more" if len(failed) > _NAMED else ""
        text = f"{len(failed)} of {len(results)} images failed: {names}{more}; the first: {text}{where}"
    print_message(f"Error: {text}")
    raise typer.Exit(FAILED)


class Bar:
    """Shows progress as a bar with the time left where stderr is a terminal; notes everywhere."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as RichProgress

        self._console = Console(stderr=True)
        self._progress = RichProgress(
            BarColumn(),
            TextColumn("{task.percentage:3.0f} %"),
            TextColumn("{task.fields[left]}"),
            TextColumn("{task.description}", markup=False),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task = self._progress.add_task("", total=None, left="")

    def __enter__(self) -> Bar:
        """Begin to show."""
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Clear what moves."""
        self._progress.stop()

    def __call__(self, event: Event) -> None:
        """Show an event."""
        if isinstance(event, Progress):
            left = "" if event.seconds_left is None else f"{duration(event.seconds_left)} left"
            self._progress.update(
                self._task, completed=event.done, total=event.total, description=event.what, left=left
            )
        elif isinstance(event, Note):
            if self._console.is_terminal:
                self._console.print(event.text, markup=False, highlight=False, soft_wrap=True)
            else:
                print_message(event.text)


def drive(job: Job[_Result], view: Callable[[Event], object], stop: Callable[[], object] = lambda: None) -> _Result:
    """Run a job that saves its state when it is closed; Ctrl-C closes it after the present step.

    A second Ctrl-C does not wait.

    Parameters
    ----------
    job : generator of events
        What to run.
    view : callable
        Called with each event.
    stop : callable
        Called at the first Ctrl-C, for a job that can be told to come to an event sooner.

    Raises
    ------
    Stopped
        If the user has stopped it.
    """
    asked = False

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        if asked:
            # A cluster may send SIGTERM more than once.
            return
        asked = True
        stop()
        print_message("Stopping after the present step; press Ctrl-C again not to wait.")

    def show(event: Event) -> None:
        view(event)
        if asked:
            raise Stopped(SAVED)

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, ask) for number in numbers]
    try:
        return run(job, show)
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
