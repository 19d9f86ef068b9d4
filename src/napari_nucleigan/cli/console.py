"""Terminal: errors and exit codes, progress of jobs, tables, JSON; what all commands share."""

from __future__ import annotations

import functools
import json
import signal
import sys
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from napari_nucleigan.base.errors import RecipeError, StopRequested, explain, listing
from napari_nucleigan.base.events import Job, Note, Progress, duration, run, to_json
from napari_nucleigan.base.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import FrameType

    from napari_nucleigan.base.events import Event
    from napari_nucleigan.segmentation import FileResult

FAILED, USAGE = 1, 2

INTERRUPTED_TEXT = "Interrupted; what was finished is kept."
CONTINUES_TEXT = "Interrupted; what was finished is kept, and the same command goes on from it."
SAVED = "Stopped; the state is saved, and --resume goes on from it."

# Exits and wrong usage, which typer says; the base of its errors is not public, and not click's in every version.
_OF_TYPER: tuple[type[BaseException], ...] = (typer.Exit, typer.Abort, typer.BadParameter.__mro__[2])
_LONGEST = 20_000  # characters of a line that is shown
_Result = TypeVar("_Result")


class Terminated(KeyboardInterrupt):
    """SIGTERM, which ends a command as Ctrl-C does."""


class Stopped(Exception):
    """The user has stopped a job, which has put its state in safety.

    Parameters
    ----------
    text : str
        What to say.
    number : int
        The signal by which.
    """

    def __init__(self, text: str, number: int = signal.SIGINT) -> None:
        super().__init__(text)
        self.number = number


def handle_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Turn errors into one line on stderr and an exit code, and SIGTERM into an interrupt."""

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        try:
            with _terminable():
                command(*args, **kwargs)
        except _OF_TYPER:
            raise
        except (Exception, KeyboardInterrupt) as error:
            code = tell_end(error, "running this command")
            raise typer.Exit(code) from error

    return wrapped


def tell_end(error: BaseException, doing: str) -> int:
    """Say on stderr, in one line, what has ended a command.

    Parameters
    ----------
    error : BaseException
        What was raised.
    doing : str
        As for `napari_nucleigan.base.errors.explain`.

    Returns
    -------
    int
        The exit code.
    """
    if isinstance(error, Stopped):
        print_message(str(error))
        return 128 + (signal.SIGTERM if isinstance(error.__cause__, Terminated) else error.number)
    if isinstance(error, KeyboardInterrupt):
        print_message(INTERRUPTED_TEXT)
        return 128 + (signal.SIGTERM if isinstance(error, Terminated) else signal.SIGINT)
    # Who reads the output has had enough of it.
    if not isinstance(error, BrokenPipeError):
        print_message(f"Error: {explain(error, doing)}")
    return FAILED


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM interrupt what is done, as Ctrl-C does, unless somebody else sees to it."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        # Once: what is put in order then must not be interrupted too.
        signal.signal(number, signal.SIG_IGN)
        raise Terminated

    here = threading.current_thread() is threading.main_thread()
    if not here or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def usage_errors() -> Iterator[None]:
    """Turn settings that are not valid into wrong usage of the command."""
    try:
        yield
    except RecipeError as error:
        raise typer.BadParameter(str(error)) from error


def print_message(text: str) -> None:
    """Write a line for people, on stderr; where that takes none, the work goes on without."""
    with suppress(OSError):
        print(printable(text, _LONGEST), file=sys.stderr, flush=True)


def print_line(text: object) -> None:
    """Write a line of a result for people, on stdout."""
    print(printable(text, _LONGEST), flush=True)


def print_json(value: Any) -> None:
    """Write a result for machines: JSON on stdout."""
    print(json.dumps(value, indent=2, allow_nan=False), flush=True)


def print_answer(as_json: bool, value: Any, text: object) -> None:
    """Write a result on stdout: for machines, or in a line for people."""
    if as_json:
        print_json(value)
    else:
        print_line(text)


def fail_if_any_failed(results: Sequence[FileResult], where: str = "") -> None:
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
        names = listing(result.source.name for result in failed)
        text = f"{len(failed)} of {len(results)} images failed: {names}; the first: {text}{where}"
    print_message(f"Error: {text}")
    raise typer.Exit(FAILED)


def print_table(header: list[str], rows: list[list[str]]) -> None:
    """Print a table on stdout: the first column to the left, the others to the right."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(header[0], box=None)
    for name in header[1:]:
        table.add_column(name, justify="right")
    for row in rows:
        # Text, because names from files are no markup.
        table.add_row(*(Text(printable(cell)) for cell in row))
    # A pipe or a file takes lines of any length.
    Console(file=sys.stdout, width=None if sys.stdout.isatty() else 200).print(table)


@contextmanager
def progress_bar() -> Iterator[Callable[[Event], None]]:
    """Show progress as a bar with the time left where stderr is a terminal, and notes everywhere.

    Yields
    ------
    callable
        Shows an event.
    """
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as RichProgress

    console = Console(stderr=True)
    progress = RichProgress(
        BarColumn(),
        TextColumn("{task.percentage:3.0f} %"),
        TextColumn("{task.fields[left]}"),
        TextColumn("{task.description}", markup=False),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    task = progress.add_task("", total=None, left="")

    def show(event: Event) -> None:
        if isinstance(event, Progress):
            left = "" if event.seconds_left is None else f"{duration(event.seconds_left)} left"
            progress.update(task, completed=event.done, total=event.total, description=printable(event.what), left=left)
        elif isinstance(event, Note) and console.is_terminal:
            console.print(printable(event.text, _LONGEST), markup=False, highlight=False, soft_wrap=True)
        elif isinstance(event, Note):
            print_message(event.text)

    with progress:
        yield show


def run_with_bar(job: Job[_Result], interrupted: str = INTERRUPTED_TEXT) -> _Result:
    """Run a job under a progress bar.

    Parameters
    ----------
    job : generator of events
        What to run.
    interrupted : str
        What is said at Ctrl-C, which ends it.

    Raises
    ------
    Stopped
        If the user has interrupted it.
    """
    try:
        with progress_bar() as bar:
            return run(job, bar)
    except KeyboardInterrupt as stop:
        raise Stopped(interrupted) from stop


def run_interruptible(
    job: Job[_Result], view: Callable[[Event], object], stop: Callable[[], object] = lambda: None
) -> _Result:
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
    asked = 0

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        if asked:
            # A cluster may send SIGTERM more than once.
            return
        asked = number
        stop()
        print_message("Stopping after the present step; press Ctrl-C again not to wait.")

    def show(event: Event) -> None:
        view(event)
        if asked:
            raise Stopped(SAVED, asked)

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, ask) for number in numbers]
    try:
        return run(job, show)
    except StopRequested as request:
        # It was asked for by `stop` here, or from outside.
        raise Stopped(str(request), asked or signal.SIGINT) from request
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def print_event(event: Event) -> None:
    """Write an event as a line of JSON on stdout."""
    print(json.dumps(to_json(event)), flush=True)
